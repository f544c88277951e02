package probe

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostileMemory is the most that a probe of a hostile app may allocate in all, of
// which most is garbage already. The worst ones here take 2 MiB, the app's part included.
const hostileMemory = 8 << 20

// flood is an app that says text, and then more and more until nobody listens.
func flood(text, more string) func(net.Conn, int) {
	much := []byte(strings.Repeat(more, 1+(32<<10)/len(more)))
	return func(conn net.Conn, _ int) {
		_, err := io.WriteString(conn, text)
		for err == nil {
			_, err = conn.Write(much)
		}
	}
}

// trickle is an app that says text, and then more and more, a little at a time.
func trickle(text, more string) func(net.Conn, int) {
	return func(conn net.Conn, _ int) {
		_, err := io.WriteString(conn, text)
		for tick := time.Tick(20 * time.Millisecond); err == nil; <-tick {
			_, err = io.WriteString(conn, more)
		}
	}
}

// hostile is an app, and how it is asked.
type hostile struct {
	check string
	port  func(t *testing.T) int // starts it
	want  string                 // the outcome; with a | between them, some that are all right
}

// mustStand asks each app twice, and fails the test unless the outcome is as wanted
// each time, in time and in little memory, and nothing runs on afterwards. Those that
// only the deadline ends are asked all at once, the others one after the other.
func mustStand(t *testing.T, apps map[string]hostile) {
	t.Helper()
	late := map[string]hostile{}
	for name, app := range apps {
		if strings.HasSuffix(app.want, " in time") {
			late[name] = app
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := parse(t, app.check, app.port(t))
			mustBeCheap(t, 2, func() {
				for range 2 {
					took, err := askWithin(t, p, patience)
					if !slices.Contains(strings.Split(app.want, "|"), fmt.Sprint(err)) {
						t.Errorf("%v after %s, want %s", err, took, app.want)
					}
				}
			})
		})
	}
	mustBeCheap(t, 2*len(late), func() {
		t.Run("late", func(t *testing.T) {
			for name, app := range late {
				for range 2 {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						mustBeLate(t, parse(t, app.check, app.port(t)), strings.TrimSuffix(app.want, " in time"))
					})
				}
			}
		})
	})
}

// mustBeCheap fails the test if so many probes take more memory than they may, or
// leave a goroutine. Tests that call it are not parallel: those of others would count.
func mustBeCheap(t *testing.T, probes int, ask func()) {
	t.Helper()
	running := runtime.NumGoroutine()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ask()
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) / uint64(max(probes, 1))
	t.Logf("%d KiB allocated", allocated>>10)
	if allocated > hostileMemory {
		t.Errorf("%d KiB allocated in a probe, want %d at most", allocated>>10, hostileMemory>>10)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > running; <-tick.C {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, want %d as before:\n%s", runtime.NumGoroutine(), running, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestHostileHTTP is an app that does its worst to who asks it by HTTP.
func TestHostileHTTP(t *testing.T) {
	elsewhere, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = elsewhere.Close() }()
	dialled := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := elsewhere.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			dialled <- struct{}{}
		}
	}()

	const (
		ok      = "HTTP/1.1 200 OK\r\n"
		chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
		noHTTP  = "answered, but not with HTTP"
		broken  = "answered 200, but its body broke off"
		passes  = "<nil>"
	)
	apps := map[string]hostile{}
	for name, tt := range map[string]struct {
		handle func(net.Conn, int)
		want   string
	}{
		"first line without end":    {flood("", "H"), noHTTP},
		"header without end":        {flood(ok+"A: ", "b"), noHTTP},
		"headers without end":       {flood(ok, "A: b\r\n"), noHTTP},
		"continuations without end": {flood(ok+"A: b\r\n", " c\r\n"), noHTTP},
		"100 without end":           {flood("", "HTTP/1.1 100 Continue\r\n\r\n"), noHTTP},
		"103 without end":           {flood("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), noHTTP},
		"body without end":          {flood(ok+"\r\n", "a"), passes},
		"body of 500 without end":   {flood("HTTP/1.1 500 No\r\n\r\n", "a"), "answered 500 Internal Server Error"},
		"chunks without end":        {flood(chunked, "1\r\na\r\n"), passes},
		"giant chunk":               {flood(chunked+"7fffffffffffffff\r\n", "a"), passes},
		"chunk extension":           {flood(chunked+"1;", "a"), broken},
		"trailers without end":      {flood(chunked+"0\r\n", "A: b\r\n"), broken},
		"a length beyond all":       {flood(ok+"Content-Length: 9223372036854775807\r\n\r\n", "a"), passes},
		"two lengths":               {flood(ok+"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "a"), noHTTP},
		"gzip bomb":                 {flood(ok+"Content-Encoding: gzip\r\n\r\n"+bomb(t), bomb(t)), passes},
		"first line, trickled":      {trickle("", "H"), "no answer in time"},
		"headers, trickled":         {trickle(ok, "A: b\r\n"), "no answer in time"},
		"103, trickled":             {trickle("", "HTTP/1.1 103 Early Hints\r\n\r\n"), "no answer in time"},
		"body, trickled":            {trickle(ok+"\r\n", "a"), "answered 200, but its body did not end in time"},
		"chunks, trickled":          {trickle(chunked, "1\r\na\r\n"), "answered 200, but its body did not end in time"},
		"trailers, trickled":        {trickle(chunked+"0\r\n", "A: b\r\n"), "answered 200, but its body did not end in time"},
		"redirect elsewhere":        {say("HTTP/1.1 302 Found\r\nLocation: http://" + elsewhere.Addr().String() + "/\r\nContent-Length: 0\r\n\r\n"), passes},
		"redirect by 103, endless":  {flood("", "HTTP/1.1 103 Early Hints\r\nLocation: http://"+elsewhere.Addr().String()+"/\r\n\r\n"), noHTTP},
		"redirect to itself":        {say("HTTP/1.1 307 Again\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), passes},
		"elsewhere, by other words": {say(ok + "Refresh: 0; url=http://" + elsewhere.Addr().String() + "/\r\nAlt-Svc: h2=\"" + elsewhere.Addr().String() + "\"\r\nContent-Length: 0\r\n\r\n"), passes},
	} {
		for _, kind := range []string{"http", "https"} {
			apps[kind+" "+name] = hostile{kind + ":/", func(t *testing.T) int { return serveRaw(t, kind, tt.handle) }, tt.want}
		}
	}
	mustStand(t, apps)
	select {
	case <-dialled:
		t.Error("a probe went where the app sent it")
	default:
	}
}

// bomb is a little gzip that is much.
func bomb(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	z := gzip.NewWriter(&b)
	if _, err := z.Write(make([]byte, 16<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHostileConnection is an app that speaks another language, without end.
func TestHostileConnection(t *testing.T) {
	const (
		noHTTP  = "answered, but not with HTTP"
		noTLS   = "answered, but not with TLS"
		badTLS  = "local error: tls: error decoding message"
		record  = "\x16\x03\x03\x40\x00" // 16 KiB of a handshake
		warning = "\x15\x03\x03\x00\x02\x01\x5a"
	)
	apps := map[string]hostile{}
	for name, tt := range map[string]struct{ more, https string }{
		"zeros":         {"\x00", noTLS},
		"letters":       {"a", noTLS},
		"lines":         {"a\r\n", noTLS},
		"HTTP":          {"HTTP/1.1 200 OK\r\n", noTLS},
		"TLS handshake": {record + strings.Repeat("\x02\x00\xff\xff", 4<<10), badTLS},
		"TLS alerts":    {warning, noHTTP},
	} {
		for check, want := range map[string]string{
			"tcp": "<nil>", "http:/": noHTTP, "https:/": tt.https, "grpc": errNoGRPC.Error(),
		} {
			apps[check+" "+name] = hostile{check, func(t *testing.T) int {
				return serveConns(t, func(conn net.Conn) { flood("", tt.more)(conn, 0) })
			}, want}
		}
	}
	mustStand(t, apps)
}

// TestHostileCommand is one that prints without end.
func TestHostileCommand(t *testing.T) {
	mustStand(t, map[string]hostile{
		"yes": {sh("yes & yes >&2"), func(*testing.T) int { return 0 }, "the command did not end in time"},
	})
}
