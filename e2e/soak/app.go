package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// mode is how the app behaves.
type mode int

const (
	passes mode = iota
	refuses
	hangs
	closed
)

var modes = []string{"passes", "answers 503", "hangs", "is not there"}

func (m mode) String() string { return modes[m] }

// app is an HTTP server on one port that fails when it is told to.
type app struct {
	port    int
	serving sync.WaitGroup
	server  *http.Server // nil: it is not there

	mu      sync.Mutex
	mode    mode
	changed chan struct{} // closed at the next change of the mode
}

func newApp(port int) *app { return &app{port: port, mode: closed, changed: make(chan struct{})} }

// set makes the app behave that way from the return on. It is not safe for
// concurrent use.
func (a *app) set(m mode) error {
	a.mu.Lock()
	a.mode = m
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
	switch {
	case m == closed && a.server != nil:
		err := a.server.Close()
		a.serving.Wait()
		a.server = nil
		return err
	case m != closed && a.server == nil:
		return a.listen()
	}
	return nil
}

func (a *app) listen() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", a.port))
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
	a.serving.Go(func() {
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // nothing is left to soak
		}
	})
	return nil
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for {
		a.mu.Lock()
		m, changed := a.mode, a.changed
		a.mu.Unlock()
		switch m {
		case passes:
			return
		case refuses, closed:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case hangs:
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
