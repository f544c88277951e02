package e2e

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// P6, for a fleet: 2,000 instances that lose their etcd come back spread over some
// five seconds, with no errors.
//
// Not beside other tests, and one etcd after the other: the return of so many takes
// most of what two processors have.
func TestP6Fleet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two and a half minutes")
	}
	// A process of its own: the race detector takes no more than 8,128 goroutines.
	fleet := mustBuild(t, "fleet")
	var alone sync.Mutex
	eachEtcd(t, func(t *testing.T, binary string) {
		alone.Lock()
		defer alone.Unlock()
		out, err := runCommand(t, 3*time.Minute, fleet, "-etcd", binary)
		for line := range strings.Lines(string(out)) {
			t.Log(strings.TrimSpace(line))
		}
		if err != nil {
			t.Error(err)
		}
	})
}
