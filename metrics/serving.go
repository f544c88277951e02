package metrics

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

const (
	// answerTimeout bounds a request, and how long its answer waits to be read.
	answerTimeout = 5 * time.Second
	// maxHeaders bounds a request's.
	maxHeaders = 8 << 10
)

// Server answers /metrics, and nothing else.
type Server struct {
	server  *http.Server
	address string
	ended   chan error
}

// Address is where it listens.
func (s *Server) Address() string { return s.address }

// Serve answers at an address until Close. Its error is that nobody can listen there.
func (m *Sidekick) Serve(ctx context.Context, address string) (*Server, error) {
	return serve(ctx, address, m.registry)
}

func serve(ctx context.Context, address string, from prometheus.Gatherer) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { write(w, from) })
	s := &Server{
		server: &http.Server{
			Handler: mux, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, IdleTimeout: 20 * time.Second, MaxHeaderBytes: maxHeaders,
		},
		address: listener.Addr().String(), ended: make(chan error, 1),
	}
	go func() { s.ended <- s.server.Serve(newBounded(listener)) }()
	return s, nil
}

// Close ends it, at once.
func (s *Server) Close() {
	_ = s.server.Close()
	<-s.ended
}

// write answers with what was gathered.
func write(w http.ResponseWriter, from prometheus.Gatherer) {
	all, err := from.Gather()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	w.Header().Set("Content-Type", string(format))
	e := expfmt.NewEncoder(w, format)
	for _, family := range all {
		if e.Encode(family) != nil {
			return // whoever asked has gone
		}
	}
}
