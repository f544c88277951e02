package etcdreg

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/record"
)

// three are the records of one instance that three consumers read.
var three = record.Records{
	{Key: key, Value: "running"},
	{Key: "/skydns/example/web/10-1-0-101-32768", Value: `{"host":"10.1.0.101","port":32768,"ttl":5}`},
	{Key: "web/10.1.0.101:32768", Value: `{"Op":0,"Addr":"10.1.0.101:32768","Metadata":null}`},
}

// registerAll registers records, calling again what a busy machine was late for.
func registerAll(t *testing.T, r *registration, records record.Records) error {
	t.Helper()
	return unhurried(func() error { return r.Register(t.Context(), records) })
}

// mustRegister is registerAll of what can be registered.
func mustRegister(t *testing.T, r *registration, records record.Records) {
	t.Helper()
	if err := registerAll(t, r, records); err != nil {
		t.Fatal(err)
	}
}

// wantAll wants the records to be there, written in one revision, on one lease; it returns
// that revision.
func wantAll(t *testing.T, c *clientv3.Client, r *registration, records record.Records) (revision int64) {
	t.Helper()
	for i, record := range records {
		found, err := c.Get(t.Context(), record.Key)
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Kvs) != 1 || string(found.Kvs[0].Value) != record.Value || clientv3.LeaseID(found.Kvs[0].Lease) != r.leases.current {
			t.Fatalf("%s holds %v, want %q on lease %x", record.Key, found.Kvs, record.Value, r.leases.current)
		}
		if i > 0 && found.Kvs[0].ModRevision != revision {
			t.Errorf("%s was written in revision %d, and the one before in %d", record.Key, found.Kvs[0].ModRevision, revision)
		}
		revision = found.Kvs[0].ModRevision
	}
	return revision
}

// wantNone wants none of the records to be there.
func wantNone(t *testing.T, c *clientv3.Client, records record.Records) {
	t.Helper()
	for _, record := range records {
		if found, err := c.Get(t.Context(), record.Key); err != nil || found.Count != 0 {
			t.Errorf("%s is there: %v, %v", record.Key, found, err)
		}
	}
}

// All records of an instance come in one revision, and go in one: a watcher of etcd hears
// of them together.
func TestRecordsComeAndGoTogether(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 20*time.Second, s)
		all := c.Watch(t.Context(), "", clientv3.WithPrefix(), clientv3.WithRev(2))
		mustRegister(t, r, three)
		wantAll(t, c, r, three)
		if err := tryDeregister(t, r); err != nil {
			t.Fatal(err)
		}
		wantNone(t, c, three)
		for _, what := range []string{"came", "went"} {
			select {
			case heard := <-all:
				revisions := map[int64]int{}
				for _, event := range heard.Events {
					revisions[event.Kv.ModRevision]++
				}
				if len(heard.Events) != len(three) || len(revisions) != 1 {
					t.Errorf("they %s in %d events, of revisions %v", what, len(heard.Events), revisions)
				}
			case <-time.After(time.Minute):
				t.Fatalf("nobody hears that they %s", what)
			}
		}
	})
}

// P4: a record that is deleted or overwritten is noticed and repaired, whichever it is, and
// the others with it: they stay those of one revision.
func TestP4EachRecordIsRepaired(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 20*time.Second, s)
		mustRegister(t, r, three)
		before := wantAll(t, c, r, three)
		for _, record := range three {
			for words, disturb := range map[string]func() error{
				"deleted":     func() error { _, err := c.Delete(t.Context(), record.Key); return err },
				"overwritten": func() error { _, err := c.Put(t.Context(), record.Key, "someone"); return err },
			} {
				if err := disturb(); err != nil {
					t.Fatal(err)
				}
				wantDisturbed(t, r, words)
				mustRegister(t, r, three)
				if after := wantAll(t, c, r, three); after <= before {
					t.Errorf("%s, %s: not written again", record.Key, words)
				}
			}
		}
		revision := wantAll(t, c, r, three)
		mustRegister(t, r, three)
		if again := wantAll(t, c, r, three); again != revision {
			t.Error("a renewal wrote the records")
		}
	})
}

// P3: an instance of which a newer one has a single key stands by with all, and comes back
// with all.
func TestP3OneKeyTakenOver(t *testing.T) {
	t.Parallel()
	for i := range three {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, binary string) {
				s := startServer(t, binary)
				c, older, newer := s.client(), newRegistry(t, 20*time.Second, s), newRegistry(t, 20*time.Second, s)
				mustRegister(t, older, three)
				theirs := record.Records{three[i], {Key: "/else", Value: "x"}}
				tookOver := 0
				newer.config.TookOver = func() { tookOver++ }
				mustRegister(t, newer, theirs)
				if tookOver != 1 {
					t.Errorf("it took over %d times, want once", tookOver)
				}
				wantDisturbed(t, older, "overwritten")
				if err := registerAll(t, older, three); !standsBy(err) {
					t.Fatalf("older Register = %v, want that it stands by", err)
				}
				wantAll(t, c, newer, theirs)
				wantNone(t, c, slices.Delete(slices.Clone(three), i, i+1))
				if err := tryDeregister(t, newer); err != nil {
					t.Fatal(err)
				}
				if err := registerAll(t, older, three); err == nil || !strings.Contains(err.Error(), "free again") {
					t.Fatalf("Register = %v, want that the key has to be earned again", err)
				}
				mustRegister(t, older, three)
				wantAll(t, c, older, three)
			})
		})
	}
}

// An instance that moves takes all its former records away, before it writes the new ones.
func TestRecordsMove(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 20*time.Second, s)
		mustRegister(t, r, three)
		moved := record.Records{three[0], {Key: "web/10.1.0.101:32769", Value: "x"}}
		mustRegister(t, r, moved)
		wantAll(t, c, r, moved)
		wantNone(t, c, three[1:])
		// The address may be in the value alone.
		value := record.Records{moved[0], {Key: moved[1].Key, Value: "y"}}
		mustRegister(t, r, value)
		wantAll(t, c, r, value)
	})
}

// Peers are counted by the first record, below what Config says.
func TestPeers(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 20*time.Second, s)
		r.config.Peers = "traefik/http/services/web/"
		for i := range 30 {
			for _, parent := range []string{"traefik/http/services/web/loadbalancer/servers/", "traefik/http/services/webs/"} {
				if _, err := c.Put(t.Context(), fmt.Sprintf("%s%d/url", parent, i), "x"); err != nil {
					t.Fatal(err)
				}
			}
		}
		mustRegister(t, r, record.Records{{Key: "traefik/http/services/web/loadbalancer/servers/me/url", Value: "x"}})
		if peers := r.peers.Load(); peers != 30 {
			t.Errorf("%d peers were counted before it registered, want 30", peers)
		}
	})
}
