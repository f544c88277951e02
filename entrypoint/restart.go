package entrypoint

import "time"

// Restart says when an app that has ended is started again.
type Restart int

// The ways.
const (
	Never Restart = iota
	OnFailure
	Always
)

func (r Restart) again(code int) bool { return r == Always || r == OnFailure && code != 0 }

const (
	leastPause, mostPause = 100 * time.Millisecond, 30 * time.Second
	// wellAfter is how long what was started has to run for the next pause to be the least.
	wellAfter = 10 * time.Second
)

// backoff is the pause before the next start. It doubles with each one.
type backoff struct {
	started time.Time
	pause   time.Duration
}

// after returns the pause after something that ran that long.
func (b *backoff) after(ran time.Duration) time.Duration {
	b.pause = min(2*b.pause, mostPause)
	if ran >= wellAfter || b.pause == 0 {
		b.pause = leastPause
	}
	return b.pause
}
