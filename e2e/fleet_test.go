package e2e

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// P6, for a fleet: 2,000 instances that lose their etcd come back spread over some
// five seconds, with no errors. In the short form they are fewer, with shorter leases,
// and spread over some two.
//
// Not beside other tests, and in the long form one etcd after the other: the return of so
// many takes most of what two processors have.
func TestP6Fleet(t *testing.T) {
	// A process of its own: the race detector takes no more than 8,128 goroutines.
	fleet := mustBuild(t, "fleet")
	n, ttl := either("2000", "800"), either("20s", "12s")
	var alone sync.Mutex
	eachEtcd(t, func(t *testing.T, binary string) {
		if long {
			alone.Lock()
			defer alone.Unlock()
		}
		out, err := runCommand(t, 5*time.Minute, fleet, "-etcd", binary, "-n", n, "-ttl", ttl)
		for line := range strings.Lines(string(out)) {
			t.Log(strings.TrimSpace(line))
		}
		if err != nil {
			t.Error(err)
		}
	})
}
