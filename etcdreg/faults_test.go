package etcdreg

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
)

// registerSoon calls Register as the sidekick does after an error, until it
// succeeds, or a minute is over.
func registerSoon(t *testing.T, r *registration) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err = r.Register(t.Context(), running); err == nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Fatalf("not registered within a minute: %v", err)
}

// P4: a key that someone deletes or overwrites is noticed and repaired.
func TestP4RepairsWhatSomeoneDid(t *testing.T) {
	t.Parallel()
	deeds := map[string]struct {
		do     func(ctx context.Context, c *clientv3.Client, r *registration) error
		reason string
	}{
		"deleted": {func(ctx context.Context, c *clientv3.Client, _ *registration) error {
			_, err := c.Delete(ctx, key)
			return err
		}, "deleted"},
		"overwritten without a lease": {func(ctx context.Context, c *clientv3.Client, _ *registration) error {
			_, err := c.Put(ctx, key, "someone")
			return err
		}, "overwritten"},
		"overwritten on our lease": {func(ctx context.Context, c *clientv3.Client, r *registration) error {
			_, err := c.Put(ctx, key, "someone", clientv3.WithLease(r.leases.current))
			return err
		}, "overwritten"},
		"lease revoked": {func(ctx context.Context, c *clientv3.Client, r *registration) error {
			_, err := c.Revoke(ctx, r.leases.current)
			return err
		}, "deleted"},
	}
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c := s.client()
		for name, deed := range deeds {
			r := newRegistry(t, 20*time.Second, s)
			register(t, r)
			if err := deed.do(t.Context(), c, r); err != nil {
				t.Fatal(err)
			}
			wantDisturbed(t, r, deed.reason)
			if name == "lease revoked" {
				wantLost(t, r, "lease")
			}
			if err := tryRegister(t, r); err != nil {
				t.Errorf("%s: register: %v", name, err)
			}
			wantKey(t, c, r)
			if err := tryDeregister(t, r); err != nil {
				t.Errorf("%s: deregister: %v", name, err)
			}
			wantNoKey(t, c)
		}
	})
}

// registerInCluster returns a Registry that has registered with one of three members, that
// one, and another.
func registerInCluster(t *testing.T, binary string, ttl time.Duration) (r *registration, used, other *server) {
	t.Helper()
	members := startCluster(t, binary)
	r = newRegistry(t, ttl, members...)
	registerSoon(t, r)
	in := slices.IndexFunc(members, func(s *server) bool { return s.url == r.client.Member() })
	return r, members[in], members[(in+1)%3]
}

// P5: the member in use hangs; the key is never absent, with a TTL that would run
// out if the next member were not tried in time.
func TestP5HungMember(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		r, hung, healthy := registerInCluster(t, binary, 8*time.Second)
		c := healthy.client()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := c.Watch(clientv3.WithRequireLeader(ctx), key)

		hung.hang()
		defer hung.resume()
		for deadline := time.Now().Add(12 * time.Second); time.Now().Before(deadline); {
			registerSoon(t, r)
			select {
			case resp := <-events:
				for _, e := range resp.Events {
					if e.Type == clientv3.EventTypeDelete {
						t.Fatal("the key was absent")
					}
				}
			case <-time.After(time.Second):
			}
		}
		wantKey(t, c, r)
	})
}

// P5: a member that is killed is passed over by the first call: in a fleet, each call that
// fails is followed by a pause.
func TestP5KilledMember(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		r, killed, healthy := registerInCluster(t, binary, 20*time.Second)
		killed.kill()
		wantDisturbed(t, r, "connection to etcd broke")
		err := unhurried(func() error { return r.Register(t.Context(), running) })
		if err != nil && strings.Contains(err.Error(), killed.url) {
			t.Errorf("Register = %v, want another member to be asked by the same call", err)
		}
		registerSoon(t, r)
		wantKey(t, healthy.client(), r)
	})
}

// P6: an etcd that comes back, with its data or without, has the key again. That
// the connection broke is noticed, and not only at the next renewal.
func TestP6EtcdComesBack(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		name := "with its data"
		if lost {
			name = "with no data"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, binary string) {
				s := startServer(t, binary)
				r := newRegistry(t, 20*time.Second, s)
				register(t, r)
				s.kill()
				wantDisturbed(t, r, "connection to etcd broke")
				err := r.Register(t.Context(), running)
				if err == nil || !strings.Contains(err.Error(), s.url+" can't be reached") {
					t.Errorf("Register with no etcd = %v, want that it can't be reached", err)
				}
				if lost {
					s.loseData()
				}
				s.run()
				s.ready()
				registerSoon(t, r)
				wantKey(t, s.client(), r)
			})
		})
	}
}

// A deregister that got no answer may or may not have happened: either way its
// lease is not used again, and the key follows to a new one.
func TestRegisterAfterAnUnansweredDeregister(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 20*time.Second, s)
		register(t, r)
		before := r.leases.current
		s.hang()
		start := time.Now()
		if err := r.Deregister(t.Context()); err == nil {
			t.Error("deregistered with a hung etcd")
		}
		if took := time.Since(start); took > 20*time.Second { // 0.6 s to connect and as much to ask, where the machine is quiet
			t.Errorf("it took %s, which a stop doesn't have", took)
		}
		s.resume()
		registerSoon(t, r)
		if r.leases.current == before {
			t.Error("the lease in limbo is in use again")
		}
		wantKey(t, c, r)
		if err := tryDeregister(t, r); err != nil {
			t.Fatal(err)
		}
		wantNoKey(t, c)
		if left, err := c.Leases(t.Context()); err != nil || len(left.Leases) != 0 {
			t.Errorf("leases left behind: %v, %v", left.Leases, err)
		}
	})
}

// Every call ends by itself.
func TestCallsAgainstAHungEtcdEnd(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		s.hang()
		defer s.resume()
		r := newRegistry(t, 20*time.Second, s)
		start := time.Now()
		if err := r.Register(t.Context(), running); err == nil {
			t.Error("registered with a hung etcd")
		}
		if err := r.client.Ask(t.Context(), etcd.Timeout, func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Get(ctx, key)
			return err
		}); err == nil {
			t.Error("looked at a hung etcd")
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("took %s, want about 3s", took)
		}
	})
}
