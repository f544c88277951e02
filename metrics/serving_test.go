package metrics

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Whoever reaches the address can't take all file descriptors of a process that has more to do,
// as dockreg host has.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	s, err := serve(t.Context(), "127.0.0.1:0", prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var open []net.Conn
	for range mostConns + 10 {
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		open = append(open, conn)
	}
	for n, conn := range open[mostConns:] {
		_ = conn.SetReadDeadline(time.Now().Add(answerTimeout / 2))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d is left open: %v", mostConns+n+1, err)
		}
	}
	// When others have gone there is room again.
	for _, conn := range open {
		_ = conn.Close()
	}
	for by := time.Now().Add(15 * time.Second); ; {
		answer, err := http.Get("http://" + s.Address() + "/metrics")
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			return
		}
		if time.Now().After(by) {
			t.Fatal(err)
		}
	}
}
