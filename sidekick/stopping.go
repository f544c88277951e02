package sidekick

import (
	"context"
	"log/slog"
	"time"
)

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
		k.Log.Error("no answer to the deregistering in time; the key lapses with its lease, if it is not gone yet", "key", k.key, "ttl", k.TTL)
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
