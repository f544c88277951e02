package docker

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"dockreg/sidekick/docker/engine"
)

// flood is an engine that answers text to whatever it is asked, and then more and
// more. Only what is endless within the headers can be so in answer to HEAD, too.
func flood(t *testing.T, network, address, text, more string) (at net.Addr) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				if r.Method == http.MethodHead && strings.Contains(text, "\r\n\r\n") {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nConnection: close\r\n\r\n")
					return
				}
				_, err = io.WriteString(conn, text)
				for much := []byte(strings.Repeat(more, 1+(64<<10)/len(more))); err == nil; {
					_, err = conn.Write(much)
				}
			}()
		}
	}()
	return l.Addr()
}

// An answer without an end costs little memory and little time. Not parallel: what
// others allocate would count.
func TestEndlessAnswer(t *testing.T) {
	var zeros bytes.Buffer
	z := gzip.NewWriter(&zeros)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 8<<20)) // 8 KiB
	_ = z.Close()
	const noEnd = "answers without an end"
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, tt := range map[string]struct{ text, more, want string }{
		"a string in the body": {ok + "\r\n" + `{"Id": "`, "0", noEnd},
		"spaces":               {ok + "\r\n", " ", noEnd},
		"an array":             {ok + "\r\n" + `{"Mounts": [{}`, ",{}", noEnd},
		"chunks":               {ok + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "40\r\n" + strings.Repeat(" ", 64) + "\r\n", noEnd},
		"a header":             {ok + "A: ", "b", noEnd},
		"headers":              {ok, "A: b\r\n", noEnd},
		"answers before it":    {"", "HTTP/1.1 103 Early Hints\r\n\r\n", noEnd},
		"the first line":       {"", "H", noEnd},
		"a reason":             {"HTTP/1.1 500 No\r\n\r\n", "no ", "inspect container: "},
		"a long reason":        {"HTTP/1.1 500 No\r\nContent-Length: 500000\r\n\r\n", "no ", "inspect container: "},
		"much in little":       {ok + "Content-Encoding: gzip\r\n\r\n" + zeros.String(), zeros.String(), "inspect container: "},
	} {
		for network, address := range map[string]string{"unix": socketPath(t), "tcp": "127.0.0.1:0"} {
			t.Run(name+" by "+network, func(t *testing.T) {
				at := flood(t, network, address, tt.text, tt.more)
				l := locator(t, Config{Host: network + "://" + at.String(), Container: "app"}, fstest.MapFS{}, "app-1")
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				var took time.Duration
				var err error
				for range 5 { // engine.Timeout may not be enough for a machine that is busy
					start := time.Now()
					_, err = l.Locate(t.Context())
					if took = time.Since(start); took < engine.Timeout {
						break
					}
					runtime.ReadMemStats(&before)
				}
				runtime.ReadMemStats(&after)
				var cause error
				if tt.want == noEnd {
					cause = ErrNotDocker
				}
				mustSay(t, err, cause, tt.want)
				if err != nil && len(err.Error()) > 2*engine.MaxMessage {
					t.Errorf("an error of %d bytes: %.200s", len(err.Error()), err)
				}
				// All that was ever allocated, of which most is garbage already.
				allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
				t.Logf("%s, %d MiB allocated in all", took, allocated)
				if allocated > 32 {
					t.Errorf("%d MiB allocated, want at most 32", allocated)
				}
			})
		}
	}
}

// A connection is used again, and what was read of it before doesn't count.
func TestManyAnswersOnOneConnection(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("specific", "app")
	_, raw := inspected(t, "specific")
	e.from(body(strings.Replace(string(raw), "{", "{"+strings.Repeat(" ", engine.MaxAnswer*3/4), 1)))
	l := locator(t, Config{Host: e.onSocket()}, procWith(id), "app-1")
	for range 3 {
		mustLocate(t, l, "127.0.0.1:18000")
	}
}

// An answer that comes a byte at a time has no more time than another.
func TestTrickledAnswer(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]bool{"headers": true, "body": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			e.from(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				text := "HTTP/1.1 200 OK\r\nA: "
				if !head {
					text = "HTTP/1.1 200 OK\r\n\r\n{"
				}
				_, err = io.WriteString(conn, text)
				for tick := time.Tick(10 * time.Millisecond); err == nil; <-tick {
					_, err = io.WriteString(conn, " ")
				}
			})
			host := e.onSocket()
			l := locator(t, Config{Host: host, Container: "app"}, fstest.MapFS{}, "app-1")
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := l.Locate(ctx)
			mustSay(t, err, nil, "docker at "+host, "did not answer in time")
			if took := time.Since(start); took > engine.Timeout/2 {
				t.Errorf("took %s, want an end with the context after 200ms", took)
			}
		})
	}
}

// An answer about another container is never used, by whatever name it was asked for.
func TestAnswerAboutAnotherContainer(t *testing.T) {
	t.Parallel()
	c, raw := inspected(t, "specific") // the other one, which has an address
	for name, asked := range map[string]struct {
		container string
		proc      fs.FS
		hostname  string
		want      string
	}{
		"by /proc":            {"", procWith(ownID), "app-1", ownID},
		"by hostname":         {"", fstest.MapFS{}, ownID[:12], ownID[:12]},
		"by --container, id":  {ownID, fstest.MapFS{}, "app-1", ownID},
		"by the end of an id": {c.ID[1:], fstest.MapFS{}, "app-1", c.ID[1:]},
		"by --container, short id that is longer than the id": {c.ID + "0", fstest.MapFS{}, "app-1", c.ID + "0"},
		"by --container, name":                                {"web", fstest.MapFS{}, "app-1", "web"},
		"by the beginning of a name":                          {"ap", fstest.MapFS{}, "app-1", "ap"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			e.from(body(string(raw)))
			l := locator(t, Config{Host: e.onSocket(), Container: asked.container}, asked.proc, asked.hostname)
			at, err := l.Locate(t.Context())
			if at.IsValid() {
				t.Errorf("located %s, want nothing", at)
			}
			mustSay(t, err, nil, `about container "`+asked.want+`"`, c.ID, c.Name)
			mustLocateOnceAsked(t, e, l, asked.container, asked.want)
		})
	}
}

// mustLocateOnceAsked lets the engine answer about the right one.
func mustLocateOnceAsked(t *testing.T, e *fakeEngine, l *Locator, name, asked string) {
	t.Helper()
	c, raw := inspected(t, "specific")
	var own map[string]any
	if err := json.Unmarshal(raw, &own); err != nil {
		t.Fatal(err)
	}
	own["Id"], own["Name"] = asked+strings.Repeat("0", max(0, len(c.ID)-len(asked))), "/"+name
	raw, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	e.from(body(string(raw)))
	mustLocate(t, l, "127.0.0.1:18000")
}

// An id that is somebody else's name is one that Docker doesn't know.
func TestIDThatIsAnothersName(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	e.add("specific", ownID)
	l := locator(t, Config{Host: e.onSocket()}, procWith(ownID), "app-1")
	_, err := l.Locate(t.Context())
	mustSay(t, err, ErrUnknownSelf, ownID[:12])
	e.mustHaveBeenAsked(ownID)
}

// Containers that use each other's network in a circle have no end, but Locate has.
func TestNetworksInACircle(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("container-network", "app")
	_, raw := inspected(t, "container-network")
	e.from(body(strings.Replace(string(raw), "container:"+otherOf(t), "container:"+id, 1)))
	l := locator(t, Config{Host: e.onSocket()}, procWith(id), "app-1")
	_, err := l.Locate(t.Context())
	mustSay(t, err, nil, "network", id, "forever")
}

// otherOf is the one whose network the recorded container-network uses.
func otherOf(t *testing.T) string {
	t.Helper()
	c, _ := inspected(t, "container-network")
	return c.HostConfig.NetworkMode.ConnectedContainer()
}
