package metrics

import (
	"net"
	"sync"
)

// mostConns bounds the connections that are open at a time. Prometheus has one.
const mostConns = 100

// bounded is a listener that closes at once what is too much.
type bounded struct {
	net.Listener
	room chan struct{}
}

func newBounded(l net.Listener) *bounded { return &bounded{l, make(chan struct{}, mostConns)} }

func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.room <- struct{}{}:
			return &boundedConn{Conn: conn, left: sync.OnceFunc(func() { <-b.room })}, nil
		default:
			_ = conn.Close()
		}
	}
}

type boundedConn struct {
	net.Conn
	left func()
}

func (c *boundedConn) Close() error {
	defer c.left()
	return c.Conn.Close()
}
