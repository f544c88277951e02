package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/instances"
)

// noEtcd is away. What a real one tells is in the tests in a browser.
type noEtcd struct{}

func (noEtcd) Do(context.Context, time.Duration, func(context.Context, *clientv3.Client) error) error {
	return errors.New("etcd is away")
}

func (e noEtcd) Ask(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) error {
	return e.Do(ctx, within, request)
}

// serve starts a server, and returns its URL.
func serve(t *testing.T) (s *Server, url string) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &Server{
		Etcd: noEtcd{}, Prefixes: []string{"/service/"},
		Instances: func(w io.Writer, l instances.Listing) error { return json.NewEncoder(w).Encode(l.Instances) },
		Targets:   func(w io.Writer, l instances.Listing) error { return json.NewEncoder(w).Encode(len(l.Instances)) },
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, socket) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + socket.Addr().String()
}

func get(t *testing.T, method, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// A name that somebody makes mean 127.0.0.1 leads nobody's browser to the page there.
func TestOtherHosts(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	for host, refused := range map[string]bool{
		"127.0.0.1:" + port: false, "localhost:" + port: false, "[::1]:" + port: false, "10.1.0.101": false, "localhost": false,
		"evil.example:" + port: true, "evil.example": true, "127.0.0.1.evil.example": true, "localhost.evil.example": true,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/instances", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if got := answer.StatusCode; (got == http.StatusMisdirectedRequest) != refused { // others hear that etcd is away
			t.Errorf("%s: %d", host, got)
		}
	}
	everywhere, answer := &net.TCPAddr{IP: net.IPv4zero, Port: 8080}, httptest.NewRecorder()
	onlyHere(everywhere, http.NotFoundHandler()).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://any.example/", nil))
	if answer.Code != http.StatusNotFound {
		t.Errorf("at every address: %d", answer.Code)
	}
}

// The page and its parts are there, nothing else, and nothing comes from outside.
func TestPaths(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	for path, want := range map[string]int{
		"GET /": 200, "GET /app.js": 200, "GET /style.css": 200, "GET /icon.svg": 200, "GET /metrics": 200,
		"GET /api/instances": 503, "GET /sd": 503, // etcd was never read
		"GET /page": 404, "GET /board.go": 404, "POST /": 405, "DELETE /events": 405,
	} {
		method, path, _ := strings.Cut(path, " ")
		answer := get(t, method, url+path)
		if answer.StatusCode != want {
			t.Errorf("%s %s: %d, want %d", method, path, answer.StatusCode, want)
		}
		if !strings.HasPrefix(answer.Header.Get("Content-Security-Policy"), "default-src 'none'; ") || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, answer.Header)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "://") && !strings.Contains(string(text), "http://www.w3.org/2000/svg") {
			t.Errorf("%s asks somebody outside:\n%s", path, text)
		}
	}
}

// A page hears of what there is, and then of changes; too many pages are refused.
func TestEvents(t *testing.T) {
	t.Parallel()
	s, url := serve(t)
	next := func(answer *http.Response) func() news {
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		return func() (n news) {
			t.Helper()
			for lines.Scan() {
				if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					if err := json.Unmarshal([]byte(text), &n); err != nil {
						t.Fatal(err)
					}
					return n
				}
			}
			t.Fatal("nothing more is told: ", lines.Err())
			return n
		}
	}
	first := get(t, http.MethodGet, url+"/events")
	if first.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("nginx keeps what it is told: %v", first.Header)
	}
	told := next(first)
	if n := told(); !n.All {
		t.Errorf("the first word: %+v", n)
	}
	for n := range 1000 {
		s.take(instances.Event{Kind: instances.Came, At: time.Now(), Instance: instances.Instance{Key: fmt.Sprintf("/service/%d", n)}})
	}
	words, rows := 0, 0
	for rows < 1000 {
		n := told()
		words, rows = words+1, rows+len(n.Rows)
	}
	if words > 20 {
		t.Errorf("a thousand changes at once were told in %d words", words)
	}
	for range mostPages - 1 {
		get(t, http.MethodGet, url+"/events")
	}
	if answer := get(t, http.MethodGet, url+"/events"); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one page too many: %d", answer.StatusCode)
	}
}
