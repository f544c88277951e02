package host

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What lasts is told once a minute, however often it is tried.
func TestUnacceptedConnections(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := newRefusals(slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Now()
	for range 1200 {
		r.unaccepted(now, syscall.EMFILE)
		now = now.Add(acceptPause)
	}
	if n := strings.Count(log.String(), "can't accept a connection"); n != 2 {
		t.Errorf("%d lines within two minutes:\n%.500s", n, log.String())
	}
}
