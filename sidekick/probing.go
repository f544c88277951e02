package sidekick

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// verdict is what the probes so far amount to.
type verdict struct {
	up bool
	at time.Time // when the probe behind it started: what a renewal proves
}

// probe probes until ctx ends. It sends a verdict after every pass while the app is
// up, and after the failure that takes it down: those are what a registration
// depends on.
//
// While the app is up, or passing its way up, probes start an interval apart, or
// earlier at a sign that the app has died, or at a nudge. After a failure of an app
// that is down, the next one comes soon; a change of result resets that.
func (s *Sidekick) probe(ctx context.Context, verdicts chan<- verdict, p *probePause) {
	var (
		up     bool
		passes int
		fails  int
		causes = newThrottle(s.Log)
		asks   = backoff{pauses: askPauses}
		looks  = backoff{pauses: lookPauses}
		began  = time.Now() // since when the app has been in its present state
	)
	for ctx.Err() == nil {
		start := time.Now()
		err := s.ProbeOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		s.board.probed(start, err)
		next := start.Add(s.Interval)
		tell := false
		log := func() {} // after what follows from it
		if err == nil {
			passes, fails = passes+1, 0
			if !up && passes >= s.Rise {
				took, downFor := time.Since(start), time.Since(began)
				log = func() { s.Log.Info("the app passes its probe", "took", took, "down_for", downFor) }
				up, began = true, time.Now()
			}
			tell = up
		} else {
			passes, fails = 0, fails+1
			switch {
			case up && (fails >= s.Fall || errors.Is(err, ErrNotRunning)):
				took, upFor := time.Since(start), time.Since(began)
				log = func() { s.Log.Warn("the app fails its probe", "err", err, "took", took, "up_for", upFor) }
				up, began, tell = false, time.Now(), true
			case up:
				causes.log(slog.LevelWarn, "a probe failed", err, "failures", fails, "fall", s.Fall)
			default:
				causes.log(slog.LevelInfo, "waiting for the app to pass its probe", err)
			}
		}
		switch {
		case up || err == nil:
			asks.reset()
			looks.reset()
		case errors.Is(err, ErrNotListening), errors.Is(err, ErrNotRunning):
			asks.reset()
			next = time.Now().Add(min(looks.next(), s.Interval))
		default:
			looks.reset()
			next = time.Now().Add(min(asks.next(), s.Interval))
		}
		s.board.set(func(now *Status) {
			if state := map[bool]string{true: "up", false: "down"}[up]; now.App != state {
				now.App, now.AppSince = state, time.Now()
			}
		})
		if tell {
			select {
			case <-ctx.Done():
				return
			case verdicts <- verdict{up: up, at: start}:
			}
		}
		log()
		s.wait(ctx, next, up, p)
	}
}

// wait waits until then, or, if the app is up, until a sign that it has died; or
// until a nudge.
func (s *Sidekick) wait(ctx context.Context, until time.Time, up bool, p *probePause) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	p.begin(cancel)
	defer p.end()
	if up {
		s.Watcher.Await(ctx)
		return
	}
	<-ctx.Done()
}

// probePause is the time between two probes. It is safe for concurrent use.
type probePause struct {
	mu     sync.Mutex
	cancel context.CancelFunc // nil: a probe is under way
	nudged bool
}

// nudge ends the pause, or the next one if a probe is under way.
func (p *probePause) nudge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nudged = true
	if p.cancel != nil {
		p.cancel()
	}
}

func (p *probePause) begin(cancel context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel = cancel; p.nudged {
		cancel()
	}
}

func (p *probePause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel, p.nudged = nil, false
}

// ProbeOnce probes the app once, within the timeout. It returns why it failed.
func (s *Sidekick) ProbeOnce(ctx context.Context) error {
	probeCtx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	start := time.Now()
	err := s.Prober.Probe(probeCtx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w (timeout %s)", err, s.Timeout)
	}
	s.Log.Debug("probed", "err", err, "took", time.Since(start))
	return err
}
