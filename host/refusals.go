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

// refusals logs that callers were refused, and what else was wrong, now and then.
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

// refused logs that who was refused, unless that was told less than a minute ago.
func (r *refusals) refused(who string, now time.Time, err error, attrs ...any) {
	if leftOut, due := r.due(who, now); due {
		if leftOut > 0 {
			attrs = append(attrs, "left_out", leftOut)
		}
		r.log.Warn("refused", append([]any{"err", err, "caller", who}, attrs...)...)
	}
}

// warn logs, in the same way, that a container might do harm.
func (r *refusals) warn(container string, now time.Time, err error) {
	if _, due := r.due(container+" "+err.Error(), now); due {
		r.log.Warn("a container could put another socket in the place of this service's", "err", err, "container", short(container))
	}
}

// fault logs, in the same way, that Docker or etcd could not be asked.
func (r *refusals) fault(who string, now time.Time, err error) {
	if _, due := r.due(who+" "+err.Error(), now); due {
		r.log.Warn("can't answer, because "+who+" can't be asked", "err", err)
	}
}

// unaccepted logs, in the same way, that a connection could not be accepted. Each try, ten a
// second, would have its line else.
func (r *refusals) unaccepted(now time.Time, err error) {
	if _, due := r.due(err.Error(), now); due {
		r.log.Warn("can't accept a connection", "err", err)
	}
}

// due says whether the log is to tell of what, and how often it did not since it did last.
func (r *refusals) due(what string, now time.Time) (leftOut int, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.told[what]
	if now.Sub(last.at) < refusedEvery {
		last.more++
		r.told[what] = last
		return 0, false
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
	r.told[what] = told{at: now}
	return last.more, true
}
