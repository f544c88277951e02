package sidekick

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
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
	addr  netip.AddrPort
	key   string // addr's
	once  *throttle
	nudge chan<- struct{} // asks for a probe, if there is room

	up      bool      // the latest verdict
	since   time.Time // when what is wanted now was first wanted
	proof   time.Time // when the latest pass started
	renewed time.Time // the proof behind the latest Register that succeeded
	held    bool      // that Register succeeded, and nothing has disturbed it since
	shown   bool      // the log says "registered" last, not "deregistered"
	exists  bool      // there was a Register since the last Deregister: the key may exist

	lost    time.Time // when the registry said that the key has to be earned again
	located time.Time // when the address was last looked up
	standby string    // why the registry stands by; empty: it doesn't

	pause   backoff
	notTill time.Time // after an error: no call before this

	damaged  time.Time // when the key was last disturbed
	repair   backoff   // between repairs that follow each other fast
	reported bool      // the log says of something that is to be repaired

	call   *call // under way, or nil
	result chan error
}

// call is one call to the registry, or to the Locator.
type call struct {
	kind      callKind
	began     time.Time
	proof     time.Time
	disturbed bool           // while it was under way
	addr      netip.AddrPort // what the Locator found, once the call has ended
	cancel    context.CancelFunc
}

type callKind int

const (
	register callKind = iota
	deregister
	locate
)

func newKeeper(s *Sidekick, addr netip.AddrPort, nudge chan<- struct{}) *keeper {
	return &keeper{
		Sidekick: s,
		addr:     addr,
		key:      Key(s.Parent, addr),
		once:     newThrottle(s.Log),
		nudge:    nudge,
		pause:    backoff{first: 100 * time.Millisecond, most: time.Second},
		repair:   backoff{first: 50 * time.Millisecond, most: 500 * time.Millisecond},
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
		if k.once.log(slog.LevelWarn, "the registration was disturbed; repairing it", reason, "key", k.key) {
			k.reported = true
		}
		if within := spreadOver(reason); within > 0 {
			k.notTill = time.Now().Add(rand.N(within))
		} else if time.Since(k.damaged) < calmAfter {
			// Somebody undoes each repair: consumers hear of them all.
			k.notTill = time.Now().Add(spread(k.repair.next()))
		} else {
			k.repair.reset()
		}
		k.damaged = time.Now()
	}
}

// calmAfter is how long the key has to be left alone for the next repair to come at
// once again.
const calmAfter = 10 * time.Second

// reconcile starts the call that is due, unless one is under way. Where that has
// to wait, it returns a channel that fires when the wait is over.
func (k *keeper) reconcile(ctx context.Context) <-chan time.Time {
	if k.call != nil || !k.due() {
		return nil
	}
	if wait := time.Until(k.notTill); wait > 0 {
		return time.After(wait)
	}
	c := &call{kind: k.next(), began: time.Now(), proof: k.proof}
	k.call = c
	var callCtx context.Context
	callCtx, c.cancel = context.WithCancel(ctx)
	switch c.kind {
	case register:
		k.exists = true
		go func() { k.result <- k.Registry.Register(callCtx, Record{k.key, k.Value}) }()
	case deregister:
		k.held, k.renewed = false, time.Time{} // even if it fails, or is interrupted
		go func() { k.result <- k.Registry.Deregister(callCtx) }()
	case locate:
		go func() { k.result <- c.locate(callCtx, k.Locator) }()
	}
	return nil
}

// next is the call that is due. What was lost is only taken again by one who still
// has the address.
func (k *keeper) next() callKind {
	switch {
	case !k.up:
		return deregister
	case k.lost.After(k.located):
		return locate
	}
	return register
}

// due says whether the registry is not where the verdicts want it. A pass that
// lies further back than interval + timeout proves nothing any more: whatever
// keeps the probes from ending must not keep the key alive. Nor does one from before
// the key was lost.
func (k *keeper) due() bool {
	switch k.next() {
	case deregister:
		return k.exists
	case locate:
		return true
	case register:
	}
	if k.proof.Before(k.lost) {
		return false
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
