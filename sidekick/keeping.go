package sidekick

import (
	"context"
	"log/slog"
	"time"
)

// renewals is how many renewals fit into one TTL at the most. Passes that follow
// each other faster than that renew nothing; at the default settings each renews.
const renewals = 5

// keeper brings the registry to where the verdicts want it: registered while the
// app is up, deregistered once it is down. One call to the registry is under way
// at a time, beside the loop, so that an etcd that hangs never keeps the keeper
// from hearing that the app went down.
type keeper struct {
	*Sidekick
	key  string
	once *throttle

	up      bool      // the latest verdict
	since   time.Time // when what is wanted now was first wanted
	proof   time.Time // when the latest pass started
	renewed time.Time // the proof behind the latest Register that succeeded
	held    bool      // that Register succeeded, and nothing has disturbed it since
	shown   bool      // the log says "registered" last, not "deregistered"
	exists  bool      // there was a Register since the last Deregister: the key may exist

	pause   backoff
	notTill time.Time // after an error: no call before this

	call   *call // under way, or nil
	result chan error
}

// call is one call to the registry.
type call struct {
	register  bool // else deregister
	proof     time.Time
	disturbed bool // while it was under way
	cancel    context.CancelFunc
}

func newKeeper(s *Sidekick, key string) *keeper {
	return &keeper{
		Sidekick: s,
		key:      key,
		once:     newThrottle(s.Log),
		pause:    backoff{first: 100 * time.Millisecond, most: time.Second},
		result:   make(chan error, 1),
	}
}

// keep follows the verdicts until ctx ends, and returns with no call under way.
func (k *keeper) keep(ctx context.Context, verdicts <-chan verdict) {
	for {
		wake := k.reconcile(ctx)
		select {
		case <-ctx.Done():
			if k.call != nil {
				k.call.cancel()
				<-k.result
			}
			return
		case v := <-verdicts:
			k.heed(v)
		case reason := <-k.Registry.Disturbed():
			k.disturbed(reason)
		case err := <-k.result:
			k.finish(err)
		case <-wake:
		}
	}
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
	k.up, k.since = v.up, time.Now()
	k.pause.reset()
	k.notTill = time.Time{}
	if k.call != nil {
		k.call.cancel()
	}
}

func (k *keeper) disturbed(reason error) {
	if k.call != nil {
		k.call.disturbed = true
	}
	if k.held {
		k.held, k.since = false, time.Now()
		k.once.log(slog.LevelWarn, "the registration was disturbed; repairing it", reason, "key", k.key)
	}
}

// reconcile starts the call that is due, unless one is under way. Where that has
// to wait, it returns a channel that fires when the wait is over.
func (k *keeper) reconcile(ctx context.Context) <-chan time.Time {
	if k.call != nil || !k.due() {
		return nil
	}
	if wait := time.Until(k.notTill); wait > 0 {
		return time.After(wait)
	}
	callCtx, cancel := context.WithCancel(ctx)
	k.call = &call{register: k.up, proof: k.proof, cancel: cancel}
	if k.up {
		k.exists = true
		go func() { k.result <- k.Registry.Register(callCtx, k.key, k.Value) }()
	} else {
		k.held, k.renewed = false, time.Time{} // even if it fails, or is interrupted
		go func() { k.result <- k.Registry.Deregister(callCtx) }()
	}
	return nil
}

// due says whether the registry is not where the verdicts want it. A pass that
// lies further back than interval + timeout proves nothing any more: whatever
// keeps the probes from ending must not keep the key alive.
func (k *keeper) due() bool {
	if !k.up {
		return k.exists
	}
	if time.Since(k.proof) > k.Interval+k.Timeout {
		return false
	}
	apart := k.TTL / renewals
	if k.Fall > 1 {
		apart = 0 // the lease has to last through failures that are tolerated
	}
	return !k.held || k.proof.After(k.renewed) && k.proof.Sub(k.renewed) >= apart
}

// finish takes in the result of the call that was under way.
func (k *keeper) finish(err error) {
	c := k.call
	c.cancel()
	k.call = nil
	switch {
	case err == nil && c.register:
		k.registered(c)
	case err == nil:
		k.deregistered()
	case c.register != k.up:
		// The verdict turned meanwhile: nobody waits for this call any more.
	default:
		k.failed(c, err)
	}
}

func (k *keeper) registered(c *call) {
	if !k.held && k.up {
		msg := "registered"
		if k.shown {
			msg = "registered again"
		}
		k.Log.Info(msg, "key", k.key, "took", time.Since(k.since))
		k.shown = true
	}
	k.renewed = c.proof
	k.held = !c.disturbed
	k.pause.reset()
	k.notTill = time.Time{}
}

func (k *keeper) deregistered() {
	k.exists = false
	if k.shown {
		k.Log.Info("deregistered", "key", k.key, "took", time.Since(k.since))
		k.shown = false
	}
}

func (k *keeper) failed(c *call, err error) {
	msg := "can't deregister; trying again"
	if c.register {
		msg = "can't register; trying again"
	}
	if k.held {
		msg = "can't renew the registration; trying again"
		k.held, k.since = false, time.Now()
	}
	k.notTill = time.Now().Add(spread(k.pause.next()))
	k.once.log(slog.LevelWarn, msg, err, "key", k.key)
}

// stop deregisters, if there may be a key, and drains. Receiving from hurry ends
// the drain. Where the registry doesn't answer, the drain starts after stopBudget
// all the same, with deregistering tried on until it ends.
func (k *keeper) stop(hurry <-chan struct{}) {
	if !k.exists {
		return
	}
	k.since = time.Now()
	// The context that Run was given has ended; this is what bounds the clean-up.
	ctx, cancel := context.WithTimeout(context.Background(), stopBudget+k.Drain)
	defer cancel()
	gone := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if k.deregister(ctx) {
			close(gone)
		}
	}()
	select {
	case <-gone:
	case <-time.After(stopBudget):
		k.Log.Error("could not deregister in time; the key lapses with its lease", "key", k.key, "ttl", k.TTL)
	}
	if k.Drain > 0 {
		k.Log.Info("draining", "drain", k.Drain)
		select {
		case <-time.After(k.Drain):
		case <-hurry:
			k.Log.Info("asked to stop again; ending the drain")
		}
	}
	cancel()
	<-ended
}

// deregister tries until it succeeds, and says so, or ctx ends.
func (k *keeper) deregister(ctx context.Context) bool {
	for {
		err := k.Registry.Deregister(ctx)
		if err == nil {
			k.deregistered()
			return true
		}
		if ctx.Err() == nil {
			k.once.log(slog.LevelWarn, "can't deregister; trying again", err, "key", k.key)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(spread(100 * time.Millisecond)):
		}
	}
}
