package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

const agent = "dockreg/0.0 (test)"

func TestMain(m *testing.M) {
	// A proxy that refuses, and that nobody is to ask.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		_ = os.Setenv(name, "http://127.0.0.1:1")
	}
	log.SetOutput(io.Discard) // where net/http writes what an engine says unasked; main does the same
	m.Run()
}

// fakeEngine answers in the words of Docker's API about a few containers. It fails the
// test on any other request than those that the package promises to make.
type fakeEngine struct {
	t        *testing.T
	min, max int // minor of API version 1.x

	mu     sync.Mutex
	knows  map[string][]byte // by id and by name
	answer http.HandlerFunc  // to inspect, instead of what the engine knows
	asked  []string          // ids and names
}

func newFakeEngine(t *testing.T) *fakeEngine {
	return &fakeEngine{t: t, min: 12, max: 41, knows: map[string][]byte{}}
}

// add makes a recorded container known, by its id and by a name, or what else
// Docker takes for one.
func (e *fakeEngine) add(recorded, name string) (id string) {
	e.t.Helper()
	c, raw := inspected(e.t, recorded)
	raw = bytes.Replace(raw, []byte(`"Name": "`+c.Name), []byte(`"Name": "/`+name), 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.knows[c.ID], e.knows[name] = raw, raw
	return c.ID
}

// remove is docker rm.
func (e *fakeEngine) remove(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.knows, id)
}

// from makes the engine answer to inspect in another way from now on.
func (e *fakeEngine) from(answer http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

// mustHaveBeenAsked fails the test unless inspect was asked about these.
func (e *fakeEngine) mustHaveBeenAsked(want ...string) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.asked, want) {
		e.t.Errorf("the engine was asked about\n     %q\nwant %q", e.asked, want)
	}
}

var inspectPath = regexp.MustCompile(`^/v1\.(\d+)/containers/([^/]+)/json$`)

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	answer := e.answer
	e.mu.Unlock()
	w.Header().Set("Api-Version", "1."+strconv.Itoa(e.max))
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Server", "Docker/20.10.24 (linux)")
	if got := r.Header.Get("User-Agent"); got != agent {
		e.t.Errorf("User-Agent %q, want %q", got, agent)
	}
	inspect := inspectPath.FindStringSubmatch(r.URL.Path)
	switch {
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.URL.Path == "/_ping":
		_, _ = fmt.Fprint(w, "OK")
		return
	case r.Method == http.MethodGet && r.URL.Path == "/version":
		_, _ = fmt.Fprintf(w, `{"ApiVersion": "1.%d", "MinAPIVersion": "1.%d"}`, e.max, e.min)
		return
	case r.Method != http.MethodGet || inspect == nil || r.URL.RawQuery != "":
		e.t.Errorf("%s %s: something that only answers what dockreg promises to ask would refuse it", r.Method, r.URL)
		refuse(w, http.StatusForbidden, "forbidden")
		return
	}
	minor, err := strconv.Atoi(inspect[1])
	if err != nil || minor < e.min || minor > e.max {
		e.t.Errorf("asked in API version 1.%d, the engine knows 1.%d to 1.%d", minor, e.min, e.max)
		refuse(w, http.StatusBadRequest, "client version 1."+inspect[1]+" is too old, or too new")
		return
	}
	e.mu.Lock()
	e.asked = append(e.asked, inspect[2])
	known, ok := e.knows[inspect[2]]
	e.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case !ok:
		refuse(w, http.StatusNotFound, "No such container: "+inspect[2])
	default:
		say(w, string(known))
	}
}

// refuse is how Docker reports an error.
func refuse(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

func say(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, body)
}

// socketPath is one that nothing is at. A test's own folder would be nicer, but its
// path holds the test's name, and a socket's may have 107 characters.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "docker.sock")
}

// serve puts e where network and address say, until the test ends or stop is
// called.
func (e *fakeEngine) serve(network, address string) (at net.Addr, stop func()) {
	e.t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		e.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(e)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	stop = sync.OnceFunc(s.Close)
	e.t.Cleanup(stop)
	return l.Addr(), stop
}

// onSocket serves e on a socket and returns Docker's address.
func (e *fakeEngine) onSocket() string {
	e.t.Helper()
	path := socketPath(e.t)
	e.serve("unix", path)
	return "unix://" + path
}

// locator is one for port 8000 in a container with these files and this hostname.
func locator(t *testing.T, c Config, proc fs.FS, hostname string) *Locator {
	t.Helper()
	c.Port, c.UserAgent = 8000, agent
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l.proc, l.hostname = proc, hostname
	return l
}

// procWith holds these ids, likeliest first.
func procWith(ids ...string) fs.FS {
	var lines []string
	for i, id := range ids {
		lines = append(lines, fmt.Sprintf("%d 71 254:0 /var/lib/docker/containers/%s/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n", i, id))
	}
	return fstest.MapFS{"self/mountinfo": {Data: []byte(strings.Join(lines, ""))}}
}

// mustLocate fails the test unless the address is found.
func mustLocate(t *testing.T, l *Locator, want string) {
	t.Helper()
	got, err := l.Locate(t.Context())
	if err != nil || got.String() != want {
		t.Errorf("located %v, %v, want %s", got, err, want)
	}
}
