package sidekick

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"dockreg/record"
)

// What a sidekick needs of Docker, of the app and of etcd, and what each promises it.
// Adapters import this package for what stands in this file, and for nothing else.

// Locator finds the address that consumers dial.
type Locator interface {
	// Locate asks once; its calls have their own deadlines. The sidekick asks again
	// after an error, with growing pauses, until its context ends; after a
	// *PermanentError it gives up. Once it has an address, it asks now and then whether
	// that has changed: after a *NoAddressError there is none any more, and any other
	// error leaves it as it was.
	Locate(ctx context.Context) (netip.AddrPort, error)
}

// NoAddressError is an answer, and not the lack of one: the container has no address
// that consumers could dial, not yet or not any more.
type NoAddressError struct{ Err error }

func (e *NoAddressError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *NoAddressError) Unwrap() error { return e.Err }

// PermanentError is an error that waiting can't fix: the settings have to change, or
// how the container was started.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PermanentError) Unwrap() error { return e.Err }

// Fixed is the Locator of an address that is known.
type Fixed netip.AddrPort

// Locate returns the address, and never an error.
func (f Fixed) Locate(context.Context) (netip.AddrPort, error) { return netip.AddrPort(f), nil }

// Prober asks the app one question.
type Prober interface {
	// Probe returns nil if the app passed before ctx ended, else the reason why not.
	// The sidekick sets the deadline; Probe never retries past it. The same cause has
	// the same words each time, so that it is logged once. ErrNotListening is in the
	// error's tree if the app saw nothing of the probe: it may be asked again soon.
	Probe(ctx context.Context) error
}

// ErrNotListening says that nobody listens on the app's port.
var ErrNotListening = errors.New("nothing listens on the port")

// ErrNotRunning says that the app's process has ended, or has not been started yet: no failure
// that may be tolerated, however many are. A Prober that knows returns it.
var ErrNotRunning = errors.New("the app's process is not running")

// Watcher watches the app's process, without a word to the app.
type Watcher interface {
	// Await returns at a sign that the app may have died, or when ctx ends. A sign
	// decides nothing, it costs a probe: Await keeps them from coming too often.
	// The sidekick calls it after each probe, while the app is up.
	Await(ctx context.Context)
}

// Registry holds the records of one instance, all of them or none.
type Registry interface {
	// Register makes sure that the records are there, and that their lease has its full
	// TTL ahead. It is idempotent: the first call creates, later ones renew or repair.
	// It tries once, within its own deadline; the sidekick calls again after an error,
	// and only while the app has recently passed its probe.
	//
	// ErrLost and ErrTaken in an error's tree are about the key, and a *SpreadError
	// asks for time before the next call.
	Register(ctx context.Context, records record.Records) error
	// Deregister takes the records away, if they are this registry's own. It tries once,
	// within its own deadline; the sidekick calls again after an error. Records that
	// were never registered are no error.
	Deregister(ctx context.Context) error
	// Disturbed delivers the reason whenever a record may no longer be as
	// registered; the sidekick then calls Register at once, or as a *SpreadError asks.
	Disturbed() <-chan error
}

// Observer is told what happens, for who counts it. Its methods never block.
type Observer interface {
	// Probed is after each probe, with its error.
	Probed(err error, took time.Duration)
	// Happened is after each change of the registration.
	Happened(what Occasion)
}

// Occasion is what may happen to a registration.
type Occasion int

// The occasions.
const (
	Registered   Occasion = iota // after it was not
	Deregistered                 // on purpose
	Repaired                     // after it was disturbed, or could not be renewed
	StoodBy                      // another instance has the key
	Drained                      // a stop waited for consumers
)

var (
	// ErrLost says that what was registered is gone. The sidekick looks up the address
	// and probes the app before it calls Register again.
	ErrLost = errors.New("what was registered is gone")
	// ErrTaken says that another instance has a key. The sidekick calls Register
	// again, soon, until it is free.
	ErrTaken = errors.New("another instance has the key")
)

// SpreadError asks for the next call to come at some instant within a time, so that
// the instances of a fleet don't all come back at once.
type SpreadError struct {
	Err    error
	Within time.Duration
}

func (e *SpreadError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SpreadError) Unwrap() error { return e.Err }
