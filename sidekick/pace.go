package sidekick

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// backoff is a pause that doubles from first to most.
type backoff struct {
	first, most time.Duration
	current     time.Duration
}

// next returns the next pause.
func (b *backoff) next() time.Duration {
	b.current = min(max(2*b.current, b.first), b.most)
	return b.current
}

// reset makes the next pause the first one again.
func (b *backoff) reset() { b.current = 0 }

// spread shortens d by up to a half, by chance, so that the sidekicks of many
// containers don't all come back to etcd in the same instant.
func spread(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// throttle logs the same cause at most once a minute.
type throttle struct {
	logger *slog.Logger
	seen   map[string]time.Time
}

func newThrottle(log *slog.Logger) *throttle {
	return &throttle{logger: log, seen: map[string]time.Time{}}
}

func (t *throttle) log(level slog.Level, msg string, cause error, attrs ...any) {
	now := time.Now()
	for id, at := range t.seen {
		if now.Sub(at) >= time.Minute {
			delete(t.seen, id)
		}
	}
	id := msg + ": " + cause.Error()
	if _, ok := t.seen[id]; ok {
		return
	}
	t.seen[id] = now
	t.logger.Log(context.Background(), level, msg, append([]any{"err", cause}, attrs...)...)
}
