package sidekick

import (
	"context"
	"time"
)

// StopBudget is how long a stop waits for the registry before the drain starts
// regardless. Docker grants 10 s between TERM and KILL for everything together.
const StopBudget = 2 * time.Second

// stop deregisters, if there may be a record, and drains. Receiving from hurry ends
// the drain. Where the registry doesn't answer, the drain starts after StopBudget
// all the same, with deregistering tried on until it ends.
func (k *keeper) stop(hurry <-chan struct{}) {
	k.journal.board.set(func(now *Status) { now.Stopping = true })
	if !k.exists {
		return
	}
	k.journal.wanted()
	// The context that Run was given has ended; this is what bounds the clean-up.
	ctx, cancel := context.WithTimeout(context.Background(), StopBudget+k.settings.Drain)
	defer cancel()
	gone := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if k.deregister(ctx) {
			close(gone)
		}
	}()
	log := k.journal.logger
	select {
	case <-gone:
	case <-time.After(StopBudget):
		log.Error("no answer to the deregistering in time; the key lapses with its lease, if it is not gone yet", "key", k.at.Records.Key(), "ttl", k.settings.TTL)
	}
	if k.settings.Drain > 0 && !isAsked(hurry) {
		k.journal.board.happened(Drained)
		log.Info("draining", "drain", k.settings.Drain)
		select {
		case <-time.After(k.settings.Drain):
		case <-hurry:
			log.Info("asked to stop again; ending the drain")
		}
	}
	cancel()
	<-ended
}

// isAsked says whether there is something to receive, and receives it.
func isAsked(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// deregister tries until it succeeds, and says so, or ctx ends.
func (k *keeper) deregister(ctx context.Context) bool {
	again := backoff{pauses: stopPauses}
	for {
		err := k.registry.Deregister(ctx)
		if err == nil {
			k.deregistered()
			return true
		}
		if ctx.Err() == nil {
			k.journal.failed(deregister, err, false)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(again.next()):
		}
	}
}
