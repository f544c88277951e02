package web

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"dockreg/instances"
	"dockreg/metrics"
)

//go:embed page
var page embed.FS

const (
	// requestTimeout bounds how long a request takes to come, and an answer to be read.
	requestTimeout = 10 * time.Second
	maxHeaders     = 8 << 10
	// newsEvery is how often a page is told of changes, at the most, and aliveEvery that
	// there are none.
	newsEvery, aliveEvery = 200 * time.Millisecond, 10 * time.Second
	// mostPages bounds the pages that are open at a time.
	mostPages = 100
)

// Server shows a page of what is registered.
type Server struct {
	Etcd     instances.Etcd
	Prefixes []string
	// Instances and Targets write what programs read: a JSON array of what is there.
	Instances, Targets func(io.Writer, instances.Listing) error

	board *board
	pages chan struct{}
	mu    sync.Mutex
	now   map[string]instances.Instance
}

// Serve answers at a socket until ctx ends. Its error is of the socket.
func (s *Server) Serve(ctx context.Context, socket net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.board, s.pages, s.now = newBoard(), make(chan struct{}, mostPages), map[string]instances.Instance{}
	server := &http.Server{
		Handler: onlyHere(socket.Addr(), s.handler()), ReadTimeout: requestTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeaders,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { instances.Follow(ctx, s.Etcd, s.Prefixes, s.take) })
	running.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	if err := server.Serve(socket); ctx.Err() == nil {
		cancel()
		return fmt.Errorf("serve the page: %w", err)
	}
	return nil
}

// onlyHere refuses, at a loopback address, who asks for another host by name: a website can have
// a browser on this machine do so, with a name of its own that it makes mean 127.0.0.1, and read
// the answer (DNS rebinding).
func onlyHere(at net.Addr, to http.Handler) http.Handler {
	if tcp, ok := at.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return to
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := (&url.URL{Host: r.Host}).Hostname()
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
			http.Error(w, "dockreg web listens on this machine alone, and answers to its IP and to localhost; have a proxy ask with Host: "+at.String(), http.StatusMisdirectedRequest)
			return
		}
		to.ServeHTTP(w, r)
	})
}

func (s *Server) take(e instances.Event) {
	s.board.take(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Kind {
	case instances.Listed:
		for _, i := range e.Listing.Instances {
			s.now[i.Key] = i
		}
	case instances.Came, instances.Changed:
		s.now[e.Instance.Key] = e.Instance
	case instances.Went:
		delete(s.now, e.Instance.Key)
	}
}

func (s *Server) handler() http.Handler {
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /api/instances", func(w http.ResponseWriter, _ *http.Request) { s.list(w, s.Instances) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		up, parents := s.board.parents()
		metrics.WriteInstances(w, up, parents)
	})
	mux.HandleFunc("GET /sd", func(w http.ResponseWriter, _ *http.Request) { s.list(w, s.Targets) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Nothing from outside, whatever a record says, and in nobody's frame.
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(requestTimeout))
		mux.ServeHTTP(w, r)
	})
}

// list answers with what is there, or was when etcd could be asked last.
func (s *Server) list(w http.ResponseWriter, write func(io.Writer, instances.Listing) error) {
	if !s.board.isListed() {
		http.Error(w, "etcd could not be asked yet", http.StatusServiceUnavailable)
		return
	}
	var l instances.Listing
	s.mu.Lock()
	for _, i := range s.now {
		l.Instances = append(l.Instances, i)
	}
	s.mu.Unlock()
	l.Sort()
	w.Header().Set("Content-Type", "application/json")
	_ = write(w, l) // or the client is gone
}

// events tells a page what there is, and then what changes
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.pages <- struct{}{}:
		defer func() { <-s.pages }()
	default:
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx in front would keep it until there are some KB
	control := http.NewResponseController(w)
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	var told news
	for said := (time.Time{}); ; {
		n := s.board.since(told.version)
		if n.version != told.version || said.IsZero() || time.Since(said) >= aliveEvery {
			text, err := json.Marshal(n)
			_ = control.SetWriteDeadline(time.Now().Add(requestTimeout))
			if err == nil {
				_, err = fmt.Fprintf(w, "data: %s\n\n", text)
			}
			if err == nil {
				err = control.Flush()
			}
			if err != nil {
				return // it reads too slowly, or is gone; it comes again by itself
			}
			told, said = n, time.Now()
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
