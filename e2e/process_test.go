package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// runProcess starts dockreg on this machine beside an app that answers, and waits
// for its key.
func runProcess(t *testing.T, flags ...string) (p *process, keys *testbed.Keys, key string) {
	t.Helper()
	port := startApp(t)
	key = "/service/127.0.0.1:" + port
	keys = follow(t)
	start := time.Now()
	p = besideApp(t, etcd.URL, port, flags...)
	wantPut(t, keys, key, start, time.Minute)
	return p, keys, key
}

func TestSignalsStopIt(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p, keys, key := runProcess(t)
			asked := time.Now()
			_ = p.Process.Signal(signal)
			gone := wantGone(t, keys, key, asked, 10*time.Second)
			t.Logf("%s to key gone: %s", signal, gone.At.Sub(asked))
			if code, _ := p.wait(t, 10*time.Second); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
}

// The drain comes between the key and the exit; a second signal ends it.
func TestDrainAndSecondSignal(t *testing.T) {
	t.Parallel()
	p, keys, key := runProcess(t, "--drain", "1m")
	asked := time.Now()
	_ = p.Process.Signal(syscall.SIGTERM)
	wantGone(t, keys, key, asked, 20*time.Second)
	if err := p.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("dockreg ended with the key: %v", err)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	if code, took := p.wait(t, 30*time.Second); code != 0 { // of the minute
		t.Errorf("exit code %d after %s, want 0 at once", code, took)
	}
}

// A dry run tells of an etcd that grants a longer TTL than it is asked for, and leaves no
// lease behind.
func TestP8DryRunTellsOfALongerTTL(t *testing.T) {
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		c, err := testbed.StartAlone(binary, "--heartbeat-interval", "1000", "--election-timeout", "10000")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Stop() })
		port := startApp(t)
		if err := poll(t, time.Minute, func() error { // again, where a busy etcd was late
			p := dockreg("--dry-run", "--ttl", "12s", "--etcd", c.Members[0].URL, "--port", port, "--host-port", port, "--ip", "127.0.0.1")
			var out journal
			p.Stdout = &out
			_ = p.Run()
			const want = "\nTTL      15s, which is the least that this etcd grants, and not 12s\n"
			if p.ProcessState.ExitCode() != 0 || !strings.Contains(out.String(), want) {
				return fmt.Errorf("exit code %d, want 0 and %s in\n%s%s", p.ProcessState.ExitCode(), want, out.String(), p.stderr.String())
			}
			found, err := c.Members[0].Client.Leases(t.Context())
			if err == nil && len(found.Leases) > 0 {
				err = fmt.Errorf("leases %v, want none", found.Leases)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}

// With etcd hung it still exits within 2 s after the drain.
func TestStopWithHungEtcd(t *testing.T) {
	t.Parallel()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hole.Close() }()
	port := startApp(t)
	for _, credentials := range []string{"", "joe:secret@"} { // which are another way to hang
		p := dockreg("--port", port, "--host-port", port, "--ip", "127.0.0.1", "--drain", "1s")
		p.Env = append(p.Env, fmt.Sprintf("DOCKREG_ETCD=http://%s%s", credentials, hole.Addr()))
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		p.awaitLogged(t, "can't register")
		_ = p.Process.Signal(syscall.SIGTERM)
		code, took := p.wait(t, 3*time.Second+busy)
		t.Logf("exit after %s", took)
		if code != 0 {
			t.Errorf("exit code %d after %s, want 0 within 2s after the drain of 1s", code, took)
		}
	}
}

// Neither a hang-up nor a reader of its log that went away ends it.
func TestSurvivesHangUpAndClosedStderr(t *testing.T) {
	t.Parallel()
	p, keys, key := runProcess(t)
	_ = p.Process.Signal(syscall.SIGHUP)

	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	deaf := dockreg(p.Args[1:]...)
	deaf.Args = append(deaf.Args, "--key", "deaf", "--log-level", "debug")
	deaf.Stderr = writer
	start := time.Now()
	if err := deaf.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	_ = reader.Close()
	deafKey := strings.Replace(key, "/service/", "/deaf/", 1)
	wantPut(t, keys, deafKey, start, time.Minute)

	// Both still do their work: they repair, and log that they do.
	for p, key := range map[*process]string{p: key, deaf: deafKey} {
		deleted := time.Now()
		if _, err := etcd.Client.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		wantPut(t, keys, key, deleted, 20*time.Second)
		p.terminate(t)
		wantGone(t, keys, key, deleted, busy)
	}
}

// P10: a dockreg that dies leaves no core file, and so no password in one, and is no reason
// for supervisord to leave it at that.
func TestP10LeavesNoCore(t *testing.T) {
	t.Parallel()
	p, _, _ := runProcess(t)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.Process.Pid))
	if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%v\n%s", err, limits)
	}
	_ = p.Process.Signal(syscall.SIGABRT) // ends as a panic does, but takes Go's runtime 10 s
	_, _ = p.wait(t, time.Minute)
	if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGABRT || status.CoreDump() {
		t.Errorf("it ended with %v", p.ProcessState)
	}
}

// P1, P2: with a log that nobody reads, and no room left in its pipe, an app's end takes the
// key away, and so does a stop, which ends.
func TestP2BlockedStderr(t *testing.T) {
	t.Parallel()
	keys := follow(t)
	start := func(port string) *process {
		p := dockreg("--etcd", etcd.URL, "--port", port, "--host-port", port, "--ip", "127.0.0.1")
		p.Stderr = fullPipe(t)
		started := time.Now()
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Process.Kill() })
		wantPut(t, keys, "/service/127.0.0.1:"+port, started, time.Minute)
		return p
	}
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	_, port, _ := net.SplitHostPort(app.Listener.Addr().String())
	p := start(port)
	ended := time.Now()
	app.Close()
	gone := wantGone(t, keys, "/service/127.0.0.1:"+port, ended, 10*time.Second)
	t.Logf("figure: end of the app to key gone: %s", gone.At.Sub(ended))
	p.terminate(t)

	port = startApp(t)
	p = start(port)
	asked := time.Now()
	_ = p.Process.Signal(syscall.SIGTERM)
	gone = wantGone(t, keys, "/service/127.0.0.1:"+port, asked, 10*time.Second)
	code, took := p.wait(t, 20*time.Second)
	t.Logf("figure: TERM to key gone: %s, to the exit: %s", gone.At.Sub(asked), took)
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// fullPipe returns a pipe with no room left, that nobody reads. Package os/exec makes it one
// that blocks.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = writer.Close()
		_ = reader.Close()
	})
	_ = writer.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := writer.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("fill the pipe: %v", err)
	}
	return writer
}

// P10: what is secret is in no log, at any level, and not in the process list.
func TestP10SecretsStaySecret(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.NotFoundHandler())
	defer app.Close()
	_, port, _ := net.SplitHostPort(app.Listener.Addr().String())
	p := dockreg("--port", port, "--host-port", port, "--ip", "127.0.0.1", "--log-level", "debug")
	p.Env = append(p.Env, "DOCKREG_ETCD="+strings.Replace(etcd.URL, "://", "://joe:hunter2@", 1), "DOCKREG_CHECK=http:/?token=hunter2")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.awaitLogged(t, "waiting for the app")
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	p.wait(t, 10*time.Second)
	if all := string(args) + p.stderr.String(); strings.Contains(all, "hunter2") {
		t.Errorf("the secret shows in\n%s", all)
	}
}
