package sidekick

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

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
	case (c.kind == register) != k.up:
		// The verdict turned meanwhile: nobody waits for this call any more.
	case is(err, func(e interface{ Lost() bool }) bool { return e.Lost() }):
		k.lose(err)
	case is(err, func(e interface{ StandsBy() bool }) bool { return e.StandsBy() }):
		k.standBy(err)
	default:
		k.failed(c, err)
	}
}

// is says whether some error in err's tree has the method that yes calls, and yes
// says so.
func is[E any](err error, yes func(E) bool) bool {
	var e E
	return errors.As(err, &e) && yes(e)
}

func (k *keeper) registered(c *call) {
	switch took := time.Since(k.since); {
	case k.held || !k.up:
	case !k.shown:
		k.Log.Info("registered", "key", k.key, "took", took)
		k.shown, k.reported = true, false
	case k.reported:
		k.Log.Info("registered again", "key", k.key, "took", took)
		k.reported = false
	}
	k.renewed = c.proof
	k.held = !c.disturbed
	k.standby = ""
	k.calm()
}

// calm forgets the failures so far.
func (k *keeper) calm() {
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

// lose makes the key something to be earned again, by a pass and a look at the
// address that come after this: this instance may have been away for long.
func (k *keeper) lose(err error) {
	k.once.log(slog.LevelWarn, "the key has to be earned again; probing the app and looking up the address", err, "key", k.key)
	k.reported = true // that it is back is news, even if this was said a moment ago
	if k.held || k.standby != "" {
		k.since = time.Now()
	}
	k.held, k.standby, k.lost = false, "", time.Now()
	k.calm()
	select {
	case k.nudge <- struct{}{}:
	default:
	}
}

// standBy goes on to ask whether the key is free.
func (k *keeper) standBy(err error) {
	if k.standby != err.Error() {
		k.Log.Warn("another instance has the key; standing by until it is gone", "err", err, "key", k.key)
	}
	k.held, k.shown, k.standby = false, false, err.Error()
	k.notTill = time.Now().Add(spread(k.pause.next()))
}

func (k *keeper) failed(c *call, err error) {
	msg := "can't deregister; trying again"
	if c.kind == register {
		msg = "can't register; trying again"
	}
	if k.held {
		msg = "can't renew the registration; trying again"
		k.held, k.since = false, time.Now()
	}
	wait := k.pause.next()
	if within := spreadOver(err); within > wait {
		wait = rand.N(within)
	} else {
		wait = spread(wait)
	}
	k.notTill = time.Now().Add(wait)
	k.once.log(slog.LevelWarn, msg, err, "key", k.key)
	k.reported = true
}

// spreadOver returns what the registry asks a fleet to spread its next calls over.
func spreadOver(err error) time.Duration {
	var e interface{ Pause() time.Duration }
	if errors.As(err, &e) {
		return e.Pause()
	}
	return 0
}

// relocateTimeout bounds one look at the address while the key waits for it.
const relocateTimeout = time.Second

func (c *call) locate(ctx context.Context, locator Locator) (err error) {
	ctx, cancel := context.WithTimeout(ctx, relocateTimeout)
	defer cancel()
	c.addr, err = locator.Locate(ctx)
	return err
}

// relocated takes in a look at the address. One that got no answer leaves it as it
// was: a Docker that is away moves no ports.
func (k *keeper) relocated(c *call, err error) {
	switch {
	case errors.Is(err, context.Canceled): // the verdict turned meanwhile
	case permanent(err):
		k.notTill = time.Now().Add(spread(k.pause.next()))
		k.once.log(slog.LevelWarn, "the address is not this container's any more; trying again", err, "key", k.key)
	case err != nil:
		k.located = c.began
		k.once.log(slog.LevelWarn, "can't look up the address; going on with the one it was", err, "key", k.key)
	default:
		k.located = c.began
		if c.addr != k.addr {
			k.addr, k.key = c.addr, Key(k.Parent, c.addr)
			k.Log.Info("the address has changed", "address", c.addr.String(), "key", k.key)
		}
	}
}
