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
	"strings"
	"sync"
	"time"
)

const (
	// statusTimeout bounds how long an answer takes to be read.
	statusTimeout = time.Second
	// mostStatus is how many are answered at a time.
	mostStatus = 8
	// acceptPause is after one that could not be.
	acceptPause = 100 * time.Millisecond
	// longestStatus is more than an answer has.
	longestStatus = 1 << 20
)

// statusPaths are where sidekicks have their sockets, in the order in which they try, with
// the app's port, which no two of one container have in common. The last one is of the
// container engine's making: it is there, and can be written to, where an image has nothing,
// or is read-only. With --ipc=host it is the host's, and so the name is the container's own.
func statusPaths(port string) []string {
	paths := []string{"/run/dockreg-", filepath.Join(os.TempDir(), "dockreg-")}
	if space, err := os.Readlink("/proc/self/ns/pid"); err == nil { // such as pid:[4026531836]
		paths = append(paths, "/dev/shm/dockreg-"+strings.Trim(space, "pid:[]")+"-")
	}
	for i := range paths {
		paths[i] += port + ".sock"
	}
	return paths
}

// statusSocket is where a sidekick tells what it does: a socket in the container's own file
// system, which nobody outside has. Whoever connects is told, and may say nothing.
type statusSocket struct {
	listener net.Listener
	answers  sync.WaitGroup
}

// serveStatus tells what now returns to whoever asks, at path, or at the first of the
// usual ones that works.
func serveStatus(ctx context.Context, path string, port int, now func() any) (*statusSocket, error) {
	paths := []string{path}
	if path == "" {
		paths = statusPaths(fmt.Sprint(port))
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
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause) // too many files are open, most likely
			continue
		}
		turns <- struct{}{}
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
	for _, pattern := range statusPaths("*") {
		some, _ := filepath.Glob(pattern)
		found = append(found, some...)
	}
	slices.Sort(found)
	switch found = slices.Compact(found); len(found) {
	case 0:
		return "", fmt.Errorf("no dockreg tells of itself here, as there is none of %s: it does not run, and if it ended, with a wrong setting perhaps, its log says why; or it has --status-socket, which is to be given here too", strings.Join(statusPaths("PORT"), ", "))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several dockregs are here; give --status-socket one of %v", found)
}
