package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/docker/docker/client"
)

const (
	// maxAnswer bounds one answer. What Docker says about a container is some 10 KB.
	maxAnswer = 4 << 20
	// maxHeaders bounds its headers, which take several times their length in memory.
	maxHeaders = 64 << 10
)

var errTooLong = errors.New("the answer is too long")

// bound makes reading an answer fail with an error that isTooLong, because Docker's
// client reads it into memory, however long it is. It comes after the options that
// choose how to dial.
func bound(c *client.Client) error {
	transport, ok := c.HTTPClient().Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("cannot bound the answers of %T", c.HTTPClient().Transport)
	}
	transport.DisableCompression = true // a few bytes could be an endless answer
	transport.MaxResponseHeaderBytes = maxHeaders
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &boundConn{Conn: conn}, nil
	}
	return nil
}

func isTooLong(err error) bool {
	return errors.Is(err, errTooLong) ||
		strings.Contains(err.Error(), "response headers exceeded") // http has no name for it
}

// boundConn is a connection on which every request begins to count anew.
type boundConn struct {
	net.Conn
	read atomic.Int64
}

func (c *boundConn) Write(b []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(b)
}

func (c *boundConn) Read(b []byte) (int, error) {
	if c.read.Load() >= maxAnswer {
		return 0, errTooLong
	}
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// maxMessage bounds what is shown of a text that Docker sent.
const maxMessage = 300

// briefError is an error with a text that may be long.
type briefError struct{ error }

func (e briefError) Error() string {
	text := e.error.Error()
	if len(text) <= maxMessage {
		return text
	}
	return text[:maxMessage] + " …"
}

func (e briefError) Unwrap() error { return e.error }
