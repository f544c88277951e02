package client

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var at = netip.MustParseAddrPort("192.0.2.1:49155")

// service stands in for a host's: it takes every will, unless answer says otherwise. What
// the real one does is in the e2e tests.
type service struct {
	path   string
	server *http.Server
	calls  chan string // method and path
	answer http.HandlerFunc
}

func startService(t *testing.T, path string, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{path: path, calls: make(chan string, 1000), answer: answer}
	_ = os.Remove(path)
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Second}
	go func() { _ = s.server.Serve(socket) }()
	t.Cleanup(s.end)
	return s
}

func (s *service) end() { _ = s.server.Close() }

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.answer != nil {
		s.answer(w, r)
		s.calls <- r.Method + " " + r.URL.Path
		return
	}
	w.Header().Set("Server", Server)
	if r.Method != http.MethodPut {
		w.WriteHeader(http.StatusNoContent)
		s.calls <- r.Method + " " + r.URL.Path
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	s.calls <- r.Method + " " + r.URL.Path
	<-r.Context().Done()
}

func (s *service) wantCall(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-s.calls:
		if got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s", want)
	}
}

// called says whether that was asked, or is before long.
func (s *service) called(t *testing.T, want string) bool {
	t.Helper()
	select {
	case got := <-s.calls:
		if got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		return true
	case <-time.After(time.Second):
		return false
	}
}

// tries is how often an end is tried, of which a withdrawal gets 300 ms: too little for a
// machine that stands still at that moment.
const tries = 5

func (s *service) wantNoCall(t *testing.T) {
	t.Helper()
	select {
	case got := <-s.calls:
		t.Fatalf("%s, want nothing", got)
	default:
	}
}

// journaled is a Will, and what it logs.
type journaled struct {
	*Will
	out  *lockedBuffer
	path string
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newWill(t *testing.T) *journaled {
	t.Helper()
	dir, err := os.MkdirTemp("", "will")
	if err != nil {
		t.Fatal(err)
	}
	j := &journaled{out: &lockedBuffer{more: make(chan struct{}, 1)}, path: filepath.Join(dir, "s")}
	j.Will = NewWill(j.path, slog.New(slog.NewTextHandler(j.out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() {
		j.Close()
		_ = os.RemoveAll(dir)
		if t.Failed() {
			t.Log(j.out.String())
		}
	})
	return j
}

// wantLogged waits until these words are logged, and wants them once.
func (j *journaled) wantLogged(t *testing.T, words string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for !strings.Contains(j.out.String(), words) {
		select {
		case <-j.out.more:
		case <-late:
			t.Fatalf("%q is not there in\n%s", words, j.out)
		}
	}
	if found := strings.Count(j.out.String(), words); found != 1 {
		t.Errorf("%q is there %d times in\n%s", words, found, j.out)
	}
}
