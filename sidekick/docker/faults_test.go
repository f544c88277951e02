package docker

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"dockreg/sidekick/docker/engine"
)

// Docker may start after the container, or be restarted under it.
func TestDockerComesAndGoes(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("specific", "app")
	path := socketPath(t)
	l := locator(t, Config{Host: "unix://" + path}, procWith(id), "app-1")
	away := func() {
		t.Helper()
		_, err := l.Locate(t.Context())
		mustSay(t, err, nil, "docker at unix://"+path, "does not answer", "docker run -v")
	}
	away()
	_, stop := e.serve("unix", path)
	mustLocate(t, l, "127.0.0.1:18000")
	stop()
	away()

	// An engine that was killed leaves its socket, on which nobody listens.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	away()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	e.serve("unix", path)
	mustLocate(t, l, "127.0.0.1:18000")
}

// Answers that are no answer, or not yet: none of them is a reason to end.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	_, whole := inspected(t, "specific")
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"nothing known":      {body(`{}`), "not complete"},
		"null":               {body(`null`), "not complete"},
		"no HostConfig":      {body(strings.Replace(string(whole), `"HostConfig"`, `"Later"`, 1)), "not complete"},
		"no Config":          {body(strings.Replace(string(whole), `"Config"`, `"Later"`, 1)), "not complete"},
		"no NetworkSettings": {body(strings.Replace(string(whole), `"NetworkSettings"`, `"Later"`, 1)), "not complete"},
		"no JSON":            {body(`<html>`), "inspect container"},
		"half of it":         {body(string(whole[:len(whole)/2])), "inspect container"},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			say(w, string(whole[:len(whole)/2]))
		}, "unexpected EOF"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound) // which is not followed
		}, "inspect container: "},
		"500": {func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusInternalServerError, "driver failed")
		}, "driver failed"},
		"503 of a proxy": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no server", http.StatusServiceUnavailable)
		}, "no server"},
		"403 of a proxy":    {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "rules deny it", http.StatusForbidden) }, "rules deny it"},
		"closes unanswered": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "docker at unix://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			id := e.add("specific", "app")
			e.from(tt.answer)
			host := e.onSocket()
			for _, c := range []Config{{Host: host}, {Host: host, Container: "app"}} {
				l := locator(t, c, procWith(id), "app-1")
				_, err := l.Locate(t.Context())
				mustSay(t, err, nil, tt.want)
			}
		})
	}
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { say(w, text) }
}

// An engine that accepts and says nothing holds nobody up for longer than the
// context allows.
func TestHungEngine(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	asked := make(chan struct{}, 2)
	e.from(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	host := e.onSocket()
	l := locator(t, Config{Host: host, Container: "app"}, fstest.MapFS{}, "app-1")

	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	_, err := l.Locate(ctx)
	mustSay(t, err, nil, "canceled") // engine.Timeout would say another thing

	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = l.Locate(ctx)
	mustSay(t, err, nil, "docker at "+host, "did not answer")
	if took := time.Since(start); took > engine.Timeout/2 {
		t.Errorf("took %s, want an end with the context after 100ms", took)
	}
}

// An engine that hangs forever is given up on after engine.Timeout.
func TestHungEngineHasADeadline(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 5 s")
	}
	e := newFakeEngine(t)
	e.from(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	l := locator(t, Config{Host: e.onSocket(), Container: "app"}, fstest.MapFS{}, "app-1")
	start := time.Now()
	_, err := l.Locate(t.Context())
	mustSay(t, err, nil, "did not answer in time")
	if took := time.Since(start); took < engine.Timeout || took > 5*engine.Timeout {
		t.Errorf("took %s, want %s", took, engine.Timeout)
	}
}

// Root may open any socket, so the one who may not is this test, run again as
// nobody.
func TestPermissionDenied(t *testing.T) {
	const hostEnv = "DOCKREG_TEST_DOCKER"
	if host := os.Getenv(hostEnv); host != "" {
		l := locator(t, Config{Host: host, Container: "app"}, fstest.MapFS{}, "app-1")
		_, err := l.Locate(t.Context())
		mustSay(t, err, nil, host, "permission denied", "as root or in the group that owns the socket")
		return
	}
	t.Parallel()
	e := newFakeEngine(t)
	path := socketPath(t)
	e.serve("unix", path)
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	again := asNobody(t, "-test.run=^TestPermissionDenied$", "-test.v")
	again.Env = append(os.Environ(), hostEnv+"=unix://"+path)
	out, err := again.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestPermissionDenied")) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
	e.mustHaveBeenAsked()
}

// asNobody is this test program once more, with the rights of nobody.
func asNobody(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become nobody")
	}
	// By /proc, because nobody may not look into the folder that it was built in.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}
