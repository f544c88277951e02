package main

import (
	"bytes"
	"io"
	"sync"
)

// journal is where all logs go, one line at a time. It counts the lines that hold
// the secret.
type journal struct {
	to io.Writer

	mu      sync.Mutex
	lines   int
	secrets int
}

func (l *journal) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines++
	if bytes.Contains(line, []byte(secret)) {
		l.secrets++
	}
	return l.to.Write(line)
}

func (l *journal) counts() (lines, secrets int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines, l.secrets
}
