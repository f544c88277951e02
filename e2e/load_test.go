package e2e

import (
	"slices"
	"testing"

	"dockreg/e2e/testbed"
)

// unlessStarved runs a scenario in which no request may fail. It runs again, twice at the most,
// if some did on a machine that was too busy to send them, be it for a moment: consumers'
// processes and apps were late as well, and that shows nothing.
func unlessStarved(t *testing.T, scenario func() []testbed.Outcome) {
	t.Helper()
	for try := 1; ; try++ {
		outcomes := scenario()
		failed := slices.ContainsFunc(outcomes, func(o testbed.Outcome) bool { return len(o.Failures) > 0 })
		if failed && try < 3 && slices.ContainsFunc(outcomes, testbed.Outcome.Starved) {
			t.Log("requests failed on a machine that could not send them in time; trying again")
			continue
		}
		wantNoneFailed(t, outcomes...)
		return
	}
}

// wantNoneFailed wants that requests were sent, and that each was answered.
func wantNoneFailed(t *testing.T, outcomes ...testbed.Outcome) {
	t.Helper()
	for _, o := range outcomes {
		if len(o.Failures) > 0 || o.Sent == 0 || o.Sent < o.Due/10 {
			t.Errorf("%d of %d requests were sent, and %d failed, such as %v", o.Sent, o.Due, len(o.Failures), o.Failures[:min(len(o.Failures), 10)])
		}
	}
}

// through is a load that is sent to or through something.
type through struct {
	name string
	*testbed.Load
}

// stopAll stops loads, and returns what became of each.
func stopAll(t *testing.T, all []through) (outcomes []testbed.Outcome) {
	t.Helper()
	for _, load := range all {
		o := load.Stop()
		t.Logf("%s: %d of %d requests sent, %d failed", load.name, o.Sent, o.Due, len(o.Failures))
		outcomes = append(outcomes, o)
	}
	return outcomes
}
