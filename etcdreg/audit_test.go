package etcdreg

import (
	"testing"
	"time"
)

// An audit comes after whatever TTL etcd takes: 9,000,000,000 s at the most.
func TestAuditEvery(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[time.Duration]time.Duration{
		20 * time.Second:            25 * time.Second,
		9_000_000_000 * time.Second: 30 * time.Hour,
	} {
		if got := auditEvery(ttl); got != want {
			t.Errorf("%s with a TTL of %s, want %s", got, ttl, want)
		}
	}
}
