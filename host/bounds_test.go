package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// What one container takes, the others still have.
func TestAdmission(t *testing.T) {
	t.Parallel()
	a, now := newAdmission(), time.Now()
	for range mostOfOne {
		if err := a.enter("a", now); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.enter("a", now); !errors.Is(err, errManyConns) {
		t.Errorf("%v", err)
	}
	if err := a.enter("b", now); err != nil {
		t.Errorf("another one: %v", err)
	}
	a.leave("a")
	if err := a.enter("a", now); err != nil {
		t.Errorf("after one has left: %v", err)
	}

	for range mostRequests {
		if err := a.ask("a", now); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.ask("a", now.Add(time.Second-1)); !errors.Is(err, errManyRequests) {
		t.Errorf("%v", err)
	}
	if err := a.ask("b", now); err != nil {
		t.Errorf("another one: %v", err)
	}
	if err := a.ask("a", now.Add(time.Second)); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

// However many names callers have, what is remembered is bounded.
func TestAdmissionForgets(t *testing.T) {
	t.Parallel()
	a, now := newAdmission(), time.Now()
	most := 0
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		name := fmt.Sprint(i)
		if err := a.enter(name, now); err != nil {
			t.Fatal(err)
		}
		_ = a.ask(name, now)
		a.leave(name)
		most = max(most, len(a.shares))
	}
	if most > 2100 {
		t.Errorf("%d are remembered", most)
	}
	for i := range mostConns {
		if err := a.enter(fmt.Sprint(i), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.enter("more", now); !errors.Is(err, errAllConns) {
		t.Errorf("%v", err)
	}
}

// Refusals are logged once a minute for each caller.
func TestRefusals(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, now := newRefusals(slog.New(slog.NewTextHandler(&out, nil))), time.Now()
	for i := range 60 {
		r.refused("a", now.Add(time.Duration(i)*time.Second), errForbidden)
		r.refused("b", now, errForbidden)
	}
	if n := strings.Count(out.String(), "msg=refused"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, &out)
	}
	r.refused("a", now.Add(time.Minute), errForbidden)
	if !strings.Contains(out.String(), "left_out=59") {
		t.Errorf("how many there were is not said:\n%s", &out)
	}
	for i := range 10 * mostRefused {
		r.refused(fmt.Sprint(i), now, errForbidden)
	}
	if len(r.told) > mostRefused {
		t.Errorf("%d are remembered", len(r.told))
	}
}

// Who is slow, or says too much, is cut off.
func TestP11SlowAndLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dial := func() net.Conn {
		conn, err := net.Dial("unix", w.path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	cutOff := func(name string, conn net.Conn, within time.Duration) {
		began := time.Now()
		_ = conn.SetReadDeadline(began.Add(within))
		if said, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") || len(said) > 0 {
			t.Errorf("%s: %q, %v after %s", name, said, err, time.Since(began))
		}
	}
	slow := dial()
	go func() {
		for range 300 {
			if _, err := slow.Write([]byte("G")); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond) // what a slow one does
		}
	}()
	cutOff("slow", slow, requestTimeout+5*time.Second)
	long := dial()
	go func() { _, _ = io.WriteString(long, "GET /_ping HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20)) }()
	cutOff("long", long, requestTimeout+5*time.Second)
	cutOff("idle", dial(), idleTimeout+5*time.Second)

	// Who doesn't read is not waited for.
	deaf := dial()
	_ = deaf.SetWriteDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(deaf, strings.Repeat("GET /containers/self/json HTTP/1.1\r\nHost: x\r\n\r\n", 100_000)); err == nil {
		t.Error("all of it was taken")
	}
}

// P11: the service has room for others while one container holds all that it may.
func TestP11ManyConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var held []net.Conn
	for range 10 * mostOfOne {
		conn, err := net.Dial("unix", w.path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	last := held[len(held)-1]
	_ = last.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := last.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the last one: %v", err)
	}
	w.admission.mu.Lock()
	conns := w.admission.conns
	w.admission.mu.Unlock()
	if conns != mostOfOne {
		t.Errorf("%d connections are open, want %d", conns, mostOfOne)
	}
	for _, conn := range held {
		_ = conn.Close()
	}
}
