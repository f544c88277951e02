package host

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// refusedEvery is how often the log tells of refusals of one caller.
	refusedEvery = time.Minute
	// mostRefused bounds of how many callers that is remembered.
	mostRefused = 1000
)

// refusals logs that callers were refused, now and then.
type refusals struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]told // by caller
}

type told struct {
	at   time.Time
	more int // since then
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, told: map[string]told{}}
}

// tell logs that who was refused, unless that was told less than a minute ago.
func (r *refusals) tell(who string, now time.Time, err error, attrs ...any) {
	r.mu.Lock()
	before, known := r.told[who]
	if now.Sub(before.at) < refusedEvery {
		before.more++
		r.told[who] = before
		r.mu.Unlock()
		return
	}
	if !known && len(r.told) >= mostRefused {
		for name, t := range r.told {
			if now.Sub(t.at) >= refusedEvery {
				delete(r.told, name)
			}
		}
		if len(r.told) >= mostRefused {
			clear(r.told) // more than is worth the memory; some are told again
		}
	}
	r.told[who] = told{at: now}
	r.mu.Unlock()
	if before.more > 0 {
		attrs = append(attrs, "before", before.more)
	}
	r.log.Warn("refused", append([]any{"err", err, "caller", who}, attrs...)...)
}
