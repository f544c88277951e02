package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A request that may have done its work is sent again only if that is safe. One
// that reached nobody is sent on, whatever its method.
func TestProxiesRepeatOnlyWhatIsSafe(t *testing.T) {
	needDocker(t)
	t.Parallel()
	f := startProxies(t)
	var mu sync.Mutex
	received := map[string]int{} // requests at any server, by method and path
	count := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		received[r.Method+r.URL.Path]++
	}
	f.serve(t, func(w http.ResponseWriter, r *http.Request) {
		count(r)
		_, _ = io.WriteString(w, "good")
	})
	f.wantAnswer(t, "good")
	f.put(t, net.JoinHostPort(docker.Gateway, "1")) // takes no connection
	f.serve(t, func(_ http.ResponseWriter, r *http.Request) {
		count(r)
		panic(http.ErrAbortHandler) // closes the connection, unanswered
	})

	// Each on a connection of its own: a proxy that loads its configuration anew may end an
	// idle one at the moment at which a POST is sent on it.
	client := http.Client{Timeout: 2 * busy, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, p := range f.proxies {
		// Until the one that does not answer has had a request of this method.
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			deadline := time.Now().Add(time.Minute)
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for n := 1; ; n++ {
				<-pace.C
				path := fmt.Sprintf("/%s/%d", p.image, n)
				request, err := http.NewRequest(method, "http://"+p.address+path, strings.NewReader("x"))
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(request)
				if err != nil {
					t.Fatalf("%s: %v", p.image, err)
				}
				_ = response.Body.Close()
				mu.Lock()
				sent := received[method+path]
				mu.Unlock()
				ok := response.StatusCode == http.StatusOK
				if method == http.MethodPost && sent != 1 || method == http.MethodGet && !ok {
					t.Fatalf("%s: %s number %d got to %d servers, and %s", p.image, method, n, sent, response.Status)
				}
				if !ok || sent > 1 {
					t.Logf("%s: %s number %d got to %d servers, and %s", p.image, method, n, sent, response.Status)
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s: no %s of %d got to the server that does not answer", p.image, method, n)
				}
			}
		}
	}
}

// A reload lets the requests under way finish, whoever answers the next ones. And a
// stop ends a proxy without force.
func TestReloadLetsRequestsFinish(t *testing.T) {
	needDocker(t)
	t.Parallel()
	f := startProxies(t)
	arrived, released := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release() // or a test that fails would wait for its server for ever
	f.serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			arrived <- struct{}{}
			<-released
		}
		_, _ = io.WriteString(w, "first")
	})
	f.wantAnswer(t, "first")

	// On connections of their own: an idle one may lead to a proxy that had the same IP before.
	client := http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	answers := make(chan string, len(f.proxies))
	for _, p := range f.proxies {
		go func() { // with a POST, which nobody sends again
			response, err := client.Post("http://"+p.address, "text/plain", strings.NewReader("x"))
			if err != nil {
				answers <- err.Error()
				return
			}
			defer func() { _ = response.Body.Close() }()
			body, _ := io.ReadAll(response.Body)
			answers <- string(body)
		}()
		select {
		case <-arrived:
		case answer := <-answers:
			t.Fatalf("%s answered %q", p.image, answer)
		}
	}
	f.serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "second") })
	f.wantAnswer(t, "second")
	release()
	for range f.proxies {
		if answer := <-answers; answer != "first" {
			t.Errorf("the request under way during a reload got %q", answer)
		}
	}
	for _, p := range f.proxies {
		if _, err := p.Do("stop"); err != nil {
			t.Fatal(err)
		}
		if state, err := p.Do("inspect", "--format", "{{.State.ExitCode}}"); err != nil || state != "0" {
			t.Errorf("%s ended with %s, %v; want 0: nobody had to be killed", p.image, state, err)
		}
	}
}

// haproxyKeepsIdle is for less than how long HAProxy keeps a connection without a request.
const haproxyKeepsIdle = 4 * time.Second

// A client's idle connection takes one more request after a reload, and then ends:
// a POST on one that is cut at that moment would be lost. On a busy machine a reload may
// take longer than any connection may be idle: then the next one counts.
func TestHAProxyKeepsIdleConnectionsOverAReload(t *testing.T) {
	// Not beside other tests: a reload has to be over before HAProxy ends a connection
	// for being idle.
	needDocker(t)
	f := startProxies(t)
	f.proxies = f.proxies[:1]
	f.serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "first") })
	f.wantAnswer(t, "first")
	for n := range 10 {
		conn, err := net.Dial("tcp", f.proxies[0].address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		answers := bufio.NewReader(conn)
		if response, err := post(conn, answers); err != nil || response.Close {
			t.Fatalf("%v; or the connection ends without a reload", err)
		}
		idle := time.Now()
		next := fmt.Sprintf("next %d", n)
		f.serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, next) })
		f.wantAnswer(t, next)
		response, err := post(conn, answers)
		if time.Since(idle) > haproxyKeepsIdle {
			continue
		}
		if err != nil || response.StatusCode != http.StatusOK || !response.Close {
			t.Errorf("after a reload: %v, %v; want 200, and that the connection is said to end", response, err)
		}
		return
	}
	t.Errorf("no reload took less than %s", haproxyKeepsIdle)
}

// post sends a POST on an open connection.
func post(conn net.Conn, answers *bufio.Reader) (*http.Response, error) {
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n"); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(answers, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
	}
	return response, err
}

// Many changes at once make few reloads: each leaves an old process behind for a
// while.
func TestManyKeysMakeFewReloads(t *testing.T) {
	needDocker(t)
	t.Parallel()
	f := startProxies(t)
	start := time.Now()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for i := range 100 {
		<-pace.C
		f.put(t, fmt.Sprintf("127.0.0.1:%d", 1000+i)) // nobody is there
	}
	f.serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "last") })
	f.wantAnswer(t, "last")
	for _, p := range f.proxies {
		logs, err := p.Logs()
		if err != nil {
			t.Fatal(err)
		}
		reloads, took := strings.Count(logs, "out of sync"), time.Since(start)
		t.Logf("%s: %d reloads in %s", p.image, reloads, took)
		if most := int(2*took.Seconds()) + 2; reloads > most {
			t.Errorf("%s: %d reloads in %s, want %d at most", p.image, reloads, took, most)
		}
	}
}

// serve runs a server on this machine, and puts its key by hand.
func (f *followed) serve(t *testing.T, answer http.HandlerFunc) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(docker.Gateway, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	f.put(t, listener.Addr().String())
}

func (f *followed) put(t *testing.T, name string) {
	t.Helper()
	if _, err := f.etcd.Client.Put(t.Context(), "/service/"+name, "running"); err != nil {
		t.Fatal(err)
	}
}
