// Package sidekick lives the life of one registration: find the address, probe
// the app, keep its records in the registry while the app passes, take them away
// when it fails or when the sidekick is asked to stop. There is one record, or there are
// several that come and go together: the key, here and in the log, is that of the first.
//
// It imports no adapter. What it needs of Docker, of the app and of etcd stands in
// contract.go; when to probe in probing.go, what follows from it in keeper.go, what is
// logged of it in journal.go.
package sidekick

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"dockreg/record"
)

// Config is one registration's settings.
type Config struct {
	Interval time.Duration // from the start of one probe to the start of the next
	Timeout  time.Duration // the whole of one probe; at most Interval
	Rise     int           // passes in a row to register, at least 1
	Fall     int           // failures in a row to deregister, at least 1
	TTL      time.Duration // the lease's; at least Fall x Interval + Timeout + LeastSpare
	Drain    time.Duration // from deregistering to the end of Run, on a stop
}

// LeastSpare is how much of a lease's TTL has to be left when a renewal begins: one may
// fail after 1.5 s, at a member of etcd's that hangs, and the next one takes as long at the
// most. Between them comes a pause.
const LeastSpare = 4 * time.Second

// Spare is how much of a lease's TTL is left at the least when a renewal begins.
func (c Config) Spare() time.Duration {
	apart := time.Duration(c.Fall) * c.Interval
	if every := c.renewEvery(); c.Interval < every {
		apart = max(apart, every+c.Interval)
	}
	return c.TTL - apart - c.Timeout
}

// renewals is how many renewals fit into one TTL at the most, unless that leaves too little
// to spare. Passes that follow each other faster renew nothing; at the default settings
// each renews. So it is where failures are tolerated: the lease has to last through them.
const renewals = 5

func (c Config) renewEvery() time.Duration {
	if c.Fall > 1 {
		return 0
	}
	return min(c.TTL/renewals, c.TTL-c.Interval-c.Timeout-LeastSpare)
}

// Sidekick is one registration. All fields but Observer are required. Log should never
// block.
type Sidekick struct {
	Config
	// Records returns what to register for an address. An error is one of that address.
	Records  func(netip.AddrPort) (record.Records, error)
	Locator  Locator
	Prober   Prober
	Watcher  Watcher
	Registry Registry
	Log      *slog.Logger
	Observer Observer

	board board
}

// Run lives the registration's life until ctx ends, which asks for a stop:
// deregister, drain, return nil. A receive from hurry ends the drain early. With
// the registry out of reach Run returns within 2 s after the drain.
//
// It returns an error only if the Locator returned a *PermanentError. A fault of
// Docker, of the app or of the registry is waited out.
func (s *Sidekick) Run(ctx context.Context, hurry <-chan struct{}) error {
	s.board.observer = s.Observer
	s.board.set(func(now *Status) { now.App, now.AppSince, now.Since = "unknown", time.Now(), time.Now() })
	at, err := s.Locate(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was asked to stop, and there is nothing to undo
	}
	if err != nil {
		return err
	}
	verdicts := make(chan verdict)
	p := &probePause{}
	k := newKeeper(s, at, p.nudge)
	probing := make(chan struct{})
	go func() {
		defer close(probing)
		s.probe(ctx, verdicts, p)
	}()
	k.keep(ctx, verdicts)
	k.stop(hurry) // first of all: even a probe that is late to end doesn't hold it up
	<-probing
	return nil
}

// Place is where consumers find the app: the address that they dial, and the records that
// tell them so.
type Place struct {
	Address netip.AddrPort // invalid: the app has none
	Records record.Records
}

// locate asks the Locator once.
func (s *Sidekick) locate(ctx context.Context) (at Place, err error) {
	if at.Address, err = s.Locator.Locate(ctx); err != nil {
		return Place{}, err
	}
	if at.Records, err = s.Records(at.Address); err != nil {
		return Place{}, &NoAddressError{err}
	}
	return at, nil
}

// Locate asks the Locator until it answers, with growing pauses. It returns the
// Locator's error if that is a *PermanentError, or its last one once ctx has ended.
func (s *Sidekick) Locate(ctx context.Context) (Place, error) {
	causes := newThrottle(s.Log)
	again := backoff{pauses: locatePauses}
	for {
		at, err := s.locate(ctx)
		permanent := (*PermanentError)(nil)
		if err == nil || errors.As(err, &permanent) || ctx.Err() != nil {
			return at, err
		}
		causes.log(slog.LevelWarn, "can't find the address yet; trying again", err)
		s.board.fault(err)
		select {
		case <-ctx.Done():
			return Place{}, err
		case <-time.After(again.next()):
		}
	}
}
