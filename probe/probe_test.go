package probe

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestMain lets many tests wait at the same time: most take deadlines, not
// processors, which the default of one test per processor goes by. Not all of
// them at once, because two processors would then be late to answer.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" { // which takes processors, and nothing else
		_ = flag.Set("test.parallel", "24")
	}
	log.SetOutput(io.Discard) // where net/http writes what an app says unasked; main does the same
	m.Run()
}

func TestParse(t *testing.T) {
	t.Parallel()
	for check, shown := range map[string]string{
		"http:/":                        "http:/",
		"http:/a/health":                "http:/a/health",
		"http:/a%2Fb":                   "http:/a%2Fb",
		"http:/health?token=hunter2":    "http:/health?…",
		"https:/":                       "https:/",
		"https:/health?token=hunter2":   "https:/health?…",
		"tcp":                           "tcp",
		"grpc":                          "grpc",
		"grpc:a.b.Service":              "grpc:a.b.Service",
		"grpc:a:b":                      "grpc:a:b",
		"exec:check":                    "exec:check",
		"exec:/a/check --token hunter2": "exec:/a/check (arguments: 2)",
		"exec:check 'hunter2 hunter2'":  "exec:check (arguments: 1)",
		"exec:'two words'":              "exec:two words",
	} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			if p := parse(t, check, 80); p.String() != shown {
				t.Errorf("shown as %q, want %q", p, shown)
			}
		})
	}
}

func TestParseMistakes(t *testing.T) {
	t.Parallel()
	const (
		noKind    = "not a kind of check; give http:/path, https:/path, tcp, grpc, grpc:service or exec:command arguments"
		noService = "no service after the colon; give grpc:service, or grpc for the server as a whole"
		noCommand = "no command to run; give exec:command arguments"
		noQuote   = "a quote is not closed; quote as in a shell, such as exec:check 'two words'"
	)
	noPath := func(kind string) string {
		return fmt.Sprintf("no path to ask for; give %s:/ or %s:/path", kind, kind)
	}
	for check, want := range map[string]string{
		"":                           noKind,
		" tcp":                       noKind,
		"TCP":                        noKind,
		"tcp:":                       noKind,
		"tcp:80":                     noKind,
		"udp":                        noKind,
		"/health":                    noKind,
		"HTTP:/":                     noKind,
		"http":                       noPath("http"),
		"http:":                      noPath("http"),
		"http:health":                noPath("http"),
		"http:?token=hunter2":        noPath("http"),
		"http://app/health":          "a host, which the probe finds by itself; give http:/health",
		"http://:8000/a%20b?hunter2": "a host, which the probe finds by itself; give http:/a%20b",
		"http://app":                 "a host, which the probe finds by itself; give http:/",
		"http:///health":             noPath("http"),
		"http://joe:hunter2@app/a":   "a host, which the probe finds by itself; give http:/a",
		"http://joe:1/hunter2@app/":  "a host, which the probe finds by itself; give http:/path",
		"http://joe/hunter2@app/":    "a host, which the probe finds by itself; give http:/path",
		"http:/%zz":                  noPath("http"),
		"http:/a\r\nHost: b":         noPath("http"),
		"http:/?a\x7f":               noPath("http"),
		"https":                      noPath("https"),
		"https://app/?hunter2":       "a host, which the probe finds by itself; give https:/",
		"grpc:":                      noService,
		"grpcs":                      noKind,
		"exec":                       noCommand,
		"exec:":                      noCommand,
		"exec: \t":                   noCommand,
		"exec:'' argument":           noCommand,
		"exec:check 'hunter2":        noQuote,
		`exec:check "hunter2`:        noQuote,
		`exec:check "a" 'hunter2" `:  noQuote,
	} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			p, err := Parse(check, 80, agent)
			if err == nil || err.Error() != want {
				t.Errorf("%v, %v, want %q", p, err, want)
			}
		})
	}
}

// TestDeadline is the line between an app that is slow and one that is late.
func TestDeadline(t *testing.T) {
	t.Parallel()
	type app func(t *testing.T, answerAt <-chan time.Time) (check string, port int)
	wait := func(t *testing.T, answerAt <-chan time.Time) {
		select {
		case <-time.After(time.Until(<-answerAt)):
		case <-t.Context().Done():
		}
	}
	web := func(kind string) app {
		return func(t *testing.T, answerAt <-chan time.Time) (string, int) {
			l, port := listen(t, "127.0.0.1")
			serveHTTP(t, kind, l, func(http.ResponseWriter, *http.Request) { wait(t, answerAt) })
			return kind + ":/", port
		}
	}
	for kind, start := range map[string]app{
		"http":  web("http"),
		"https": web("https"),
		"grpc": func(t *testing.T, answerAt <-chan time.Time) (string, int) {
			l, port := listen(t, "127.0.0.1")
			serveGRPC(t, l, checker{check: func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
				wait(t, answerAt)
				return healthpb.HealthCheckResponse_SERVING, nil
			}})
			return "grpc", port
		},
		"exec": func(t *testing.T, answerAt <-chan time.Time) (string, int) {
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			end, err := os.OpenFile(fifo, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = end.Close() })
			go func() {
				wait(t, answerAt)
				_, _ = end.WriteString("\n")
			}()
			return sh(`read line <"$1"`, fifo), 0
		},
	} {
		for name, tt := range map[string]struct {
			after  time.Duration // the deadline
			passes bool
		}{
			"answers a second before it": {-time.Second, true},
			"answers a second after it":  {time.Second, false},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				var took time.Duration
				var err error
				for range 3 { // a second may not be enough for a machine that is busy
					answerAt := make(chan time.Time, 1)
					check, port := start(t, answerAt)
					p := parse(t, check, port)
					answerAt <- time.Now().Add(budget + tt.after)
					if took, err = ask(t, p); err == nil || !tt.passes {
						break
					}
				}
				switch {
				case !tt.passes && kind == "exec":
					mustFailLate(t, took, err, "the command did not end")
				case !tt.passes:
					mustFailLate(t, took, err, "no answer")
				case err != nil || took < budget/2:
					t.Errorf("%v after %s, want it to pass when it is answered", err, took)
				}
			})
		}
	}
}

// TestStopped is a probe that the sidekick's own end interrupts: nothing to
// report about the app, and no deadline that it missed.
func TestStopped(t *testing.T) {
	t.Parallel()
	port := fullBacklog(t)
	for check, want := range map[string]string{
		"tcp":           "context canceled",
		"http:/":        "context canceled",
		"https:/":       "context canceled",
		"grpc":          "context canceled",
		"exec:sleep 60": "the command did not end",
	} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			time.AfterFunc(100*time.Millisecond, cancel)
			start := time.Now()
			err := parse(t, check, port).Probe(ctx)
			if took := time.Since(start); !errors.Is(err, context.Canceled) || err.Error() != want || took > patience/2 {
				t.Errorf("%v after %s, want %q soon", err, took, want)
			}
		})
	}
}

// TestP10NoSecretInReasons hides one secret wherever a check or an app's answer
// may hold one, and lets the probe fail in as many ways as there are.
func TestP10NoSecretInReasons(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	mustHide := func(t *testing.T, what, text string) {
		t.Helper()
		if strings.Contains(text, secret) {
			t.Errorf("%s holds the secret: %s", what, text)
		}
	}

	t.Run("mistakes", func(t *testing.T) {
		t.Parallel()
		for _, check := range []string{
			secret, "tcp:" + secret, "http:?" + secret, "http:/%zz?" + secret, "http:/?\n" + secret,
			"https://app/?" + secret, "exec:'" + secret, "exec:'' " + secret, `exec:check "` + secret,
		} {
			_, err := Parse(check, 80, agent)
			if err == nil {
				t.Fatalf("Parse(%q) takes it", check)
			}
			mustHide(t, "the error", err.Error())
		}
	})

	type failing struct {
		check string
		port  int
	}
	apps := map[string]failing{
		"exec that fails":  {sh("echo $1; echo $1 >&2; exit 1", secret), 0},
		"exec that hangs":  {sh("echo $1; echo $1 >&2; sleep 60", secret), 0},
		"exec that is not": {"exec:no-such-check " + secret, 0},
	}
	for _, kind := range []string{"http", "https"} {
		check := kind + ":/health?token=" + secret
		_, refused := reserve(t)
		apps[kind+" refused"] = failing{check, refused}
		apps[kind+" never connected"] = failing{check, fullBacklog(t)}
		apps[kind+" silent"] = failing{check, serveRaw(t, kind, func(conn net.Conn, _ int) { _, _ = conn.Read(make([]byte, 1)) })}
		apps[kind+" reset"] = failing{check, serveRaw(t, kind, func(conn net.Conn, _ int) { reset(conn) })}
		apps[kind+" endless header"] = failing{check, serveRaw(t, kind, sayOn("HTTP/1.1 200 OK\r\n", "A: b\r\n"))}
		for name, text := range map[string]string{
			"closed":           "",
			"another protocol": secret + "\r\n",
			"malformed":        "HTTP/1.1 " + secret + "\r\n\r\n",
			"500":              "HTTP/1.1 500 " + secret + "\r\nContent-Length: 7\r\n\r\n" + secret,
			"body broken off":  "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + secret,
			"redirect broken":  "HTTP/1.1 302 Found\r\nLocation: /" + secret + "\r\nContent-Length: 9\r\n\r\n" + secret,
		} {
			apps[kind+" "+name] = failing{check, serveRaw(t, kind, say(text))}
		}
	}
	for name, app := range apps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := parse(t, app.check, app.port)
			_, err := ask(t, p)
			if err == nil {
				t.Fatal("it passes")
			}
			mustHide(t, "the check as shown", p.String())
			for ; err != nil; err = errors.Unwrap(err) {
				mustHide(t, "the reason", err.Error())
			}
		})
	}
}
