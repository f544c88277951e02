package e2e

import (
	"os"
	"testing"
	"time"
)

// long asks for the long forms, which make test-all runs: outages beyond the minute in
// which a cause is logged once, the default TTL, and the load that the documents tell
// of. The short forms have the same rules at stake.
var long = os.Getenv("DOCKREG_LONG") == "1"

// either returns the first in the long forms, the second in the short ones.
func either[T any](inLong, inShort T) T {
	if long {
		return inLong
	}
	return inShort
}

// busy is what a machine whose processors are all taken may add to a time that a
// promise names: twenty times what has been seen on a quiet one.
const busy = 10 * time.Second

// lasts lets what was begun last for that long.
func lasts(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// pollEvery is the pause between two questions to what tells nothing by itself.
const pollEvery = 50 * time.Millisecond

// poll asks until done says so, and returns its last error if that is not within time.
func poll(t *testing.T, within time.Duration, done func() error) error {
	t.Helper()
	pace := time.NewTicker(pollEvery)
	defer pace.Stop()
	for deadline := time.Now().Add(within); ; <-pace.C {
		err := done()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
