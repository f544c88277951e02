package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Whoever connects is told, however many connect and say nothing, and the end leaves
// nothing behind.
func TestStatusSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "status") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	s, err := serveStatus(t.Context(), path, 8000, func() any { return status{Registered: true, Key: "/service/192.0.2.1:80"} })
	if err != nil {
		t.Fatal(err)
	}
	for range 5 * mostStatus { // who asks, and never reads
		idle, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = idle.Close() }()
	}
	told, err := askStatus(t.Context(), path)
	if err != nil || !told.Registered || told.Key != "/service/192.0.2.1:80" {
		t.Errorf("%+v, %v", told, err)
	}
	if _, err := serveStatus(t.Context(), path, 8000, nil); err == nil || !strings.Contains(err.Error(), "somebody listens at "+path+" already") {
		t.Errorf("beside another one: %v", err)
	}
	s.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if r := runWith("status", "--status-socket", path); r.code != exitFault || !strings.Contains(r.stderr, "no such file or directory") || r.stdout != "" {
		t.Errorf("of nobody: %+v", r)
	}
	if r := runWith("status", "--status-socket", "off"); r.code != exitFault || !strings.Contains(r.stderr, "--status-socket is off") {
		t.Errorf("of one that tells nothing: %+v", r)
	}
}

// P9: with a mistake it does not tell of another one, or in another form, than was meant.
func TestP9StatusMistakes(t *testing.T) {
	for _, args := range [][]string{{"--output", "yaml"}, {"--status-socket", "dockreg.sock"}} {
		if r := runWith(append([]string{"status"}, args...)...); r.code != exitUsage || !strings.Contains(r.stderr, args[0]+` "`+args[1]+`": `) || r.stdout != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// scarce is a listener for which there is no file for a while.
type scarce struct {
	net.Listener
	fails atomic.Int64
}

func (l *scarce) Accept() (net.Conn, error) {
	if l.fails.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// Who asks while too many files are open is told when they are not any more.
func TestStatusSocketOutlivesAFailure(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "status")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l := &scarce{Listener: listener}
	l.fails.Store(3)
	s := &statusSocket{listener: l}
	s.answers.Go(func() { s.accept(func() any { return status{Registered: true} }) })
	if told, err := askStatus(t.Context(), path); err != nil || !told.Registered {
		t.Errorf("%+v, %v", told, err)
	}
	s.Close()
}

// For people the verdict comes first, with why.
func TestStatusText(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]status{
		"registered for 1m0s\n":                                 {Registered: true, For: 60, App: "up", Key: "/a"},
		"not registered for 2s: the app is down\n":              {For: 2, App: "down", Key: "/a"},
		"not registered for 2s: its address is not known yet\n": {For: 2, App: "up"},
		"not registered for 2s: it stands by\n":                 {For: 2, App: "up", Key: "/a", Holder: "a newer one"},
		"not registered for 500ms: see the last fault\n":        {For: .5, App: "up", Key: "/a", Fault: "etcd is away"},
		"registered for 2s: it is stopping\n":                   {Registered: true, For: 2, App: "up", Key: "/a", Stopping: true},
	} {
		var out strings.Builder
		if err := s.write(&out); err != nil || !strings.HasPrefix(out.String(), want) {
			t.Errorf("%v\n%s\nwant %s", err, out.String(), want)
		}
	}

	if got := []string{span(0.0123456), span(1.26), span(3725.4), span(time.Duration(0).Seconds())}; strings.Join(got, " ") != "12.3ms 1.3s 1h2m5s 0s" {
		t.Errorf("%q", got)
	}
}
