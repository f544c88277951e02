package port

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// holderEnv makes the test binary a process that holds the files it was given,
// until it is killed.
const holderEnv = "PORT_TEST_HOLDER"

// patience is for what takes milliseconds, on a machine that is busy.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(holderEnv) != "" {
		_, _ = os.Stdin.Read(make([]byte, 1)) // or until its parent ends
		return
	}
	os.Exit(m.Run())
}

func listen(t *testing.T, addr string) (l *net.TCPListener, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip(err) // a machine without IPv6
	}
	if err != nil {
		t.Fatal(err)
	}
	l = listener.(*net.TCPListener)
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

// hold starts a process that holds l, too, behind so many other files.
func hold(t *testing.T, l *net.TCPListener, others int) *os.Process {
	t.Helper()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"=1")
	cmd.ExtraFiles = append(slices.Repeat([]*os.File{os.Stderr}, others), file)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process
}

// held starts a process that alone holds a listener, and returns its port.
func held(t *testing.T, others int) (p *os.Process, port int) {
	t.Helper()
	l, port := listen(t, "127.0.0.1:0")
	p = hold(t, l, others)
	_ = l.Close()
	return p, port
}

func inode(t *testing.T, l *net.TCPListener) uint32 {
	t.Helper()
	var stat unix.Stat_t
	conn, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := conn.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &stat) }); ctlErr != nil || err != nil {
		t.Fatal(ctlErr, err)
	}
	return uint32(stat.Ino)
}

// watcher is a Watcher whose log can be read.
type watcher struct {
	Watcher
	mu  sync.Mutex
	log bytes.Buffer
}

func watch(port int) *watcher {
	w := &watcher{}
	w.Watcher = Watcher{Port: port, Log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	return w
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *watcher) logged(words string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.log.String(), words)
}

// await runs Await, does event once it watches by these means, and returns how
// long after that it returned.
func (w *watcher) await(t *testing.T, by string, event func()) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	signed := make(chan struct{})
	go func() { defer close(signed); w.Await(ctx) }()
	for tick := time.Tick(time.Millisecond); !w.logged(by); <-tick {
		if ctx.Err() != nil {
			t.Fatalf("it does not watch by %s:\n%s", by, w.log.String())
		}
	}
	start := time.Now()
	event()
	<-signed
	if ctx.Err() != nil {
		t.Error("no sign")
	}
	return time.Since(start)
}

func kill(t *testing.T, p *os.Process) func() {
	return func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	}
}

func TestProcessEnds(t *testing.T) {
	for _, others := range []int{0, 500} { // a directory is read in parts
		p, port := held(t, others)
		w := watch(port)
		took := w.await(t, fmt.Sprintf("hold its socket\" pids=[%d]", p.Pid), kill(t, p))
		t.Logf("kill to sign: %s", took)
	}
}

// A worker's end is a sign, though its master holds the socket still.
func TestWorkerEnds(t *testing.T) {
	l, port := listen(t, "127.0.0.1:0")
	first, second := hold(t, l, 0), hold(t, l, 0)
	w := watch(port)
	start := time.Now()
	w.await(t, fmt.Sprintf("pids=\"[%d %d]\"", first.Pid, second.Pid), kill(t, second))
	w.await(t, fmt.Sprintf("pids=[%d]", first.Pid), kill(t, first))
	if took := time.Since(start); took < signsApart {
		t.Errorf("two signs came within %s, want them %s apart", took, signsApart)
	}
}

// What no process's end shows, the port does: here the app is this process, which
// is left out as the watcher's own, and does not end.
func TestListenerCloses(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1:0")
	w := watch(port)
	w.await(t, "watching the app", func() { _ = l.Close() })
}

func TestListenerIsReplaced(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1:0")
	w := watch(port)
	w.await(t, "watching the app", func() {
		_ = l.Close()
		listen(t, fmt.Sprintf("127.0.0.1:%d", port))
	})
}

// Between a pass and the next Await, too.
func TestListenerClosedBeforehand(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1:0")
	w := watch(port)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.Await(ctx)
	_ = l.Close()
	w.await(t, "", func() {})
}

// The looks take a hundredth of the time, and one that something held up costs no crash that
// is seen late.
func TestPauseBetweenLooks(t *testing.T) {
	t.Parallel()
	for took, want := range map[[2]time.Duration]time.Duration{
		{}: lookEvery,
		{100 * time.Microsecond, 25 * time.Millisecond}: lookEvery,
		{25 * time.Millisecond, 100 * time.Microsecond}: lookEvery,
		{30 * time.Millisecond, 40 * time.Millisecond}:  3 * time.Second,
	} {
		if pause := (&Watcher{took: took}).pause(); pause != want {
			t.Errorf("a pause of %s after looks of %v, want %s", pause, took, want)
		}
	}
}

// An app that listens on no TCP port is watched by nothing, and its end is no sign.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1:0")
	_ = l.Close()
	w := watch(port)
	ctx, cancel := context.WithTimeout(t.Context(), 3*lookEvery)
	defer cancel()
	w.Await(ctx)
	if ctx.Err() == nil || !w.logged("by=\"the interval alone\"") {
		t.Errorf("a sign where nobody listened; the log says %s", w.log.String())
	}
}

// Nothing is left open, and Await heeds its context.
func TestLeavesNothingOpen(t *testing.T) {
	_, port := held(t, 0)
	countFiles := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := countFiles()
	w := watch(port)
	fastest := patience
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		returned := make(chan struct{})
		go func() { defer close(returned); w.Await(ctx) }()
		cancel()
		start := time.Now()
		select {
		case <-returned:
		case <-time.After(patience):
			t.Fatal("Await goes on")
		}
		fastest = min(fastest, time.Since(start))
	}
	if fastest > lookEvery/2 {
		t.Errorf("Await returned %s after its context ended, at the best, want at once", fastest)
	}
	if after := countFiles(); after > before+1 { // one for Go's poller
		t.Errorf("%d files are open, %d were before", after, before)
	}
}

// A process that can't be looked into might be the app's; one without the socket
// is not.
func TestHolders(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	for path, link := range map[string]string{
		"7/fd/0": "/dev/null", "7/fd/5": "socket:[12]", "12/fd/5": "socket:[13]",
		"100/fd/3": "socket:[1]", "100/fd/4": "socket:[120]", "self/fd/3": "socket:[12]",
	} {
		path = filepath.Join(proc, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(link, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(proc, "200"), 0o700); err != nil { // ended meanwhile
		t.Fatal(err)
	}
	h := &holders{proc: proc}
	holding, hidden := h.find([]Listener{{Inode: 12}, {Inode: 13}})
	if !slices.Equal(holding, []int{7, 12}) || hidden != nil {
		t.Errorf("holders = %v, %v; want 7 and 12", holding, hidden)
	}
}
