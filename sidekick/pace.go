package sidekick

import (
	"context"
	"errors"
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

// While the app is down, the pauses between probes grow up to longestPause, or to
// the interval if that is shorter.
const (
	// firstPause is the one after the first failure of an app that was asked. It
	// doubles: each such probe shows in the app's log.
	firstPause = 50 * time.Millisecond
	// A probe that nobody answers because nobody listens costs the app nothing, so
	// such probes come as soon as firstLook, and later a fiftieth of the time
	// apart that the app has been away. Its key is late by no more than that.
	firstLook = 20 * time.Millisecond
	lookShare = 50

	longestPause = time.Second
)

// pace is how far apart the probes of an app are that is down.
type pace struct {
	most  time.Duration
	asked backoff
	away  time.Time // since when nobody listens; zero if somebody does
}

func newPace(interval time.Duration) *pace {
	most := min(longestPause, interval)
	return &pace{most: most, asked: backoff{first: firstPause, most: most}}
}

// after returns the pause after a probe that failed with err.
func (p *pace) after(err error) time.Duration {
	if !unasked(err) {
		p.away = time.Time{}
		return p.asked.next()
	}
	p.asked.reset()
	if p.away.IsZero() {
		p.away = time.Now()
	}
	return min(max(time.Since(p.away)/lookShare, firstLook), p.most)
}

// reset makes the next pause a first one again.
func (p *pace) reset() {
	p.asked.reset()
	p.away = time.Time{}
}

func unasked(err error) bool {
	var u interface{ Unasked() bool }
	return errors.As(err, &u) && u.Unasked()
}

// spread shortens d by up to a half, by chance, so that the sidekicks of many
// containers don't all come back to etcd in the same instant.
func spread(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// throttle logs the same cause at most once a minute.
type throttle struct {
	logger *slog.Logger
	seen   map[string]occasion
}

// occasion is when a cause was logged, and how often it was left out since.
type occasion struct {
	at      time.Time
	leftOut int
}

func newThrottle(log *slog.Logger) *throttle {
	return &throttle{logger: log, seen: map[string]occasion{}}
}

// log says whether it did.
func (t *throttle) log(level slog.Level, msg string, cause error, attrs ...any) bool {
	id := msg + ": " + cause.Error()
	before, again := t.seen[id]
	if again && time.Since(before.at) < time.Minute {
		before.leftOut++
		t.seen[id] = before
		return false
	}
	if before.leftOut > 0 {
		attrs = append(attrs, "left_out", before.leftOut)
	}
	t.forget()
	t.seen[id] = occasion{at: time.Now()}
	t.logger.Log(context.Background(), level, msg, append([]any{"err", cause}, attrs...)...)
	return true
}

// forget drops what is over.
func (t *throttle) forget() {
	for id, o := range t.seen {
		if ago := time.Since(o.at); ago >= time.Hour || o.leftOut == 0 && ago >= time.Minute {
			delete(t.seen, id)
		}
	}
}
