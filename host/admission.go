package host

import (
	"errors"
	"sync"
	"time"
)

const (
	// mostConns is how many connections may be open at a time, and mostOfOne how many of
	// them are one container's. A sidekick has one, and another for a moment.
	mostConns = 4096
	mostOfOne = 32
	// mostRequests is how many requests of one container are answered within a second. A
	// sidekick has two or three when it looks for its address, every 30 s.
	mostRequests = 40
)

var (
	errManyConns    = errors.New("too many connections of this container are open")
	errAllConns     = errors.New("too many connections of all containers are open")
	errManyRequests = errors.New("too many requests of this container within a second")
)

// admission bounds what one container takes, so that the others have the rest.
type admission struct {
	mu     sync.Mutex
	conns  int
	shares map[string]*share // by the container's id, or by the cgroups of what is in none
	swept  time.Time
}

type share struct {
	conns    int
	requests int       // since began
	began    time.Time // of the second that is counted
}

func newAdmission() *admission { return &admission{shares: map[string]*share{}} }

// enter admits a connection, or doesn't.
func (a *admission) enter(who string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of(who, now)
	switch {
	case s.conns >= mostOfOne:
		return errManyConns
	case a.conns >= mostConns:
		return errAllConns
	}
	s.conns++
	a.conns++
	return nil
}

// leave is the end of a connection that was admitted.
func (a *admission) leave(who string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shares[who].conns--
	a.conns--
}

// ask admits a request, or doesn't.
func (a *admission) ask(who string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of(who, now)
	if now.Sub(s.began) >= time.Second {
		s.began, s.requests = now, 0
	}
	if s.requests >= mostRequests {
		return errManyRequests
	}
	s.requests++
	return nil
}

// of returns a share, and forgets those that count nothing any more.
func (a *admission) of(who string, now time.Time) *share {
	if now.Sub(a.swept) >= time.Second {
		a.swept = now
		for name, s := range a.shares {
			if s.conns == 0 && now.Sub(s.began) >= time.Second {
				delete(a.shares, name)
			}
		}
	}
	s := a.shares[who]
	if s == nil {
		s = &share{}
		a.shares[who] = s
	}
	return s
}
