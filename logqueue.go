package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"dockreg/settings"
)

const (
	// queuedLines is how much of the log waits for a reader that is late.
	queuedLines = 1000
	// flushTimeout is how long the end waits for it.
	flushTimeout = 500 * time.Millisecond
	// roomPause is how often a reader that is late is tried again.
	roomPause = 10 * time.Millisecond
)

// logQueue is a Writer that never blocks, for the log of a command that has something
// more important to do: a log driver that stalls would stop it otherwise. What is too
// much is dropped, and a line in its place says how much that was.
type logQueue struct {
	to    io.Writer
	ended chan struct{}

	mu      sync.Mutex
	lines   chan []byte
	closed  bool
	dropped int
	notice  *slog.Logger // writes to line
	line    bytes.Buffer
}

// startLog returns a log that never blocks, and what flushes it at the end, for at most
// flushTimeout.
func startLog(logs *settings.Log, to io.Writer) (log *slog.Logger, flush func()) {
	q := &logQueue{to: to, ended: make(chan struct{}), lines: make(chan []byte, queuedLines)}
	q.notice = logs.Logger(&q.line)
	go q.pass()
	return logs.Logger(q), q.close
}

// Write queues one line.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch room := cap(q.lines) - len(q.lines); {
	case q.closed:
	case room == 0, room == 1 && q.dropped > 0:
		q.dropped++
	default:
		if told := q.tellDropped(); told != nil {
			q.lines <- told
		}
		q.lines <- bytes.Clone(line) // the handler uses its own again
	}
	return len(line), nil
}

// tellDropped returns the line that says what was dropped, or nil.
func (q *logQueue) tellDropped() []byte {
	if q.dropped == 0 {
		return nil
	}
	q.line.Reset()
	q.notice.Warn("nobody read the log for a while; lines were dropped", "dropped", q.dropped)
	q.dropped = 0
	return bytes.Clone(q.line.Bytes())
}

// pass passes on what is queued.
func (q *logQueue) pass() {
	defer close(q.ended)
	for line := range q.lines {
		writeLine(q.to, line, time.Time{})
		if len(q.lines) > 0 {
			continue
		}
		q.mu.Lock()
		told := q.tellDropped()
		q.mu.Unlock()
		if told != nil {
			writeLine(q.to, told, time.Time{})
		}
	}
}

// writeLine waits for room, until then if that is given. Standard error may be one file with an
// app's, and that one, as Node does, may have set it not to block: a write fails then where it
// would wait, in the middle of a line perhaps.
func writeLine(to io.Writer, line []byte, until time.Time) {
	for {
		n, err := to.Write(line)
		if line = line[n:]; !errors.Is(err, syscall.EAGAIN) || !until.IsZero() && time.Now().After(until) {
			return
		}
		time.Sleep(roomPause)
	}
}

func (q *logQueue) close() {
	q.mu.Lock()
	q.closed = true
	close(q.lines)
	q.mu.Unlock()
	select {
	case <-q.ended:
	case <-time.After(flushTimeout):
	}
}
