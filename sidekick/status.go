package sidekick

import (
	"sync"
	"time"

	"dockreg/record"
)

// Status is what a sidekick does now, and why, in words for people. Nothing secret is in it.
type Status struct {
	App        string // up, down, or unknown before it has been probed
	AppSince   time.Time
	Probed     time.Time // when the latest probe ended; zero: none has
	ProbeTook  time.Duration
	ProbeError string // why it failed; empty: it passed

	Address    string         // that consumers dial; empty: not found yet, or none is needed
	Records    record.Records // nil: the address is not known yet
	Registered bool
	Since      time.Time // when it was registered, or since when it is not
	Renewed    time.Time // when its lease was renewed last
	Holder     string    // why another instance is registered in its place; empty: none is
	Stopping   bool

	Fault   string // the latest of etcd's, of Docker's or of the key's; empty: none yet
	FaultAt time.Time
}

// board is a Status that is written as things happen, and what tells the Observer, if there
// is one. It is safe for concurrent use.
type board struct {
	observer Observer

	mu  sync.Mutex
	now Status
}

func (b *board) happened(what Occasion) {
	if b.observer != nil {
		b.observer.Happened(what)
	}
}

func (b *board) probed(start time.Time, err error) {
	took := time.Since(start)
	if b.observer != nil {
		b.observer.Probed(err, took)
	}
	b.set(func(s *Status) {
		if s.Probed, s.ProbeTook, s.ProbeError = time.Now(), took, ""; err != nil {
			s.ProbeError = err.Error()
		}
	})
}

func (b *board) set(change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.now)
}

func (b *board) fault(err error) {
	b.set(func(s *Status) { s.Fault, s.FaultAt = err.Error(), time.Now() })
}

func (b *board) registered(is bool) {
	b.set(func(s *Status) {
		if s.Registered != is || s.Since.IsZero() {
			s.Registered, s.Since = is, time.Now()
		}
		if is {
			s.Holder = ""
		}
	})
}

// Status returns what the sidekick does now. It is safe for concurrent use. Where renewals
// have failed for the TTL, the records have lapsed.
func (s *Sidekick) Status() Status {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	now := s.board.now
	if lapsed := now.Renewed.Add(s.TTL); now.Registered && time.Now().After(lapsed) {
		now.Registered, now.Since = false, lapsed
	}
	return now
}
