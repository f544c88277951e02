package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// link remembers how one client's connection stands. The client itself tries again
// and again, and keeps to itself why that fails. It is safe for concurrent use.
type link struct {
	hosts *hosts

	mu    sync.Mutex
	at    netip.AddrPort   // where the latest connection goes
	shun  []netip.AddrPort // where earlier ones went, which failed; the latest last
	ever  bool             // etcd was heard on this or an earlier client's connection
	heard bool             // etcd said something on the connection that there is
	tcp   bool             // else, that etcd's system took one
	err   error            // else, why the latest attempt failed; nil if none has yet
}

// next is the link of the client that comes after this one's.
func (l *link) next() *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	shun := l.shun
	if l.at.IsValid() {
		shun = slices.DeleteFunc(slices.Clone(shun), func(a netip.AddrPort) bool { return a == l.at })
		shun = append(shun[max(0, len(shun)-shunned+1):], l.at)
	}
	return &link{hosts: l.hosts, ever: l.ever, shun: shun}
}

// shunned is how many addresses are tried after the others, because a connection there
// has failed.
const shunned = 32

// from returns a member's URL, with the address that was connected to if it is one of
// several.
func (l *link) from(member string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsValid() && l.hosts.count(hostOf(member)) > 1 {
		return fmt.Sprintf("%s (%s)", member, l.at.Addr())
	}
	return member
}

func (l *link) everHeard() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ever
}

// state returns nil if etcd was heard on the connection that there is, else why
// there is no such connection.
func (l *link) state() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.heard:
		return nil
	case l.err != nil:
		return l.err
	case l.tcp:
		return errSilent
	}
	return errors.New("no answer")
}

// note takes in how an attempt ended, or that etcd was heard. An attempt that our
// side gave up says nothing, unless it was the DNS that did not answer.
func (l *link) note(err error) {
	var dns *net.DNSError
	if gaveUp(err) && !errors.As(err, &dns) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard, l.err = err == nil, nil
	l.ever = l.ever || err == nil
	if err != nil {
		l.err = faultf(err, "%s", words(err))
	}
}

// dial opens a TCP connection to a host, at whichever of its addresses takes it. Those
// where a connection has failed come last, the latest one last of all: an address that
// takes connections, and says nothing, is left for another one.
func (l *link) dial(ctx context.Context, host string) (net.Conn, error) {
	l.mu.Lock()
	l.at = netip.AddrPort{}
	l.mu.Unlock()
	addresses, err := l.addresses(ctx, host)
	var conn net.Conn
	if err == nil {
		conn, err = race(ctx, addresses)
	}
	if err != nil {
		l.note(err)
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard, l.tcp = false, true
	l.at, _ = netip.ParseAddrPort(conn.RemoteAddr().String())
	return conn, nil
}

// addresses returns those of a host and port, in the order in which to try them.
func (l *link) addresses(ctx context.Context, hostPort string) (found []netip.AddrPort, err error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	ips, err := l.hosts.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		found = append(found, netip.AddrPortFrom(ip, uint16(number)))
	}
	slices.SortStableFunc(found, func(a, b netip.AddrPort) int {
		return cmp.Compare(slices.Index(l.shun, a), slices.Index(l.shun, b)) // -1: not there
	})
	return found, nil
}

// observed is a connection that tells its link what comes of it.
type observed struct {
	net.Conn
	link *link
	// reason says what went wrong before etcd was first heard: what came instead,
	// or the error. Nil: nothing did.
	reason func(first []byte, err error) error
	heard  atomic.Bool
}

func (o *observed) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	switch {
	case !o.heard.Load():
		if reason := o.reason(p[:n], err); reason != nil || n > 0 {
			o.link.note(reason)
			o.heard.Store(reason == nil)
		}
	case err != nil:
		o.link.note(err)
	}
	return n, err
}

// Write too hears of an end, and may be the only one to.
func (o *observed) Write(p []byte) (int, error) {
	n, err := o.Conn.Write(p)
	if err != nil && !o.heard.Load() {
		o.link.note(o.reason(nil, err))
	}
	return n, err
}
