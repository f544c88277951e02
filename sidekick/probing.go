package sidekick

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// verdict is what the probes so far amount to.
type verdict struct {
	up bool
	at time.Time // when the probe behind it started: what a renewal proves
}

// probe probes until ctx ends. It sends a verdict after every pass while the app
// is up, and after the failure that takes it down: those are what a registration
// depends on.
//
// While the app is up, or passing its way up, probes start an interval apart, or
// earlier at a sign that the app has died, or when nudged. After a failure of an app that is down,
// the next one comes soon; a change of result resets that.
func (s *Sidekick) probe(ctx context.Context, verdicts chan<- verdict, nudge <-chan struct{}) {
	var (
		up     bool
		passes int
		fails  int
		once   = newThrottle(s.Log)
		pace   = newPace(s.Interval)
		began  = time.Now() // since when the app has been in its present state
	)
	for ctx.Err() == nil {
		start := time.Now()
		err := s.ProbeOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		next := start.Add(s.Interval)
		tell := false
		if err == nil {
			passes, fails = passes+1, 0
			pace.reset()
			if !up && passes >= s.Rise {
				s.Log.Info("the app passes its probe", "took", time.Since(start), "down_for", time.Since(began))
				up, began = true, time.Now()
			}
			tell = up
		} else {
			passes, fails = 0, fails+1
			switch {
			case up && fails >= s.Fall:
				s.Log.Warn("the app fails its probe", "err", err, "took", time.Since(start), "up_for", time.Since(began))
				up, began, tell = false, time.Now(), true
			case up:
				once.log(slog.LevelWarn, "a probe failed", err, "failures", fails, "fall", s.Fall)
			default:
				once.log(slog.LevelInfo, "waiting for the app to pass its probe", err)
			}
			if !up {
				next = time.Now().Add(pace.after(err))
			}
		}
		if tell {
			select {
			case <-ctx.Done():
				return
			case verdicts <- verdict{up: up, at: start}:
			}
		}
		s.pause(ctx, next, up, nudge)
	}
}

// pause waits until then, or, if the app is up, until a sign that it has died; or
// until it is nudged.
func (s *Sidekick) pause(ctx context.Context, until time.Time, up bool, nudge <-chan struct{}) {
	ctx, cancel := context.WithDeadline(ctx, until)
	heard := make(chan struct{})
	defer func() { <-heard }()
	defer cancel()
	go func() {
		defer close(heard)
		select {
		case <-nudge:
			cancel()
		case <-ctx.Done():
		}
	}()
	if up {
		s.Watcher.Await(ctx)
		return
	}
	<-ctx.Done()
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
