package etcd

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// stagger is how long an address is waited for before the next one is tried beside it
// (RFC 8305, section 5). An address that swallows all that is sent there would take the
// whole time of a connection otherwise.
const stagger = 250 * time.Millisecond

// race connects to the first of some addresses that takes the connection. They are tried
// in order: the next one when one fails, or beside those that are late. The error is the
// first one's.
func race(ctx context.Context, addresses []netip.AddrPort) (net.Conn, error) {
	type outcome struct {
		conn net.Conn
		err  error
	}
	var (
		outcomes = make(chan outcome)
		pending  = 0
		first    error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for ; pending > 0; pending-- {
			if late := <-outcomes; late.conn != nil {
				_ = late.conn.Close()
			}
		}
	}()
	for {
		var turn <-chan time.Time
		if len(addresses) > 0 {
			address := addresses[0]
			addresses = addresses[1:]
			pending++
			go func() {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address.String())
				outcomes <- outcome{conn, err}
			}()
			turn = time.After(stagger)
		}
		select {
		case o := <-outcomes:
			pending--
			if o.err == nil {
				return o.conn, nil
			}
			if first == nil {
				first = o.err
			}
			if len(addresses) == 0 && pending == 0 {
				return nil, first
			}
		case <-turn:
		}
	}
}
