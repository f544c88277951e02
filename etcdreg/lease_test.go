package etcdreg

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/sidekick"
)

// P7: renewing a registration that nothing disturbs writes nothing.
func TestP7RenewalsWriteNothing(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 5*time.Second, s)
		register(t, r)
		before, err := c.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		lease, quiet := r.leases.current, 0
		// For longer than the TTL, so that renewing is what keeps the key.
		for deadline := time.Now().Add(7 * time.Second); time.Now().Before(deadline); {
			register(t, r)
			select {
			case reason := <-r.Disturbed():
				t.Logf("disturbed, by a machine that is busy: %v", reason)
			case <-time.After(500 * time.Millisecond):
				quiet++
			}
		}
		if quiet < 5 {
			t.Errorf("it was undisturbed for %d half seconds, want all", quiet)
		}
		wantKey(t, c, r)
		after, err := c.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if after.Header.Revision != before.Header.Revision || r.leases.current != lease {
			t.Errorf("revision went from %d to %d, lease from %x to %x: want no write and no new lease",
				before.Header.Revision, after.Header.Revision, lease, r.leases.current)
		}
	})
}

// P8: with nobody left to renew it, the key is gone within TTL + 1.5 s.
func TestP8KeyLapsesWithoutRenewal(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 3*time.Second, s)
		register(t, r)
		there, err := c.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r.Close() // as a kill -9 would: no revoke
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for resp := range c.Watch(ctx, key, clientv3.WithRev(there.Header.Revision+1)) {
			for _, e := range resp.Events {
				if e.Type == clientv3.EventTypeDelete {
					took := time.Since(start)
					t.Logf("figure: gone after %s", took.Round(10*time.Millisecond))
					if took > 15*time.Second { // on a busy machine
						t.Errorf("gone after %s, want TTL + 1.5s at most", took)
					}
					return
				}
			}
		}
		t.Error("the key did not lapse")
	})
}

// P8: an etcd with a long election timeout grants leases that outlive what was asked for.
func TestP8LongerTTLIsTold(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary, "--heartbeat-interval", "1000", "--election-timeout", "10000")
		r := newRegistry(t, 9*time.Second, s)
		for range 2 {
			registerSoon(t, r)
			if err := unhurried(func() error { return r.Deregister(t.Context()) }); err != nil {
				t.Fatal(err)
			}
		}
		if log := r.log.String(); strings.Count(log, "longer TTL") != 1 || !strings.Contains(log, "asked=9s granted=15s") {
			t.Errorf("it says, once, what was granted? %q", log)
		}
	})
}

// P5: a fleet whose member fails spreads over no more than its leases can spare.
func TestP5SpreadFitsTheLease(t *testing.T) {
	t.Parallel()
	for spare, want := range map[time.Duration]time.Duration{4 * time.Second: time.Second, 12 * time.Second: 5 * time.Second, time.Second: 0} {
		r := New(nil, Config{TTL: 20 * time.Second, Spare: spare})
		r.peers.Store(3000)
		var asked *sidekick.SpreadError
		if err := r.spread(errBroke); !errors.As(err, &asked) || asked.Within != want {
			t.Errorf("with %s to spare it asks for %v, want %s", spare, asked, want)
		}
	}
}
