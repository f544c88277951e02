package etcdreg

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
	"dockreg/sidekick"
)

const key = "/service/10.1.0.101:32768"

// running is what most of these tests register.
var running = record.Records{{Key: key, Value: "running"}}

// registration is a Registry, and how it talks to etcd.
type registration struct {
	*Registry
	client *etcd.Client
	log    *lockedBuffer
}

// Close ends both, as the end of a process does.
func (r *registration) Close() {
	r.Registry.Close()
	r.client.Close()
}

func newRegistry(t *testing.T, ttl time.Duration, servers ...*server) *registration {
	t.Helper()
	var c etcd.Config
	for _, s := range servers {
		c.Endpoints = append(c.Endpoints, s.url)
	}
	return registryOf(t, c, ttl)
}

// registryOf returns one that talks to etcd in this way.
func registryOf(t *testing.T, c etcd.Config, ttl time.Duration) *registration {
	t.Helper()
	c.Patience = ttl / 4
	client := etcd.New(c)
	log := &lockedBuffer{}
	r := &registration{New(client, Config{TTL: ttl, Spare: ttl / 2, Log: slog.New(slog.NewTextHandler(log, nil))}), client, log}
	t.Cleanup(r.Close)
	return r
}

// wantLook wants the record, read in its owner's way.
func wantLook(t *testing.T, r *registration) {
	t.Helper()
	var found *clientv3.GetResponse
	err := unhurried(func() error {
		return r.client.Ask(t.Context(), etcd.Timeout, func(ctx context.Context, c *clientv3.Client) (err error) {
			found, err = c.Get(ctx, key)
			return err
		})
	})
	if err != nil || len(found.Kvs) != 1 || string(found.Kvs[0].Value) != "running" {
		t.Errorf("the key reads %v, %v", found, err)
	}
}

func register(t *testing.T, r *registration) {
	t.Helper()
	if err := tryRegister(t, r); err != nil {
		t.Fatalf("register: %v", err)
	}
}

// tryRegister and tryDeregister call again what a busy machine was late for, as the
// sidekick does.
func tryRegister(t *testing.T, r *registration) error {
	return unhurried(func() error { return r.Register(t.Context(), running) })
}

func tryDeregister(t *testing.T, r *registration) error {
	return unhurried(func() error { return r.Deregister(t.Context()) })
}

// unhurried calls again what had too little time, for a while.
func unhurried(call func() error) (err error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err = call(); !isLate(err) {
			break
		}
	}
	return err
}

func isLate(err error) bool {
	return err != nil && slices.ContainsFunc([]string{"not answer in time", "takes connections, but says nothing", "can't be reached: no answer", "DNS does not answer", "the DNS fails"}, func(words string) bool {
		return strings.Contains(err.Error(), words)
	})
}

// read returns the key's record and lease; "" and 0 if it is not there.
func read(t *testing.T, c *clientv3.Client) (record string, lease clientv3.LeaseID) {
	t.Helper()
	found, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Kvs) == 0 {
		return "", 0
	}
	return string(found.Kvs[0].Value), clientv3.LeaseID(found.Kvs[0].Lease)
}

func wantKey(t *testing.T, c *clientv3.Client, r *registration) {
	t.Helper()
	record, lease := read(t, c)
	if record != "running" || lease != r.leases.current || lease == 0 {
		t.Errorf("key holds %q on lease %x, want %q on ours, %x", record, lease, "running", r.leases.current)
	}
}

// wantLost wants Register to say, with these words, that the key has to be earned
// again, and not to take it.
func wantLost(t *testing.T, r *registration, words string) {
	t.Helper()
	err := tryRegister(t, r)
	if !errors.Is(err, sidekick.ErrLost) || !strings.Contains(err.Error(), words) {
		t.Fatalf("Register = %v, want that it is lost, with words %q", err, words)
	}
}

func wantNoKey(t *testing.T, c *clientv3.Client) {
	t.Helper()
	if record, lease := read(t, c); record != "" {
		t.Errorf("key holds %q on lease %x, want no key", record, lease)
	}
}

// wantDisturbed waits for a disturbance whose reason has these words.
func wantDisturbed(t *testing.T, r *registration, words string) {
	t.Helper()
	select {
	case reason := <-r.Disturbed():
		if !strings.Contains(reason.Error(), words) {
			t.Errorf("disturbed: %v, want words %q", reason, words)
		}
	case <-time.After(time.Minute):
		t.Fatalf("not disturbed, want a reason with %q", words)
	}
}

// someone puts the key on a lease of their own.
func someone(t *testing.T, c *clientv3.Client, record string) clientv3.LeaseID {
	t.Helper()
	granted, err := c.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), key, record, clientv3.WithLease(granted.ID)); err != nil {
		t.Fatal(err)
	}
	return granted.ID
}

func TestRegisterAndDeregister(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 20*time.Second, s)
		register(t, r)
		wantKey(t, c, r)
		lease, err := c.TimeToLive(t.Context(), r.leases.current)
		if err != nil || lease.GrantedTTL != 20 {
			t.Errorf("lease was granted %d s, want 20 (%v)", lease.GrantedTTL, err)
		}
		wantLook(t, r)

		if err := tryDeregister(t, r); err != nil {
			t.Fatal(err)
		}
		wantNoKey(t, c)
		if left, err := c.Leases(t.Context()); err != nil || len(left.Leases) != 0 {
			t.Errorf("leases left behind: %v, %v", left.Leases, err)
		}
		if err := tryDeregister(t, r); err != nil {
			t.Errorf("again: %v", err)
		}
		register(t, r)
		wantKey(t, c, r)
	})
}

// P3: what an instance finds at its start is an earlier one's, and taken over.
func TestP3EarlierKeyIsTakenOver(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 20*time.Second, s)
		older := someone(t, c, "left behind")
		register(t, r)
		wantKey(t, c, r)
		if _, err := c.Revoke(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		wantKey(t, c, r)
	})
}

// P3: a key that a newer instance has taken over is neither removed nor taken
// back, until it is gone.
func TestP3NewerInstanceKeepsTheKey(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c := s.client()
		older, newer := newRegistry(t, 20*time.Second, s), newRegistry(t, 20*time.Second, s)
		register(t, older)
		register(t, newer)
		wantDisturbed(t, older, "overwritten")
		for range 3 {
			if err := tryRegister(t, older); !standsBy(err) {
				t.Fatalf("older Register = %v, want that it stands by", err)
			}
		}
		wantKey(t, c, newer)
		if err := tryDeregister(t, older); err != nil {
			t.Fatal(err)
		}
		if err := tryRegister(t, older); !standsBy(err) {
			t.Fatalf("older Register after its Deregister = %v, want that it stands by", err)
		}
		wantKey(t, c, newer)
		if err := tryRegister(t, newer); err != nil {
			t.Errorf("newer Register = %v", err)
		}

		if err := tryDeregister(t, newer); err != nil {
			t.Fatal(err)
		}
		wantLost(t, older, "free")
		register(t, older)
		wantKey(t, c, older)
	})
}

// authenticate makes a server want its root's password, secret.
func authenticate(t *testing.T, s *server) {
	t.Helper()
	c := s.client()
	ctx := t.Context()
	for _, step := range []func() error{
		func() error { _, err := c.UserAdd(ctx, "root", "secret"); return err },
		func() error { _, err := c.RoleAdd(ctx, "root"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// P10: neither an error nor the endpoints hold the password.
func TestP10Authentication(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		authenticate(t, s)
		with := func(user, password string) *registration {
			return registryOf(t, etcd.Config{Endpoints: []string{s.url}, Username: user, Password: password}, 20*time.Second)
		}
		right := with("root", "secret")
		register(t, right)
		if err := tryDeregister(t, right); err != nil {
			t.Error(err)
		}
		for _, wrong := range []*registration{with("root", "hunter2"), with("", "")} {
			err := wrong.Register(t.Context(), running)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Register = %v, want an error without the password", err)
			}
		}
	})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary, "--cert-file", certFile, "--key-file", keyFile)
		r := newRegistry(t, 20*time.Second, s)
		register(t, r)
		wantKey(t, s.client(), r)
	})
}

func standsBy(err error) bool { return errors.Is(err, sidekick.ErrTaken) }
