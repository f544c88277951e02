package sidekick

import (
	"context"
	"errors"
	"time"
)

// keeper brings the registry to where the verdicts want it: registered while the
// app is up, deregistered once it is down. It decides what is due, makes the call, and
// takes in the result. One call is under way at a time, beside the loop, so that an
// etcd that hangs never keeps the keeper from hearing that the app went down.
type keeper struct {
	settings Config
	locate   func(context.Context) (Place, error)
	fixed    bool // the address can't change
	registry Registry
	journal  *journal
	nudge    func() // asks for a probe

	at Place

	up    bool      // the latest verdict
	proof time.Time // when the latest pass started

	held    bool      // Register succeeded, and nothing has disturbed the record since
	exists  bool      // there was a Register since the last Deregister: the record may exist
	renewed time.Time // the proof behind the latest Register that succeeded
	lost    time.Time // when the registry said that the key has to be earned again
	located time.Time // when the address was last looked up, and not in vain
	missed  int       // how many looks since then found that there is no address

	retry     backoff   // after an error
	repair    backoff   // after a disturbance
	look      backoff   // after a look that found that there is no address
	notBefore time.Time // no call before this

	call   *call // under way, or nil
	result chan error
}

// call is one call to the registry, or to the Locator.
type call struct {
	kind      callKind
	began     time.Time
	proof     time.Time
	disturbed bool  // while it was under way
	at        Place // what the Locator found, once the call has ended
	cancel    context.CancelFunc
}

type callKind int

const (
	nothing callKind = iota
	register
	deregister
	locate
)

func newKeeper(s *Sidekick, at Place, nudge func()) *keeper {
	_, fixed := s.Locator.(Fixed)
	k := &keeper{
		settings: s.Config,
		locate:   s.locate,
		fixed:    fixed,
		registry: s.Registry,
		journal:  &journal{throttle: newThrottle(s.Log), board: &s.board},
		nudge:    nudge,
		retry:    backoff{pauses: registerPauses},
		repair:   backoff{pauses: repairPauses},
		look:     backoff{pauses: missPauses},
		located:  time.Now(),
		result:   make(chan error, 1),
	}
	k.moveTo(at, "found the address")
	return k
}

// moveTo makes at the place, which is news.
func (k *keeper) moveTo(at Place, news string) {
	k.at = at
	k.journal.found(news, at)
}

// keep follows the verdicts until ctx ends, and returns with no call under way.
func (k *keeper) keep(ctx context.Context, verdicts <-chan verdict) {
	for {
		var wake <-chan time.Time
		if kind := k.decide(); kind == nothing {
		} else if wait := time.Until(k.notBefore); wait > 0 {
			wake = time.After(wait)
		} else {
			k.start(ctx, kind)
		}
		select {
		case <-ctx.Done():
			if k.call != nil {
				k.call.cancel()
				<-k.result
			}
			return
		case v := <-verdicts:
			k.heed(v)
		case reason := <-k.registry.Disturbed():
			k.disturbed(reason)
		case err := <-k.result:
			k.finish(err)
		case <-wake:
		}
	}
}

// decide returns the call that is due, unless one is under way.
//
// A pass that lies further back than interval + timeout proves nothing any more:
// whatever keeps the probes from ending must not keep the key alive. Nor does one from
// before the key was lost; and only one who still has the address takes it, or takes it
// again. A look at it that is due while the key is there waits for the renewal.
func (k *keeper) decide() callKind {
	switch {
	case k.call != nil:
		return nothing
	case !k.wanted() && k.exists:
		return deregister
	case !k.up:
		return nothing
	case k.missed >= misses, k.lost.After(k.located), !k.exists && (k.missed > 0 || k.lookDue()):
		return locate
	case k.proof.Before(k.lost), time.Since(k.proof) > k.settings.Interval+k.settings.Timeout:
		return nothing
	case !k.held || k.renewalDue():
		return register
	case k.missed > 0, k.lookDue():
		return locate
	}
	return nothing
}

// wanted says whether the key is to be there.
func (k *keeper) wanted() bool { return k.up && k.missed < misses }

// renewalDue says whether the latest pass is to renew the lease.
func (k *keeper) renewalDue() bool {
	return k.proof.After(k.renewed) && k.proof.Sub(k.renewed) >= k.settings.renewEvery()
}

// start makes a call, beside the loop.
func (k *keeper) start(ctx context.Context, kind callKind) {
	c := &call{kind: kind, began: time.Now(), proof: k.proof}
	ctx, c.cancel = context.WithCancel(ctx)
	k.call = c
	var do func() error
	switch records := k.at.Records; kind {
	case register:
		k.exists = true
		do = func() error { return k.registry.Register(ctx, records) }
	case deregister:
		k.held, k.renewed = false, time.Time{} // even if it fails, or is interrupted
		do = func() error { return k.registry.Deregister(ctx) }
	case locate:
		do = func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, relocateTimeout)
			defer cancel()
			c.at, err = k.locate(ctx)
			return err
		}
	}
	go func() { k.result <- do() }()
}

// heed takes a verdict in. When it turns, a call under way has become pointless,
// and an error of the registry no reason to wait.
func (k *keeper) heed(v verdict) {
	if v.up {
		k.proof = v.at
	}
	if v.up == k.up {
		return
	}
	k.up = v.up
	k.journal.wanted()
	k.hurry()
	if k.call != nil {
		k.call.cancel()
	}
}

// hurry forgets the errors so far: the next call comes at once.
func (k *keeper) hurry() {
	k.retry.reset()
	k.notBefore = time.Time{}
}

// disturbed repairs the record at once, unless repairs follow each other fast.
func (k *keeper) disturbed(reason error) {
	if k.call != nil {
		k.call.disturbed = true
	}
	switch {
	case k.held:
		k.journal.disturbed(reason)
	case k.call == nil || k.call.kind != register:
		return
	}
	if k.call != nil && k.call.kind == locate {
		k.call.cancel() // there is time for it later
	}
	k.held = false
	k.notBefore = time.Now().Add(k.repair.after(reason))
}

// finish takes in the result of the call that was under way.
func (k *keeper) finish(err error) {
	c := k.call
	c.cancel()
	k.call = nil
	switch {
	case c.kind == locate:
		k.relocated(c, err)
	case err == nil && c.kind == register:
		k.registered(c)
	case err == nil:
		k.deregistered()
	case (c.kind == register) != k.wanted():
		// The verdict turned meanwhile: nobody waits for this call any more.
	case errors.Is(err, ErrLost):
		k.lose(err)
	case errors.Is(err, ErrTaken):
		k.journal.taken(err)
		k.held = false
		k.notBefore = time.Now().Add(k.retry.next())
	default:
		k.journal.failed(c.kind, err, k.held)
		k.held = false
		k.notBefore = time.Now().Add(k.retry.after(err))
	}
}

func (k *keeper) registered(c *call) {
	// Before the status says that it is registered, or it would have lapsed.
	k.journal.board.set(func(now *Status) { now.Renewed = time.Now() })
	if k.up && !k.held {
		k.journal.holds()
	}
	k.renewed = c.proof
	if k.held = !c.disturbed; k.held {
		k.hurry()
	} else {
		k.retry.reset() // the pause before the repair stays
	}
}

func (k *keeper) deregistered() {
	k.exists = false
	k.journal.gone()
}

// lose makes the key something to be earned again, by a pass and a look at the
// address that come after this: this instance may have been away for long.
func (k *keeper) lose(err error) {
	k.journal.lost(err, k.held)
	k.held, k.lost = false, time.Now()
	k.hurry()
	k.nudge()
}
