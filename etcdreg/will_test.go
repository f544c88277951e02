package etcdreg

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
)

// seenWill is a Will, and what etcd had on the lease at that time.
type seenWill struct {
	t     *testing.T
	c     *clientv3.Client
	calls []string
}

func (w *seenWill) Make(lease int64) {
	found, err := w.c.TimeToLive(w.t.Context(), clientv3.LeaseID(lease), clientv3.WithAttachedKeys())
	if err != nil || len(found.Keys) != 1 || string(found.Keys[0]) != key {
		w.t.Errorf("a will for a lease without its key: %v, %v", found, err)
	}
	w.calls = append(w.calls, "make")
}

func (w *seenWill) Withdraw() {
	if _, lease := read(w.t, w.c); lease != 0 {
		w.t.Error("withdrawn while the key is there")
	}
	w.calls = append(w.calls, "withdraw")
}

// A last will is made once the key hangs on the lease, again when that is another one, and
// withdrawn once the lease is revoked.
func TestWill(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		w := &seenWill{t: t, c: s.client()}
		client := etcd.New(etcd.Config{Endpoints: []string{s.url}})
		r := &registration{New(client, Config{TTL: 20 * time.Second, Spare: 10 * time.Second, Log: slog.New(slog.DiscardHandler), Will: w}), client, nil}
		t.Cleanup(r.Close)
		want := func(when string, calls ...string) {
			t.Helper()
			if !slices.Equal(w.calls, calls) {
				t.Fatalf("%s: %v, want %v", when, w.calls, calls)
			}
		}
		register(t, r)
		want("registered", "make")
		register(t, r)
		want("renewed", "make")
		if _, err := w.c.Revoke(t.Context(), r.leases.current); err != nil {
			t.Fatal(err)
		}
		wantLost(t, r, "the lease is gone")
		register(t, r)
		want("on another lease", "make", "make")
		if err := tryDeregister(t, r); err != nil {
			t.Fatal(err)
		}
		want("deregistered", "make", "make", "withdraw")
	})
}

// An instance that stands by for a newer one has no will.
func TestNoWillWhileAnotherHasTheKey(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		client := etcd.New(etcd.Config{Endpoints: []string{s.url}})
		var calls []string
		r := &registration{New(client, Config{TTL: 20 * time.Second, Spare: 10 * time.Second, Log: slog.New(slog.DiscardHandler), Will: namedWill{&calls}}), client, nil}
		t.Cleanup(r.Close)
		register(t, r)
		newer := newRegistry(t, 20*time.Second, s)
		register(t, newer)
		wantDisturbed(t, r, "overwritten") // until then, it only renews
		if err := tryRegister(t, r); !standsBy(err) {
			t.Fatalf("Register = %v, want that it stands by", err)
		}
		if !slices.Equal(calls, []string{"make", "withdraw"}) {
			t.Errorf("%v", calls)
		}
	})
}

type namedWill struct{ calls *[]string }

func (w namedWill) Make(int64) { *w.calls = append(*w.calls, "make") }
func (w namedWill) Withdraw()  { *w.calls = append(*w.calls, "withdraw") }
