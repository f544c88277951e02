package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/health"

	listeners "dockreg/probe/port"
)

// agent is the User-Agent of every probe here.
const agent = "dockreg/0.0 (test)"

// budget is the time that the sidekick gives a probe by default.
const budget = 3 * time.Second

// patience is the time for probes whose deadline is not what is tested, on a
// machine that is busy with other things.
const patience = 5 * budget

func parse(t *testing.T, check string, port int) *Probe {
	t.Helper()
	p, err := Parse(check, port, agent)
	if err != nil {
		t.Fatalf("Parse(%q): %v", check, err)
	}
	return p
}

// ask probes once, as the sidekick does.
func ask(t *testing.T, p *Probe) (took time.Duration, err error) {
	t.Helper()
	return askWithin(t, p, budget)
}

func askWithin(t *testing.T, p *Probe, budget time.Duration) (took time.Duration, err error) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithDeadline(t.Context(), start.Add(budget))
	defer cancel()
	err = p.Probe(ctx)
	return time.Since(start), err
}

func mustPass(t *testing.T, p *Probe) {
	t.Helper()
	if took, err := askWithin(t, p, patience); err != nil {
		t.Errorf("%s: %v after %s, want it to pass", p, err, took)
	}
}

// mustFail probes twice, because the sidekick tells a new cause by a new text,
// and each attempt has another local port that must not be part of it. A reason that
// is not the deadline's was found before it.
func mustFail(t *testing.T, p *Probe, want string) {
	t.Helper()
	for range 2 {
		if _, err := askWithin(t, p, patience); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", p, err, want)
		}
	}
}

// mustBeLate asks an app that never ends with what it does. Where a busy machine was
// not that far at the deadline, it asks again with more time.
func mustBeLate(t *testing.T, p *Probe, what string) {
	t.Helper()
	took, err := ask(t, p)
	if late := "no answer in time"; err != nil && err.Error() == late && what+" in time" != late {
		took, err = askWithin(t, p, patience)
		took -= patience - budget
	}
	mustFailLate(t, took, err, what)
}

// mustFailLate checks what ask returned for an app that never ends with what it does.
func mustFailLate(t *testing.T, took time.Duration, err error, what string) {
	t.Helper()
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != what+" in time" {
		t.Errorf("%v, want %q that is context.DeadlineExceeded", err, what+" in time")
	}
	// gRPC's and the system's clocks may end a moment before the context's.
	if took < budget-budget/10 || took > patience {
		t.Errorf("failed after %s, want %s", took, budget)
	}
}

// reserve returns a port that nobody listens on at any address. It stays bound on
// 127.0.0.1, so that no other test and no other program gets it there, or on all
// addresses; this test may still listen with fd.
func reserve(t *testing.T) (fd, port int) {
	t.Helper()
	for range 10 { // somebody may listen at another address, such as one that Docker publishes on
		fd, port = bind(t)
		if on, err := listeners.Listeners(port); err == nil && len(on) == 0 {
			break
		}
	}
	return fd, port
}

func bind(t *testing.T) (fd, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, addr.(*unix.SockaddrInet4).Port
}

// listen listens on host alone, on a port that is nobody else's on 127.0.0.1.
func listen(t *testing.T, host string) (net.Listener, int) {
	t.Helper()
	network := "tcp"
	switch host { // a wildcard is both, unless the network says which
	case "0.0.0.0":
		network = "tcp4"
	case "::":
		network = "tcp6"
	}
	var last error
	for range 10 { // another program may have the port on host
		fd, port := reserve(t)
		// From now on others that have this option, too, may bind it. Go sets it.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen(network, net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			t.Cleanup(func() { _ = l.Close() })
			return l, port
		}
		if last = err; !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	if errors.Is(last, unix.EADDRNOTAVAIL) || errors.Is(last, unix.EAFNOSUPPORT) {
		t.Skip(last) // a machine without IPv6
	}
	t.Fatal(last)
	return nil, 0
}

// relisten listens where an app that is gone listened.
func relisten(t *testing.T, port int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serveConns is an app of few words: what handle does with each connection.
func serveConns(t *testing.T, handle func(net.Conn)) (port int) {
	t.Helper()
	l, port := listen(t, "127.0.0.1")
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer context.AfterFunc(t.Context(), func() { _ = conn.Close() })()
				defer func() { _ = conn.Close() }()
				handle(conn)
			})
		}
	})
	return port
}

// fullBacklog is an app that accepts nobody any more, and whose system doesn't
// either: connecting to it takes forever.
func fullBacklog(t *testing.T) (port int) {
	t.Helper()
	fd, port := reserve(t)
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	soon := patience // for the first, with which it is full: else it may be this machine that is late
	for n := range 10 {
		conn, err := net.DialTimeout("tcp", addr, soon)
		switch {
		case err != nil && n == 0:
			t.Fatal(err)
		case err != nil:
			return port
		}
		t.Cleanup(func() { _ = conn.Close() })
		soon = 100 * time.Millisecond
	}
	t.Fatal("the backlog doesn't fill")
	return 0
}

// serveHealthy starts a healthy app of a kind.
func serveHealthy(t *testing.T, kind string, l net.Listener) (stop func()) {
	t.Helper()
	switch kind {
	case "http", "https":
		return serveHTTP(t, kind, l, nil)
	case "grpc":
		return serveGRPC(t, l, health.NewServer())
	}
	return func() { _ = l.Close() }
}

// checks is how each kind of app with a port is asked for.
var checks = map[string]string{"tcp": "tcp", "http": "http:/", "https": "https:/", "grpc": "grpc"}

// tlsConfig is the certificate of httptest's servers, for those that aren't HTTP's.
var tlsConfig = sync.OnceValue(func() *tls.Config {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.TLS
})

// serveRaw is an app of kind http or https that reads a request, and then does
// what handle does. attempt counts the connections from 1.
func serveRaw(t *testing.T, kind string, handle func(conn net.Conn, attempt int)) (port int) {
	t.Helper()
	var attempts atomic.Int32
	return serveConns(t, func(conn net.Conn) {
		attempt := int(attempts.Add(1))
		if kind == "https" {
			conn = tls.Server(conn, tlsConfig())
			defer func() { _ = conn.Close() }()
		}
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			handle(conn, attempt)
		}
	})
}

// say is an app that answers text, and closes.
func say(text string) func(net.Conn, int) {
	return func(conn net.Conn, _ int) { _, _ = io.WriteString(conn, text) }
}

// sayOn is an app that answers text, and then more and more.
func sayOn(text, more string) func(net.Conn, int) {
	return func(conn net.Conn, _ int) {
		_, err := io.WriteString(conn, text)
		for much := []byte(strings.Repeat(more, 1<<10)); err == nil; {
			_, err = conn.Write(much)
		}
	}
}

// reset ends a connection as a process does that dies with data unread.
func reset(conn net.Conn) {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}
