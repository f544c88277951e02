package sidekick

import (
	"context"
	"errors"
	"time"
)

// When the keeper looks at the address again, and what follows from that.

const (
	// relocateTimeout bounds one look at the address while the key waits for it.
	relocateTimeout = time.Second
	// relocateEvery is how old the latest look has to be for the next one, which comes
	// with a pass: docker network connect may have moved the port. It costs a millisecond.
	relocateEvery = 30 * time.Second
	// misses is how many looks in a row have to find no address for the key to go: once
	// may be nonsense, from an engine that is about to end.
	misses = 2
)

// lookDue says whether the address is to be looked up again, if it can change at all.
func (k *keeper) lookDue() bool {
	return !k.fixed && time.Since(k.located) >= relocateEvery
}

// relocated takes in a look at the address. One that got no answer leaves it as it
// was: a Docker that is away moves no ports. So does an error about the settings, unless
// the key was lost: then Docker has to say where it is to be.
func (k *keeper) relocated(c *call, err error) {
	var (
		none      *NoAddressError
		permanent *PermanentError
	)
	switch {
	case errors.Is(err, context.Canceled): // the verdict turned meanwhile, or a repair came first
		return
	case errors.As(err, &none), errors.As(err, &permanent) && k.lost.After(k.located):
		k.journal.warn("the address is not this container's any more; trying again", err)
		k.miss()
		return
	case err != nil && k.missed >= misses: // the key is gone, and silence doesn't bring it back
		k.notBefore = time.Now().Add(k.look.next())
		return
	case err != nil:
		k.journal.unsure(err)
	default:
		k.journal.sure()
		if c.at.Address != k.at.Address {
			k.held = false
			k.moveTo(c.at, "the address has changed")
		}
	}
	k.located, k.missed = c.began, 0
	k.look.reset()
}

// miss counts a look that found that there is no address. The next one is after a pause,
// or, when the key has to go, after that.
func (k *keeper) miss() {
	if k.missed++; k.missed == misses && k.exists {
		k.hurry()
		return
	}
	k.notBefore = time.Now().Add(k.look.next())
}
