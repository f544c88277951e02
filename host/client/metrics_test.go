package client

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// tellMetrics starts telling them at a socket in a new folder. What is sent is when the first
// answer was taken in.
func tellMetrics(t *testing.T, gather func() ([]byte, error), answer http.HandlerFunc) (m *Metrics, s *service, tried <-chan struct{}) {
	t.Helper()
	dir, err := os.MkdirTemp("", "metrics")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	out := &lockedBuffer{more: make(chan struct{}, 1)}
	s = startService(t, filepath.Join(dir, "s"), answer)
	m = NewMetrics(s.path, 8000, gather, slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(m.Close)
	return m, s, out.more
}

// What was gathered arrives, and a stop has it forgotten.
func TestMetricsAreTold(t *testing.T) {
	t.Parallel()
	for range tries {
		bodies := make(chan string, 1)
		m, s, tried := tellMetrics(t, func() ([]byte, error) { return []byte("12 passed"), nil }, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies <- string(body)
			w.Header().Set("Server", Server)
			w.WriteHeader(http.StatusNoContent)
		})
		s.wantCall(t, "PUT /dockreg/metrics/8000")
		if body := <-bodies; body != "12 passed" {
			t.Errorf("%q", body)
		}
		<-tried
		m.Close()
		if s.called(t, "DELETE /dockreg/metrics/8000") {
			return
		}
	}
	t.Error("they are not forgotten")
}

// Who takes none is told nothing at the end, and whoever is silent holds up no end.
func TestMetricsAreNotTaken(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"Docker": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "page not found", http.StatusNotFound) },
		"without --metrics": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", Server)
			w.WriteHeader(http.StatusNotFound)
		},
		"silent": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{}, 1)
			m, s, tried := tellMetrics(t, func() ([]byte, error) { return []byte("x"), nil }, func(w http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
				if answer == nil {
					<-r.Context().Done()
					return
				}
				answer(w, r)
			})
			<-asked
			if answer != nil {
				s.wantCall(t, "PUT /dockreg/metrics/8000")
				<-tried
			}
			began := time.Now()
			m.Close()
			if took := time.Since(began); took > answerTimeout/2 {
				t.Errorf("the end took %s", took)
			}
			if answer != nil {
				s.wantNoCall(t)
			}
		})
	}
}

// What can't be gathered is not told.
func TestMetricsAreNotGathered(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	m, s, tried := tellMetrics(t, func() ([]byte, error) { tries.Add(1); return nil, errors.New("twice the same") }, nil)
	<-tried
	m.Close()
	s.wantNoCall(t)
	if tries.Load() > 1 {
		t.Errorf("%d tries", tries.Load())
	}
}

// A service that can't take them now, as Docker is slow to tell who asks, is told soon again.
func TestPauseAfterTelling(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]time.Duration{
		nil:                      TellMetricsEvery,
		errors.New("no service"): TellMetricsEvery,
		errOther:                 elsewherePause,
		&refusedError{status: http.StatusNotFound}:           notTakenPause,
		&refusedError{status: http.StatusForbidden}:          TellMetricsEvery, // Docker does not say yet that the container runs
		&refusedError{status: http.StatusTooManyRequests}:    TellMetricsEvery, // within this second
		&refusedError{status: http.StatusServiceUnavailable}: TellMetricsEvery,
	} {
		if pause := pauseAfter(err); pause != want {
			t.Errorf("a pause of %s after %v, want %s", pause, err, want)
		}
	}
}
