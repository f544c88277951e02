package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"dockreg/probe/pidfd"
)

// The containers of these tests: the own one is this process's, as far as the service can
// tell.
var (
	ownID   = strings.Repeat("a", 64)
	otherID = strings.Repeat("b", 64)
)

// inspected is what Docker says about a container, a secret among it.
func inspected(id, name, mode, ports string) container.InspectResponse {
	var c container.InspectResponse
	text := fmt.Sprintf(`{"Id": %q, "Name": "/%s", "State": {"Running": true, "Status": "running", "Pid": 4711},
		"Path": "hunter2", "Args": ["hunter2"], "Mounts": [{"Source": "hunter2"}], "LogPath": "hunter2",
		"Config": {"Env": ["SECRET=hunter2"], "Cmd": ["hunter2"], "Labels": {"hunter2": "hunter2"}, "Image": "hunter2", "ExposedPorts": {"8000/tcp": {}}},
		"HostConfig": {"NetworkMode": %q, "Binds": ["hunter2"], "PortBindings": {"8000/tcp": [{"HostIp": "", "HostPort": ""}]}, "PublishAllPorts": true},
		"NetworkSettings": {"Ports": {"8000/tcp": %s}, "SandboxKey": "hunter2",
			"Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": "2001:db8::2", "MacAddress": "hunter2", "Aliases": ["hunter2"]}}}}`, id, name, mode, ports)
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	return c
}

// fakeEngine knows some containers.
type fakeEngine struct {
	mu     sync.Mutex
	knows  map[string]container.InspectResponse
	broken error
	lists  int

	inspected func() // after an answer, if it is not nil
}

func (e *fakeEngine) Running(context.Context) (ids []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lists++
	for id := range e.knows {
		ids = append(ids, id)
	}
	return ids, e.broken
}

func (e *fakeEngine) Inspect(_ context.Context, id string) (container.InspectResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.knows[id]
	if e.inspected != nil {
		e.inspected()
	}
	if !ok && e.broken == nil {
		return c, cerrdefs.ErrNotFound
	}
	return c, e.broken
}

func (e *fakeEngine) set(c container.InspectResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.knows[c.ID] = c
}

func (e *fakeEngine) breakDown(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = err
}

// world is a service, with this process in one of its containers.
type world struct {
	*Service
	engine *fakeEngine
	mu     sync.Mutex
	log    *bytes.Buffer
	path   string
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// newWorld starts a service that takes this process for one of the own container's.
func newWorld(t *testing.T, change ...func(*Service)) *world {
	t.Helper()
	return newWorldOf(t, cgroups{"": "/docker/" + ownID}, change...)
}

// newWorldOf starts a service that takes this process for one in these groups.
func newWorldOf(t *testing.T, in cgroups, change ...func(*Service)) *world {
	t.Helper()
	w := &world{engine: &fakeEngine{knows: map[string]container.InspectResponse{}}, log: &bytes.Buffer{}}
	w.engine.set(inspected(ownID, "web", "bridge", `[{"HostIp": "0.0.0.0", "HostPort": "32768"}]`))
	w.engine.set(inspected(otherID, "db", "bridge", `null`))
	w.Service = &Service{Engine: w.engine, Version: "1.2.3", Log: slog.New(slog.NewTextHandler(locked{&w.mu, w.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, c := range change {
		c(w.Service)
	}
	dir, err := os.MkdirTemp("", "host")
	if err != nil {
		t.Fatal(err)
	}
	w.path = filepath.Join(dir, "socket")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	w.prepare()
	w.containers.cgroupsOf = func(int) (cgroups, error) { return in, nil }
	w.pretend(t, ownID, os.Getpid(), cgroups{"": "/docker/" + ownID})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(ctx, socket) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(w.logged())
		}
		_ = os.RemoveAll(dir)
	})
	return w
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// pretend makes a process the first one of a container, which only an engine could.
func (w *world) pretend(t *testing.T, id string, pid int, in cgroups) {
	t.Helper()
	process, err := pidfd.Hold(pid)
	if err != nil {
		t.Fatal(err)
	}
	w.containers.mu.Lock()
	defer w.containers.mu.Unlock()
	w.containers.running[id] = &firstProcess{id, pid, process, in, "web"}
}

// say sends text, and returns all that comes back until the service closes the
// connection, or nothing more comes.
func (w *world) say(t *testing.T, text string) string {
	t.Helper()
	conn, err := net.Dial("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, text)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	said, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%.60q: the connection is left open", text)
	}
	return string(said)
}

// get asks once, and returns the answer.
func (w *world) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	said := w.say(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(said)), &http.Request{Method: http.MethodGet})
	if err != nil {
		t.Fatalf("%s: %v in %q", path, err, said)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
