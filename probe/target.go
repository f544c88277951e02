package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"dockreg/probe/port"
	"dockreg/sidekick"
)

// What becomes of a connection, in words.
var (
	errRefused = fmt.Errorf("connection refused: %w", sidekick.ErrNotListening)
	errReset   = errors.New("connection reset by the app")
	errClosed  = errors.New("connection closed without an answer")
)

// target is the app's port, wherever in this network namespace it listens.
type target struct {
	port int
}

// dial connects to the app: at 127.0.0.1, or where it listens if it doesn't
// listen there. It fails with errRefused if it listens nowhere, or where the kernel
// won't tell who listens.
func (t target) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	first := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(t.port))
	conn, err := d.DialContext(ctx, "tcp", first.String())
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return conn, reason(err)
	}
	listening, _ := port.Listeners(t.port)
	last := errRefused
	for _, l := range listening {
		if l.Addr == first {
			continue // it has begun to listen just now: the next probe will find it
		}
		if conn, err = d.DialContext(ctx, "tcp", l.Addr.String()); err == nil {
			return conn, nil
		}
		// An address that this side can't dial, such as ::1 without IPv6, says
		// nothing about the app.
		if err = reason(err); errors.Is(err, errReset) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			last = err
		}
	}
	return nil, last
}

// reason makes err the same each time: net's errors name a random local port, and
// a deadline may show in a read or a dial just before it does in the context.
func reason(err error) error {
	var op *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, errRefused), errors.Is(err, syscall.ECONNREFUSED):
		return errRefused
	case errors.Is(err, errReset), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errReset
	case errors.Is(err, errClosed), errors.Is(err, io.EOF):
		return errClosed
	case errors.As(err, &op):
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
