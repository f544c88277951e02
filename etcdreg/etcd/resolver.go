package etcd

import (
	"context"
	"net"
	"time"
)

// resolver looks names up. Go's own waits 5 s for a nameserver before it asks the
// next one [measured], which is longer than any connecting here lasts: with the first
// one dead, no name would ever be known.
var resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := (&net.Dialer{}).DialContext
	if net.DefaultResolver.Dial != nil { // the process has a way of its own
		dial = net.DefaultResolver.Dial
	}
	conn, err := dial(ctx, network, address)
	if udp, ok := conn.(*net.UDPConn); ok && err == nil {
		return impatient{udp}, nil
	}
	return conn, err
}}

// impatient is a connection to a nameserver that is not waited for longer than this.
// The last one to be asked has its answer by the next try, which is soon.
type impatient struct{ *net.UDPConn }

const nameserverTimeout = 400 * time.Millisecond

// SetDeadline sets t, or an earlier one.
func (c impatient) SetDeadline(t time.Time) error {
	if soon := time.Now().Add(nameserverTimeout); t.IsZero() || soon.Before(t) {
		t = soon
	}
	return c.UDPConn.SetDeadline(t)
}
