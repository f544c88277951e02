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
