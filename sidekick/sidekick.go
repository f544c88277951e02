// Package sidekick lives the life of one registration: find the address, probe
// the app, keep its key in the registry while the app passes, take the key away
// when it fails or when the sidekick is asked to stop.
//
// It imports no adapter. What it needs of Docker, of the app and of etcd are the
// four interfaces in this file.
package sidekick

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// stopBudget is how long a stop waits for the registry before the drain starts
// regardless. Docker grants 10 s between TERM and KILL for everything together.
const stopBudget = 2 * time.Second

// Locator finds the address that consumers dial.
type Locator interface {
	// Locate asks once; its calls have their own deadlines. The sidekick asks
	// again after an error, with back-off, until its context ends. An error that
	// waiting can't mend has a method Permanent() bool that returns true: the
	// sidekick gives up with it.
	Locate(ctx context.Context) (netip.AddrPort, error)
}

// Prober asks the app one question.
type Prober interface {
	// Probe returns nil if the app passed before ctx ended, else the reason why
	// not. The sidekick sets the deadline; Probe never retries past it. Reasons
	// are constant for a constant cause, so that they can be logged once. If the
	// app saw nothing of the probe, because nobody listens on its port, the error
	// has a method Unasked() bool that returns true: it may be asked again soon.
	Probe(ctx context.Context) error
}

// Watcher watches the app's process, without a word to the app.
type Watcher interface {
	// Await returns at a sign that the app may have died, or when ctx ends. A sign
	// decides nothing, it costs a probe: Await keeps them from coming too often.
	// The sidekick calls it after each probe, while the app is up.
	Await(ctx context.Context)
}

// Registry holds one key.
type Registry interface {
	// Register makes sure that key exists with value and that its lease has its
	// full TTL ahead. It is idempotent: the first call creates, later ones renew
	// or repair. It tries once, within its own deadline; the sidekick calls again
	// after an error, and only while the app has recently passed its probe.
	//
	// An error whose method Lost() bool returns true says that what was registered
	// is gone. The sidekick looks up the address and probes the app before it calls
	// again. One whose method StandsBy() bool does says that another instance has
	// the key: the sidekick calls again, soon, until it is free.
	Register(ctx context.Context, key, value string) error
	// Deregister takes the key away, if it is this registry's own. It tries
	// once, within its own deadline; the sidekick calls again after an error. A
	// key that was never registered is no error.
	Deregister(ctx context.Context) error
	// Disturbed delivers the reason whenever the key may no longer be as
	// registered; the sidekick then calls Register at once.
	//
	// Its reasons and all errors of a Registry may have a method Pause()
	// time.Duration: the next call is to come at some instant within that time, so
	// that a fleet doesn't come back all at once.
	Disturbed() <-chan error
}

// Config is one registration's settings.
type Config struct {
	Parent string // parent of the key, without leading or trailing slash
	Value  string // the record

	Interval time.Duration // from the start of one probe to the start of the next
	Timeout  time.Duration // the whole of one probe; at most Interval
	Rise     int           // passes in a row to register, at least 1
	Fall     int           // failures in a row to deregister, at least 1
	TTL      time.Duration // the lease's; more than Interval + Timeout
	Drain    time.Duration // from deregistering to the end of Run, on a stop
}

// Sidekick is one registration. All fields are required.
type Sidekick struct {
	Config
	Locator  Locator
	Prober   Prober
	Watcher  Watcher
	Registry Registry
	Log      *slog.Logger
}

// Run lives the registration's life until ctx ends, which asks for a stop:
// deregister, drain, return nil. A receive from hurry ends the drain early. With
// the registry out of reach Run returns within 2 s after the drain.
//
// It returns an error only if the Locator returned a permanent one. A fault of
// Docker, of the app or of the registry is waited out.
func (s *Sidekick) Run(ctx context.Context, hurry <-chan struct{}) error {
	addr, err := s.Locate(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was asked to stop, and there is nothing to undo
	}
	if err != nil {
		return err
	}
	nudge := make(chan struct{}, 1)
	k := newKeeper(s, addr, nudge)
	s.Log.Info("found the address", "address", addr.String(), "key", k.key)

	verdicts := make(chan verdict)
	probing := make(chan struct{})
	go func() {
		defer close(probing)
		s.probe(ctx, verdicts, nudge)
	}()

	k.keep(ctx, verdicts)
	k.stop(hurry) // first of all: even a probe that is late to end doesn't hold it up
	<-probing
	return nil
}

// Locate asks the Locator until it answers, with back-off. It returns the
// Locator's error if that is permanent, or its last one once ctx has ended.
func (s *Sidekick) Locate(ctx context.Context) (netip.AddrPort, error) {
	once := newThrottle(s.Log)
	pause := backoff{first: 100 * time.Millisecond, most: 5 * time.Second}
	for {
		addr, err := s.Locator.Locate(ctx)
		if err == nil || permanent(err) || ctx.Err() != nil {
			return addr, err
		}
		once.log(slog.LevelWarn, "can't find the address yet; trying again", err)
		select {
		case <-ctx.Done():
			return netip.AddrPort{}, err
		case <-time.After(pause.next()):
		}
	}
}

func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// Key joins parent and address to the key that consumers read, such as
// /service/10.1.0.101:32768 or /service/[2001:db8::1]:32768.
func Key(parent string, addr netip.AddrPort) string {
	return "/" + parent + "/" + addr.String()
}
