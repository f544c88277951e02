package sidekick

import (
	"errors"
	"math/rand/v2"
	"time"
)

// pauses says how long to wait before something is tried again: the first time, and
// at most, with each pause growth times the one before.
type pauses struct {
	first, most time.Duration
	growth      float64
	// jitter shortens each pause by up to a half, at random, so that the sidekicks of
	// many containers don't all come to etcd in the same instant.
	jitter bool
	// calm, unless it is 0, lets a try come at once if the one before is this long ago.
	calm time.Duration
}

// All the pauses there are.
var (
	// Docker completes its answer a moment after a container's start.
	locatePauses = pauses{first: 100 * time.Millisecond, most: 5 * time.Second, growth: 2}
	// After an outage of any length the key is to be back within two seconds.
	registerPauses = pauses{first: 100 * time.Millisecond, most: time.Second, growth: 2, jitter: true}
	// Somebody may undo each repair, and consumers hear of them all.
	repairPauses = pauses{first: 50 * time.Millisecond, most: 500 * time.Millisecond, growth: 2, jitter: true, calm: 10 * time.Second}
	// Docker says that the container has no address any more.
	missPauses = pauses{first: time.Second, most: 5 * time.Second, growth: 2}
	// A stop has no time to lose.
	stopPauses = pauses{first: 100 * time.Millisecond, most: 100 * time.Millisecond, growth: 1, jitter: true}
	// A probe that fails shows in the app's log.
	askPauses = pauses{first: 50 * time.Millisecond, most: time.Second, growth: 2}
	// One that nobody hears, because nobody listens, costs the app nothing. With these
	// the key of an app that starts is late by 2% of the time that took, and 10 ms.
	lookPauses = pauses{first: 10 * time.Millisecond, most: time.Second, growth: 1.02}
)

// backoff is where one who tries again and again stands in his pauses.
type backoff struct {
	pauses
	latest time.Duration // pause, without jitter; 0: none yet
	tried  time.Time     // when it was asked for
}

// next returns the next pause.
func (b *backoff) next() time.Duration {
	quiet := time.Since(b.tried)
	b.tried = time.Now()
	if b.calm > 0 && quiet >= b.calm {
		b.latest = 0
		return 0
	}
	b.latest = min(max(time.Duration(b.growth*float64(b.latest)), b.first), b.most)
	if b.jitter {
		return b.latest/2 + rand.N(b.latest/2+1)
	}
	return b.latest
}

// after returns the next pause, or, if err asks for more time than that, a time at
// random within what it asks for.
func (b *backoff) after(err error) time.Duration {
	pause := b.next()
	if spread := (*SpreadError)(nil); errors.As(err, &spread) && spread.Within > b.latest {
		return rand.N(spread.Within)
	}
	return pause
}

// reset makes the next pause the first one again.
func (b *backoff) reset() { b.latest = 0 }
