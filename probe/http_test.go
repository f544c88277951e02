package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// quiet drops what Go's server logs about clients that don't speak its protocol.
var quiet = log.New(io.Discard, "", 0)

// serveHTTP serves http or https. A nil handler answers 200 to everything.
func serveHTTP(t *testing.T, kind string, l net.Listener, handler http.HandlerFunc) (stop func()) {
	t.Helper()
	if handler == nil {
		handler = func(http.ResponseWriter, *http.Request) {}
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler, ErrorLog: quiet}}
	if kind == "https" {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Close
}

// web runs a test for http and https.
func web(t *testing.T, name string, test func(t *testing.T, kind string)) {
	t.Helper()
	for _, kind := range []string{"http", "https"} {
		t.Run(strings.TrimSpace(kind+" "+name), func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

func TestHTTPPasses(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(net.Conn, int){
		"200":                  say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
		"200 of HTTP/1.0":      say("HTTP/1.0 200 OK\r\n\r\nok"),
		"204":                  say("HTTP/1.1 204 No Content\r\n\r\n"),
		"299, a code unnamed":  say("HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"),
		"200 after 103":        say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"302 to nowhere":       say("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
		"304":                  say("HTTP/1.1 304 Not Modified\r\n\r\n"),
		"399":                  say("HTTP/1.1 399 \r\nContent-Length: 0\r\n\r\n"),
		"resets, then answers": failFirst(1, reset),
		"resets, twice":        failFirst(2, reset),
		"closes, then answers": failFirst(1, func(net.Conn) {}),
		"closes, four times":   failFirst(4, func(net.Conn) {}),
	} {
		web(t, name, func(t *testing.T, kind string) {
			mustPass(t, parse(t, kind+":/", serveRaw(t, kind, handle)))
		})
	}
}

// failFirst is an app that fails the first n connections, and answers the others.
func failFirst(n int, fail func(net.Conn)) func(net.Conn, int) {
	return func(conn net.Conn, attempt int) {
		if attempt <= n {
			fail(conn)
			return
		}
		say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(conn, attempt)
	}
}

func TestHTTPFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handle func(net.Conn, int)
		want   string
	}{
		"101":                   {say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n"), "answered 101 Switching Protocols"},
		"400":                   {say("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"), "answered 400 Bad Request"},
		"404":                   {say("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nsrc"), "answered 404 Not Found"},
		"500":                   {say("HTTP/1.1 500 hunter2\r\nContent-Length: 0\r\n\r\n"), "answered 500 Internal Server Error"},
		"503":                   {say("HTTP/1.1 503 Later\r\nRetry-After: 60\r\n\r\n"), "answered 503 Service Unavailable"},
		"599, a code unnamed":   {say("HTTP/1.1 599 hunter2\r\n\r\n"), "answered 599"},
		"always resets":         {func(conn net.Conn, _ int) { reset(conn) }, "connection reset by the app"},
		"always closes":         {say(""), "connection closed without an answer"},
		"another protocol":      {say("220 hunter2 ESMTP\r\n"), "answered, but not with HTTP"},
		"body broken off":       {say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhunter2"), "answered 200, but its body broke off"},
		"chunk broken off":      {say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhunter2"), "answered 200, but its body broke off"},
		"chunk of no size":      {say("HTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\nhunter2"), "answered 302, but its body broke off"},
		"reset within the body": {func(conn net.Conn, _ int) { say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")(conn, 0); reset(conn) }, "answered 200, but its body broke off"},
	} {
		web(t, name, func(t *testing.T, kind string) {
			mustFail(t, parse(t, kind+":/", serveRaw(t, kind, tt.handle)), tt.want)
		})
	}
}

// TestHTTPDecidesAtOnce is what no waiting makes better. Answers are not retried:
// an app that is overloaded isn't helped by more questions.
func TestHTTPDecidesAtOnce(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(net.Conn, int){
		"503":              say("HTTP/1.1 503 Later\r\nRetry-After: 1\r\n\r\n"),
		"429":              say("HTTP/1.1 429 Later\r\nRetry-After: 1\r\n\r\n"),
		"another protocol": say("220 ESMTP\r\n"),
		"endless header":   sayOn("HTTP/1.1 200 OK\r\n", "A: b\r\n"),
	} {
		web(t, name, func(t *testing.T, kind string) {
			var attempts atomic.Int32
			port := serveRaw(t, kind, func(conn net.Conn, attempt int) {
				attempts.Store(int32(attempt))
				handle(conn, attempt)
			})
			p := parse(t, kind+":/", port)
			took, err := askWithin(t, p, patience)
			if n := attempts.Load(); err == nil || errors.Is(err, context.DeadlineExceeded) || n != 1 {
				t.Errorf("%v after %s and %d requests, want one that fails", err, took, n)
			}
		})
	}
}

// TestHTTPWrongPort is a check of one kind and an app of another.
func TestHTTPWrongPort(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ check, app, want string }{
		"http to https": {"http:/", "https", "answered 400 Bad Request"}, // what Go's server says
		"http to grpc":  {"http:/", "grpc", "answered, but not with HTTP"},
		"https to http": {"https:/", "http", "answered, but not with TLS"},
		"https to grpc": {"https:/", "grpc", "answered, but not with TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, port := listen(t, "127.0.0.1")
			serveHealthy(t, tt.app, l)
			mustFail(t, parse(t, tt.check, port), tt.want)
		})
	}
	t.Run("https to one too old", func(t *testing.T) {
		t.Parallel()
		port := serveConns(t, func(conn net.Conn) {
			old := tlsConfig().Clone()
			old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			_ = tls.Server(conn, old).Handshake()
		})
		mustFail(t, parse(t, "https:/", port), "remote error: tls: protocol version not supported")
	})
	t.Run("https to a banner", func(t *testing.T) {
		t.Parallel()
		port := serveConns(t, func(conn net.Conn) {
			say("SSH-2.0-hunter2\r\n")(conn, 0)
			_, _ = io.Copy(io.Discard, conn) // not to reset what it said
		})
		mustFail(t, parse(t, "https:/", port), "answered, but not with TLS")
	})
}

// TestHTTPHangsUp is an answer that never ends, of which the beginning is enough.
// What is left of it must not keep a connection open, and with each probe one more.
func TestHTTPHangsUp(t *testing.T) {
	t.Parallel()
	for text, passes := range map[string]bool{"HTTP/1.1 200 OK": true, "HTTP/1.1 500 No": false} {
		web(t, text, func(t *testing.T, kind string) {
			left := make(chan struct{}, 3)
			port := serveRaw(t, kind, func(conn net.Conn, _ int) {
				sayOn(text+"\r\n\r\n", "more")(conn, 0)
				left <- struct{}{}
			})
			took, err := askWithin(t, parse(t, kind+":/", port), patience)
			if (err == nil) != passes || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v after %s, want it to decide by the beginning", err, took)
			}
			select {
			case <-left:
			case <-time.After(patience):
				t.Error("the connection is still open")
			}
		})
	}
}

func TestHTTPSlowBody(t *testing.T) {
	t.Parallel()
	web(t, "trickles", func(t *testing.T, kind string) {
		port := serveRaw(t, kind, func(conn net.Conn, _ int) {
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			for tick := time.Tick(50 * time.Millisecond); err == nil; <-tick {
				_, err = conn.Write([]byte("."))
			}
		})
		mustBeLate(t, parse(t, kind+":/", port), "answered 200, but its body did not end")
	})
}

func TestHTTPRequest(t *testing.T) {
	t.Parallel()
	web(t, "", func(t *testing.T, kind string) {
		asked := make(chan *http.Request, 1)
		l, port := listen(t, "127.0.0.1")
		serveHTTP(t, kind, l, func(_ http.ResponseWriter, r *http.Request) { asked <- r })
		mustPass(t, parse(t, kind+":/a%2Fb/c?token=hunter2&d=%20", port))
		r := <-asked
		if r.Method != http.MethodGet || r.RequestURI != "/a%2Fb/c?token=hunter2&d=%20" || r.UserAgent() != agent {
			t.Errorf("asked %s %s as %q", r.Method, r.RequestURI, r.UserAgent())
		}
	})
}

func TestHTTPRedirectNotFollowed(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 303, 307, 308} {
		web(t, fmt.Sprint(code), func(t *testing.T, kind string) {
			var asked, target atomic.Int32
			other, otherPort := listen(t, "127.0.0.1")
			serveHTTP(t, kind, other, func(http.ResponseWriter, *http.Request) { target.Add(1) })
			l, port := listen(t, "127.0.0.1")
			serveHTTP(t, kind, l, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				http.Redirect(w, r, fmt.Sprintf("%s://127.0.0.1:%d/", kind, otherPort), code)
			})
			mustPass(t, parse(t, kind+":/", port))
			if asked.Load() != 1 || target.Load() != 0 {
				t.Errorf("%d requests, and %d to the target, want 1 and 0", asked.Load(), target.Load())
			}
		})
	}
}

// TestHTTPHoldsNoConnection is an app with one worker, which has time for others
// only when a connection has ended.
func TestHTTPHoldsNoConnection(t *testing.T) {
	t.Parallel()
	web(t, "", func(t *testing.T, kind string) {
		left := make(chan struct{}, 3)
		p := parse(t, kind+":/", serveRaw(t, kind, func(conn net.Conn, attempt int) {
			say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok")(conn, attempt)
			_, _ = io.Copy(io.Discard, conn)
			left <- struct{}{}
		}))
		for range 3 {
			mustPass(t, p)
			select {
			case <-left:
			case <-time.After(patience):
				t.Fatal("the connection is still open")
			}
		}
	})
}

// TestHTTPIgnoresProxy sets the environment, and so runs alone. Go's own way to a
// proxy spares 127.0.0.1, and would pass, too; this holds for any way.
func TestHTTPIgnoresProxy(t *testing.T) {
	var proxied atomic.Int32
	proxy := serveConns(t, func(net.Conn) { proxied.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		at := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", proxy)}
		t.Setenv(name, at.String())
		t.Setenv(strings.ToLower(name), at.String())
	}
	t.Setenv("NO_PROXY", "")
	for kind, check := range checks {
		l, port := listen(t, "127.0.0.1")
		serveHealthy(t, kind, l)
		mustPass(t, parse(t, check, port))
	}
	if n := proxied.Load(); n > 0 {
		t.Errorf("%d connections to the proxy", n)
	}
}
