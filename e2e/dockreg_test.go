package e2e

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// process is a dockreg that runs on this machine.
type process struct {
	*exec.Cmd
	stderr journal
}

// dockreg prepares the built binary with these arguments.
func dockreg(args ...string) *process {
	p := &process{Cmd: exec.Command(binary, args...)}
	p.Stderr = &p.stderr
	p.Env = testbed.CleanEnv()
	return p
}

// within makes a command run by another one, whose arguments it follows.
func within(c *exec.Cmd, by ...string) *exec.Cmd {
	outer := exec.Command(by[0], append(by[1:], c.Args...)...)
	outer.Env, outer.Stdout, outer.Stderr = c.Env, c.Stdout, c.Stderr
	return outer
}

// startApp starts an app that passes every probe, and returns its port.
func startApp(t *testing.T) (port string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(app.Close)
	_, port, _ = net.SplitHostPort(app.Listener.Addr().String())
	return port
}

// besideApp starts dockreg for the app on that port, with /service/127.0.0.1:port for
// its key. It ends with the test, and shows what it logged if the test failed.
func besideApp(t *testing.T, etcd, port string, flags ...string) *process {
	t.Helper()
	return besideAppAt(t, etcd, "127.0.0.1", port, flags...)
}

// besideAppAt is besideApp, with another IP to register.
func besideAppAt(t *testing.T, etcd, ip, port string, flags ...string) *process {
	t.Helper()
	return startDockreg(t, append([]string{"--etcd", etcd, "--port", port, "--host-port", port, "--ip", ip}, flags...)...)
}

// startDockreg starts a dockreg that ends with the test, and shows what it logged if the
// test failed.
func startDockreg(t *testing.T, args ...string) *process {
	t.Helper()
	p := dockreg(args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if t.Failed() {
			t.Logf("dockreg %s logged\n%s", strings.Join(args, " "), p.stderr.String())
		}
	})
	return p
}

// terminate asks the process to stop, and waits until it has.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	_ = p.Process.Signal(syscall.SIGTERM)
	if code, _ := p.wait(t, 20*time.Second+busy); code != 0 { // some drain for 6 s
		t.Errorf("exit code %d, want 0", code)
	}
}

// wait waits for the process, and returns its exit code and how long it took.
func (p *process) wait(t *testing.T, within time.Duration) (code int, took time.Duration) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = p.Process.Kill() })
	defer stop()
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Errorf("dockreg did not end within %s", within)
	}
	return p.ProcessState.ExitCode(), time.Since(start)
}

// awaitLogged waits until dockreg has logged these words.
func (p *process) awaitLogged(t *testing.T, words string) {
	t.Helper()
	p.stderr.await(t, words)
}

// await waits until these words are there.
func (j *journal) await(t *testing.T, words string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		text, more := j.read()
		if strings.Contains(text, words) {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("%q is not there in\n%s", words, text)
		}
	}
}

// journal is what a process writes.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed by the next write
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
	return j.text.Write(p)
}

func (j *journal) read() (text string, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.more == nil {
		j.more = make(chan struct{})
	}
	return j.text.String(), j.more
}

func (j *journal) String() string {
	text, _ := j.read()
	return text
}

// lowPort returns a port of that address that stays free until somebody listens there.
func lowPort(t *testing.T, host string) string {
	t.Helper()
	port, err := testbed.LowPort(host)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}
