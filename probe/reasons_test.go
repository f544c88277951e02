package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// tally is each reason of n probes, and how often it came.
func tally(t *testing.T, check string, port, n int, timeout time.Duration) map[string]int {
	t.Helper()
	reasons := map[string]int{}
	p := parse(t, check, port)
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		reasons[fmt.Sprint(p.Probe(ctx))]++
		cancel()
	}
	return reasons
}

func mustBe(t *testing.T, got map[string]int, want string) {
	t.Helper()
	if len(got) != 1 || got[want] == 0 {
		t.Errorf("%v, want only %q", got, want)
	}
}

// A connection closed before the request was written is closed without an answer
// too, though net/http has another error for it.
func TestHTTPClosedBeforeTheRequest(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	port := serveConns(t, func(conn net.Conn) {
		if conns.Add(1)%2 == 0 { // every other connection is closed before the request is read
			b := make([]byte, 4096)
			_, _ = conn.Read(b)
			say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")(conn, 0)
		}
	})
	mustBe(t, tally(t, "http:/", port, 20, patience), "<nil>")
}

// A connection that the transport closes while it writes the request hides why.
func TestHTTPClosedWithinTheRequest(t *testing.T) {
	t.Parallel()
	err := &url.Error{Op: "Get", URL: "http://127.0.0.1", Err: &net.OpError{Op: "write", Net: "tcp", Err: net.ErrClosed}}
	if again, _ := closedUnanswered(t.Context(), nil, err); !again || !errors.Is(httpReason(err), errClosed) {
		t.Errorf("asks again: %t, %v, want it to be %v", again, httpReason(err), errClosed)
	}
}

// An app that speaks first, as SSH, SMTP and gRPC servers do.
func TestHTTPAppThatSpeaksFirst(t *testing.T) {
	t.Parallel()
	port := serveConns(t, func(conn net.Conn) {
		say("SSH-2.0-hunter2\r\n")(conn, 0)
		_, _ = io.Copy(io.Discard, conn)
	})
	mustBe(t, tally(t, "http:/", port, 30, patience), "answered, but not with HTTP")
}

// P10: what the app says in place of an answer is in no reason. A redirect that leads
// nowhere is one all the same, and passes.
func TestP10NoTextOfTheAppInHTTPReasons(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"HTTP/1.1 302 Found\r\nLocation: http://%zz/?token=hunter2\r\nContent-Length: 0\r\n\r\n": "<nil>",
		"HTTP/1.1 200 OK\r\nhunter2 is the token\r\n\r\n":                                        "answered, but not with HTTP",
		"HTTP/1.1 200 OK\r\nContent-Length: hunter2\r\n\r\n":                                     "answered, but not with HTTP",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: hunter2\r\n\r\n":                                  "answered, but not with HTTP",
		"HTTP/1.1 200 OK\r\nFoo":                                                                 "answered, but not with HTTP",
	} {
		mustBe(t, tally(t, "http:/", serveRaw(t, "http", say(text)), 1, patience), want)
	}
}

// P10: nor is what it says with a gRPC status.
func TestP10NoTextOfTheAppInGRPCReasons(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1")
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Protocols: p, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "hunter2 ", time.Now())
	})}
	go func() { _ = s.Serve(l) }()
	defer func() { _ = s.Close() }()
	for reason := range tally(t, "grpc", port, 3, patience) {
		if reason == "<nil>" || strings.Contains(reason, "hunter2") {
			t.Errorf("reason %q, want one without the app's own words", reason)
		}
	}
}

// TestHTTPGivesUpInTime is an app that is asked again, and again: the reason is what
// became of the connections, not the deadline that retrying ran into.
func TestHTTPGivesUpInTime(t *testing.T) {
	t.Parallel()
	web(t, "", func(t *testing.T, kind string) {
		var attempts atomic.Int32
		p := parse(t, kind+":/", serveRaw(t, kind, func(_ net.Conn, attempt int) { attempts.Store(int32(attempt)) }))
		_, err := askWithin(t, p, patience) // a busy machine takes its own time
		if n := attempts.Load(); !errors.Is(err, errClosed) || n < 1+retries {
			t.Errorf("%v after %d requests, want %v after %d", err, n, errClosed, 1+retries)
		}
	})
}

// The dial's own clock may end before the context's.
func TestTCPLateIsAlwaysLate(t *testing.T) {
	t.Parallel()
	port := fullBacklog(t)
	mustBe(t, tally(t, "tcp", port, 50, 20*time.Millisecond), "no answer in time")
}

// A gRPC server knows the deadline, and may tell of its end first.
func TestGRPCLateIsAlwaysLate(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1")
	serveGRPC(t, l, checker{check: func(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}})
	mustBe(t, tally(t, "grpc", port, 60, 20*time.Millisecond), "no answer in time")
}

// A reset shows in the dial or after it.
func TestGRPCResetHasOneReason(t *testing.T) {
	t.Parallel()
	port := serveConns(t, reset)
	got := tally(t, "grpc", port, 50, patience)
	if len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// To tcp, an app that accepts and resets has accepted, whatever is seen first.
func TestTCPResetAlwaysPasses(t *testing.T) {
	t.Parallel()
	got := tally(t, "tcp", serveConns(t, reset), 100, patience)
	if len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// A connection that is kept does not hide that nobody can connect any more. Not beside
// the tests of exec, as TestRestarted.
func TestHTTPListenerGone(t *testing.T) {
	l, port := listen(t, "127.0.0.1")
	go func() { _ = http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) }()
	p := parse(t, "http:/", port)
	mustPass(t, p)
	_ = l.Close()
	mustFail(t, p, errRefused.Error())
}

// P9: what would never be asked for is a mistake.
func TestP9ParseRefusesWhatIsNeverAsked(t *testing.T) {
	t.Parallel()
	for _, check := range []string{"http:/x#fragment", "http://user:hunter2@/x", "http://?x", "http:///x", "http:/?a b"} {
		if p, err := Parse(check, 80, agent); err == nil {
			t.Errorf("Parse(%q) takes it as %s", check, p)
		}
	}
}

// An app that listens elsewhere than on 127.0.0.1 is not taken for one that listens
// nowhere, because it resets.
func TestResetElsewhereIsNotRefused(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.2")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			reset(conn)
		}
	}()
	mustBe(t, tally(t, "http:/", port, 5, 15*time.Second), errReset.Error())
}
