package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	// statusTimeout bounds how long an answer takes to be read.
	statusTimeout = time.Second
	// mostStatus is how many are answered at a time.
	mostStatus = 8
	// longestStatus is more than an answer has.
	longestStatus = 1 << 20
)

// statusDirs are where sidekicks have their sockets, in the order in which they try.
func statusDirs() []string { return []string{"/run", os.TempDir()} }

// statusPattern is the sockets' name, with the app's port, which no two sidekicks of one
// container have in common.
const statusPattern = "dockreg-%s.sock"

// statusSocket is where a sidekick tells what it does: a socket in the container's own file
// system, which nobody outside has. Whoever connects is told, and may say nothing.
type statusSocket struct {
	listener *net.UnixListener
	answers  sync.WaitGroup
}

// serveStatus tells what now returns to whoever asks, at path, or at the first of the
// usual ones that works.
func serveStatus(ctx context.Context, path string, port int, now func() any) (*statusSocket, error) {
	paths := []string{path}
	if path == "" {
		paths = nil
		for _, dir := range statusDirs() {
			paths = append(paths, filepath.Join(dir, fmt.Sprintf(statusPattern, fmt.Sprint(port))))
		}
	}
	var listener *net.UnixListener
	var err error
	for _, path := range paths {
		if listener, err = listen(ctx, path); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	s := &statusSocket{listener: listener}
	s.answers.Go(func() { s.accept(now) })
	return s, nil
}

func (s *statusSocket) accept(now func() any) {
	turns := make(chan struct{}, mostStatus)
	for {
		turns <- struct{}{}
		conn, err := s.listener.Accept()
		if err != nil {
			return // it is closed, or of no use
		}
		s.answers.Go(func() {
			defer func() { <-turns }()
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(statusTimeout))
			_ = json.NewEncoder(conn).Encode(now())
		})
	}
}

// Close ends it, and removes the socket.
func (s *statusSocket) Close() {
	_ = s.listener.Close()
	s.answers.Wait()
}

// findStatus returns the socket at path, or of the only sidekick here.
func findStatus(path string) (string, error) {
	switch path {
	case "":
	case "off":
		return "", errors.New("--status-socket is off: dockreg does not tell what it does")
	default:
		return path, nil
	}
	var found []string
	for _, dir := range statusDirs() {
		some, _ := filepath.Glob(filepath.Join(dir, fmt.Sprintf(statusPattern, "*")))
		found = append(found, some...)
	}
	slices.Sort(found)
	switch found = slices.Compact(found); len(found) {
	case 0:
		return "", fmt.Errorf("no dockreg tells of itself here: there is no %s in %v; give --status-socket the path that it was given", fmt.Sprintf(statusPattern, "PORT"), statusDirs())
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several dockregs are here; give --status-socket one of %v", found)
}
