package etcd

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// link remembers how one client's connection stands. The client itself tries again
// and again, and keeps to itself why that fails. It is safe for concurrent use.
type link struct {
	mu    sync.Mutex
	ever  bool  // etcd was heard on this or an earlier client's connection
	heard bool  // etcd said something on the connection that there is
	tcp   bool  // else, that etcd's system took one
	err   error // else, why the latest attempt failed; nil if none has yet
}

// next is the link of the client that comes after this one's.
func (l *link) next() *link {
	return &link{ever: l.everHeard()}
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

// dial opens a TCP connection.
func (l *link) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Resolver: resolver}).DialContext(ctx, "tcp", address)
	if err != nil {
		l.note(err)
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard, l.tcp = false, true
	return conn, nil
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
