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

// The limits of one probe of a hostile app.
const (
	hostileBudget = 500 * time.Millisecond
	hostileMemory = 8 << 20 // allocated in all, of which most is garbage already
)

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

// mustStand asks an app twice, and fails the test unless the answer is want each
// time, in time, in little memory, and nothing runs on afterwards. Where chance decides
// between two answers, want has both with a | between them.
func mustStand(t *testing.T, check string, port int, want string) {
	t.Helper()
	p := parse(t, check, port)
	running := runtime.NumGoroutine()
	for range 2 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		took, err := askWithin(t, p, hostileBudget)
		runtime.ReadMemStats(&after)
		if !slices.Contains(strings.Split(want, "|"), fmt.Sprint(err)) {
			t.Errorf("%v, want %s", err, want)
		}
		if took > hostileBudget+atOnce {
			t.Errorf("took %s, want %s at most", took, hostileBudget)
		}
		allocated := after.TotalAlloc - before.TotalAlloc
		t.Logf("%v after %s, %d KiB allocated", err, took, allocated>>10)
		if allocated > hostileMemory {
			t.Errorf("%d KiB allocated, want %d at most", allocated>>10, hostileMemory>>10)
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > running; <-tick.C {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, want %d as before:\n%s", runtime.NumGoroutine(), running, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// None of these tests is parallel: memory and goroutines of others would count.

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
			t.Run(kind+" "+name, func(t *testing.T) {
				mustStand(t, kind+":/", serveRaw(t, kind, tt.handle), tt.want)
			})
		}
	}
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
	for name, tt := range map[string]struct{ more, https string }{
		"zeros":         {"\x00", noTLS},
		"letters":       {"a", noTLS},
		"lines":         {"a\r\n", noTLS},
		"HTTP":          {"HTTP/1.1 200 OK\r\n", noTLS},
		"TLS handshake": {record + strings.Repeat("\x02\x00\xff\xff", 4<<10), badTLS},
		"TLS alerts":    {warning, noHTTP},
	} {
		for check, want := range map[string]string{
			"tcp": "<nil>", "http:/": noHTTP, "https:/": tt.https, "grpc": "the connection broke, or the app does not speak gRPC",
		} {
			t.Run(check+" "+name, func(t *testing.T) {
				mustStand(t, check, serveConns(t, func(conn net.Conn) { flood("", tt.more)(conn, 0) }), want)
			})
		}
	}
}

// frame is one of HTTP/2, which gRPC is built on.
func frame(kind, flags, stream byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, 0, 0, 0, stream}) + payload
}

// TestHostileGRPC is an app that does its worst to who asks it by gRPC.
func TestHostileGRPC(t *testing.T) {
	const (
		data, headers, settings, ping, continuation = 0, 1, 4, 6, 9
		endHeaders                                  = 4
		status200                                   = "\x88\x00\x0ccontent-type\x10application/grpc"

		noEnd = "the app's answer has no end"
		late  = "no answer in time"
		// More than gRPC had asked for.
		internal = "the app's gRPC health protocol answered Internal"
	)
	hello := frame(settings, 0, 0, "")
	answer := hello + frame(headers, endHeaders, 1, status200)
	metadata := frame(continuation, 0, 1, strings.Repeat("\x00\x01a\x64"+strings.Repeat("b", 100), 150))
	zeros := strings.Repeat("\x00", 16<<10)
	for name, tt := range map[string]struct {
		handle func(net.Conn, int)
		want   string
	}{
		"message of 2 GB":      {trickle(answer+frame(data, 0, 1, "\x00\x7f\xff\xff\xff"), frame(data, 0, 1, "a")), late},
		"message of 4 MB":      {flood(answer+frame(data, 0, 1, "\x00\x00\x3f\xff\xff"), frame(data, 0, 1, zeros)), noEnd + "|" + internal},
		"compressed":           {flood(answer+frame(data, 0, 1, "\x01\x00\x3f\xff\xff"), frame(data, 0, 1, zeros)), noEnd + "|" + internal},
		"messages without end": {flood(answer, frame(data, 0, 1, "\x00\x00\x00\x00\x02\x08\x01")), noEnd + "|" + internal},
		"metadata without end": {flood(hello+frame(headers, 0, 1, status200), metadata), noEnd},
		"empty metadata":       {flood(hello+frame(headers, 0, 1, status200), frame(continuation, 0, 1, "")), noEnd},
		"trailers without end": {flood(answer+frame(headers, 0, 1, ""), metadata), noEnd},
		"settings without end": {flood("", hello), noEnd},
		"pings without end":    {flood(hello, frame(ping, 0, 0, "abcdefgh")), noEnd},
		"answers to nobody":    {flood(hello, frame(headers, endHeaders, 3, status200)), noEnd},
		"unknown frames":       {flood(hello, frame(99, 0, 0, zeros)), noEnd},
		"frame of 16 MB":       {flood(hello+"\xff\xff\xff\x00\x00\x00\x00\x00\x01", zeros), noEnd},
		"message, trickled":    {trickle(answer+frame(data, 0, 1, "\x00\x00\x00\xff\xff"), frame(data, 0, 1, "a")), late},
		"metadata, trickled":   {trickle(hello+frame(headers, 0, 1, status200), frame(continuation, 0, 1, "\x00\x01a\x01b")), late},
		"settings, trickled":   {trickle("", hello), late},
	} {
		t.Run(name, func(t *testing.T) {
			mustStand(t, "grpc", serveConns(t, func(conn net.Conn) {
				go func() { _, _ = io.Copy(io.Discard, conn) }() // not to reset what it said
				tt.handle(conn, 0)
			}), tt.want)
		})
	}
}

// TestHostileCommand is one that prints without end.
func TestHostileCommand(t *testing.T) {
	mustStand(t, sh("yes & yes >&2"), 0, "the command did not end in time")
}
