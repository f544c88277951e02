package probe

import (
	"io"
	"net"
	"strings"
	"testing"
)

// Some types of HTTP/2 frames, which gRPC is built on (RFC 9113, section 6), and a flag.
const (
	data, headers, settings, ping, continuation = 0, 1, 4, 6, 9
	endHeaders                                  = 4
)

func frame(kind, flags, stream byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, 0, 0, 0, stream}) + payload
}

// unasked is an app that does what handle does, whatever it hears.
func unasked(handle func(net.Conn, int)) func(net.Conn) {
	return func(conn net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, conn) }() // not to reset what it said
		handle(conn, 0)
	}
}

// asked is an app that greets, and that does what handle does when it is asked.
func asked(handle func(net.Conn, int)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := io.WriteString(conn, frame(settings, 0, 0, "")); err != nil {
			return
		}
		const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
		_, err := io.CopyN(io.Discard, conn, int64(len(preface)))
		for b := make([]byte, 9); err == nil && b[3] != headers; {
			if _, err = io.ReadFull(conn, b); err == nil {
				_, err = io.CopyN(io.Discard, conn, int64(b[0])<<16|int64(b[1])<<8|int64(b[2]))
			}
		}
		unasked(handle)(conn)
	}
}

// TestHostileGRPC is an app that does its worst to who asks it by gRPC.
func TestHostileGRPC(t *testing.T) {
	const (
		late = "no answer in time"
		// More than gRPC had asked for.
		tooLong   = "the app's gRPC health protocol answered ResourceExhausted"
		malformed = "the app's gRPC health protocol answered Internal"
	)
	noGRPC := errNoGRPC.Error()
	hello := frame(settings, 0, 0, "")
	status200 := "\x88\x00\x0ccontent-type\x10application/grpc"
	answer := frame(headers, endHeaders, 1, status200)
	metadata := frame(continuation, 0, 1, strings.Repeat("\x00\x01a\x64"+strings.Repeat("b", 100), 150))
	zeros := strings.Repeat("\x00", 16<<10)
	apps := map[string]hostile{}
	for name, tt := range map[string]struct {
		handle func(net.Conn)
		want   string
	}{
		"message of 2 GB":      {asked(trickle(answer+frame(data, 0, 1, "\x00\x7f\xff\xff\xff"), frame(data, 0, 1, "a"))), tooLong},
		"message of 4 MB":      {asked(flood(answer+frame(data, 0, 1, "\x00\x00\x3f\xff\xff"), frame(data, 0, 1, zeros))), tooLong},
		"compressed, of 4 MB":  {asked(flood(answer+frame(data, 0, 1, "\x01\x00\x3f\xff\xff"), frame(data, 0, 1, zeros))), tooLong},
		"compressed":           {asked(flood(answer+frame(data, 0, 1, "\x01\x00\x00\x04\x00"), frame(data, 0, 1, zeros))), malformed},
		"messages without end": {asked(flood(answer, frame(data, 0, 1, "\x00\x00\x00\x00\x02\x08\x01"))), malformed},
		"metadata without end": {asked(flood(frame(headers, 0, 1, status200), metadata)), noGRPC},
		"empty metadata":       {asked(flood(frame(headers, 0, 1, status200), frame(continuation, 0, 1, ""))), noGRPC},
		"trailers without end": {asked(flood(answer+frame(headers, 0, 1, ""), metadata)), noGRPC},
		"message, trickled":    {asked(trickle(answer+frame(data, 0, 1, "\x00\x00\x00\xff\xff"), frame(data, 0, 1, "a"))), late},
		"metadata, trickled":   {asked(trickle(frame(headers, 0, 1, status200), frame(continuation, 0, 1, "\x00\x01a\x01b"))), late},

		"settings without end":         {unasked(flood("", hello)), noGRPC},
		"pings without end":            {unasked(flood(hello, frame(ping, 0, 0, "abcdefgh"))), noGRPC},
		"answers to nobody":            {unasked(flood(hello, frame(headers, endHeaders, 3, status200))), noGRPC},
		"unknown frames":               {unasked(flood(hello, frame(99, 0, 0, zeros))), noGRPC},
		"frame of 16 MB":               {unasked(flood(hello+"\xff\xff\xff\x00\x00\x00\x00\x00\x01", zeros)), noGRPC},
		"metadata before the question": {unasked(flood(hello+frame(headers, 0, 1, status200), metadata)), noGRPC},
		"settings, trickled":           {unasked(trickle("", hello)), late},
		// What comes after the question is taken for its answer.
		"message before the question": {unasked(flood(hello+answer+frame(data, 0, 1, "\x00\x00\x3f\xff\xff"), frame(data, 0, 1, zeros))), noGRPC + "|" + tooLong + "|" + malformed},
	} {
		apps[name] = hostile{"grpc", func(t *testing.T) int { return serveConns(t, tt.handle) }, tt.want}
	}
	mustStand(t, apps)
}
