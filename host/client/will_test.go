package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A will is told, told in the place of another, and withdrawn.
func TestTold(t *testing.T) {
	t.Parallel()
	w := newWill(t)
	s := startService(t, w.path, nil)
	w.Make(0x2a)
	s.wantCall(t, "PUT /dockreg/will/2a")
	w.wantLogged(t, `level=DEBUG msg="the host's service has the last will"`)
	w.Make(0x2a)
	w.Make(0x2b)
	s.wantCall(t, "DELETE /dockreg/will/2a")
	s.wantCall(t, "PUT /dockreg/will/2b")
	w.wantLogged(t, `the host's service has the last will" lease=2b`)
	w.Withdraw()
	s.wantCall(t, "DELETE /dockreg/will/2b")
	w.Close()
	s.wantNoCall(t)
}

// A stop withdraws what was withdrawn just before, and leaves what was not: the lease may
// still be there, and the container about to end.
func TestClose(t *testing.T) {
	t.Parallel()
	for name, withdrawn := range map[string]bool{"withdrawn": true, "not withdrawn": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range tries {
				w := newWill(t)
				s := startService(t, w.path, nil)
				w.Make(1)
				s.wantCall(t, "PUT /dockreg/will/1")
				w.wantLogged(t, "has the last will")
				if withdrawn {
					w.Withdraw()
				}
				w.Close()
				if !withdrawn {
					s.wantNoCall(t)
					return
				}
				if s.called(t, "DELETE /dockreg/will/1") {
					return
				}
			}
			t.Error("it is not withdrawn")
		})
	}
}

// A service that was restarted hears the will anew, and the log tells of it once.
func TestServiceRestarts(t *testing.T) {
	t.Parallel()
	w := newWill(t)
	w.Make(1) // before there is any
	w.wantLogged(t, "there is no last will")
	s := startService(t, w.path, nil)
	s.wantCall(t, "PUT /dockreg/will/1")
	w.wantLogged(t, "has the last will")
	s.end()
	w.wantLogged(t, `level=WARN msg="the host's service has ended; it gets the last will again when it is back"`)
	s = startService(t, w.path, nil)
	s.wantCall(t, "PUT /dockreg/will/1")
	w.wantLogged(t, `level=INFO msg="the host's service has the last will again"`)
	if n := strings.Count(w.out.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
}

// Who else is at the socket is asked no further.
func TestNobodyTakesWills(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"Docker": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", "Docker/20.10.24 (linux)")
			http.Error(w, `{"message":"page not found"}`, http.StatusNotFound)
		},
		"a proxy":         func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "forbidden", http.StatusForbidden) },
		"who answers all": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") },
		"one without an etcd": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", Server)
			w.WriteHeader(http.StatusNotFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWill(t)
			s := startService(t, w.path, answer)
			w.Make(1)
			s.wantCall(t, "PUT /dockreg/will/1")
			w.wantLogged(t, "takes no last wills")
			if strings.Contains(w.out.String(), "level=WARN") {
				t.Errorf("a warning:\n%s", w.out)
			}
			if err := TakesWill(t.Context(), w.path, at); !errors.Is(err, ErrNone) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A will that the service refuses is told again, and the log warns of it once.
func TestWillIsRefused(t *testing.T) {
	t.Parallel()
	w := newWill(t)
	s := startService(t, w.path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", Server)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"message":"a key that is not its own"}`)
	})
	w.Make(1)
	s.wantCall(t, "PUT /dockreg/will/1")
	s.wantCall(t, "PUT /dockreg/will/1")
	s.wantCall(t, "PUT /dockreg/will/1")
	w.wantLogged(t, `level=WARN msg="there is no last will: should the container be killed, its key stays for the TTL" err="dockreg host refuses: a key that is not its own"`)
	if err := TakesWill(t.Context(), w.path, at); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("%v", err)
	}
}

func TestTakesWill(t *testing.T) {
	t.Parallel()
	w := newWill(t)
	if err := TakesWill(t.Context(), w.path, at); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("nobody is there: %v", err)
	}
	s := startService(t, w.path, nil)
	if err := TakesWill(t.Context(), w.path, at); err != nil {
		t.Error(err)
	}
	s.wantCall(t, "GET /dockreg/will/for/192.0.2.1:49155")
}

// A service that doesn't answer keeps nobody: not who makes a will, and not the end.
func TestSilentService(t *testing.T) {
	t.Parallel()
	w := newWill(t)
	asked := make(chan struct{}, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	startService(t, w.path, func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-ctx.Done() })
	began := time.Now()
	w.Make(1)
	<-asked
	w.Withdraw()
	w.Close()
	if took := time.Since(began); took > answerTimeout/2 {
		t.Errorf("took %s", took)
	}
}
