package probe

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// What becomes of a connection, in words.
var (
	errRefused = errors.New("connection refused: nothing listens on the port")
	errReset   = errors.New("connection reset by the app")
	errClosed  = errors.New("connection closed without an answer")
)

// tcpListen is TCP_LISTEN in proc_pid_net(5)'s column st.
const tcpListen = "0A"

// target is the app's port, wherever in this network namespace it listens.
type target struct {
	port int
}

// dial connects to the app: at 127.0.0.1, or where it listens if it doesn't
// listen there. It fails with errRefused if it listens nowhere.
func (t target) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	first := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(t.port))
	conn, err := d.DialContext(ctx, "tcp", first.String())
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return conn, reason(err)
	}
	listening, _ := listeners(t.port)
	last := errRefused
	for _, addr := range listening {
		if addr == first {
			continue // it has begun to listen just now: the next probe will find it
		}
		if conn, err = d.DialContext(ctx, "tcp", addr.String()); err == nil {
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

// ask is the tcp probe: the app accepts a connection, or its system does for it.
func (t target) ask(ctx context.Context) error {
	conn, err := t.dial(ctx)
	if errors.Is(err, errReset) {
		return nil // accepted, and reset in the same moment: whether dial sees that is chance
	}
	if err != nil {
		return err
	}
	_ = conn.Close() // by then the answer is known
	return nil
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

// listeners returns the addresses at which somebody listens on port, a wildcard
// as the loopback address of its family. Without /proc it can't
// tell, and ok is false.
func listeners(port int) (found []netip.AddrPort, ok bool) {
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(file)
		if err != nil {
			continue // no IPv6, most likely
		}
		found = append(found, parseListeners(f, port)...)
		_ = f.Close()
		ok = true
	}
	return found, ok
}

// parseListeners reads the lines of proc_pid_net(5)'s tcp or tcp6:
//
//	sl  local_address rem_address   st …
//	 0: 0100007F:1F90 00000000:0000 0A …
//
// An address is written as 32-bit words in the machine's own byte order.
func parseListeners(r io.Reader, port int) []netip.AddrPort {
	var found []netip.AddrPort
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != tcpListen {
			continue
		}
		addr, hexPort, _ := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(hexPort, 16, 16)
		if err != nil || int(n) != port {
			continue
		}
		raw, err := hex.DecodeString(addr)
		if err != nil || len(raw)%4 != 0 {
			continue
		}
		for i := 0; i < len(raw); i += 4 {
			binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
		}
		ip, ok := netip.AddrFromSlice(raw)
		if !ok {
			continue
		}
		switch ip = ip.Unmap(); ip {
		case netip.IPv4Unspecified():
			ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		case netip.IPv6Unspecified():
			ip = netip.IPv6Loopback()
		}
		found = append(found, netip.AddrPortFrom(ip, uint16(port)))
	}
	return found
}
