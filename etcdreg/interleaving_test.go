package etcdreg

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/record"
)

// P3: whatever the order in which the requests of two or three instances reach
// etcd, with answers that get lost, leases that expire, instances that die and are
// replaced, and an operator who deletes and overwrites: no instance overwrites a
// newer one's key or deletes anything but its own lease, and in the end exactly one
// has the key, and nobody writes any more. Some register one record, some three, and
// some three of which only the first one's key is also the others': then who has that has
// all of its own, and the others have none.
//
// 1,000 interleavings are of a model of etcd, in the long form 10,000; the first ones
// again of real servers, where all has to happen as it did in the model.
func TestP3Interleavings(t *testing.T) {
	t.Parallel()
	modelled, real := 1000, 20
	if long {
		modelled, real = 10000, 100
	}
	w := modelWorkers(t)
	changed := 0
	traces := make([]string, real)
	for seed := range modelled {
		trace, taken := w.interleave(t, uint64(seed))
		if changed += taken; seed < real {
			traces[seed] = trace
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d interleavings, in which the key changed hands %d times", modelled, changed)
	if changed < modelled/5 {
		t.Error("it hardly changed hands: this shows nothing")
	}
	eachVersion(t, func(t *testing.T, binary string) {
		w := serverWorkers(t, startServer(t, binary))
		for seed, want := range traces {
			if trace, _ := w.interleave(t, uint64(seed)); trace != want {
				t.Fatalf("seed %d: a real etcd has it\n%s\nand the model\n%s", seed, trace, want)
			}
		}
	})
}

// workers run one interleaving after the other, each over a key of its own.
type workers struct {
	store  store
	actors [3]*actor
}

func modelWorkers(t *testing.T) *workers {
	m, url := newModel(), listenForModels(t)
	return newWorkers(t, m, url, m.unary, m.stream)
}

func serverWorkers(t *testing.T, s *server) *workers {
	return newWorkers(t, real{s.client(), t.Context()}, s.url, nil, nil)
}

// interleave runs one interleaving. It returns what became of each operation, and
// how often the key changed hands.
func (w *workers) interleave(t *testing.T, seed uint64) (trace string, taken int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	actors := w.actors[:2+rng.IntN(2)]
	var all []*Registry // that ever were
	var keys []string
	for i, a := range actors {
		all, a.trace = append(all, a.born()), nil
		a.records = recordsOf(seed, i)
		for _, record := range a.records {
			if !slices.Contains(keys, record.Key) {
				keys = append(keys, record.Key)
			}
		}
	}
	must := func(err error) {
		if err != nil {
			t.Fatalf("seed %d: operator: %v", seed, err)
		}
	}
	first, err := w.store.revision()
	must(err)

	for range 40 {
		a := actors[rng.IntN(len(actors))]
		switch n := rng.IntN(20); {
		case a.busy && n < 16:
			a.step(answered)
		case a.busy && n < 18:
			a.step(unanswered)
		case a.busy && n < 19:
			a.step(lost)
		case a.busy: // it is killed in the midst of it
			for a.busy {
				a.step(lost)
			}
			a.unwatch()
			all = append(all, a.born())
		case n < 12:
			a.register()
		case n < 14:
			a.start(a.Deregister)
		case n < 16: // it is killed, and started anew
			a.unwatch()
			all = append(all, a.born())
		case n < 18: // paused past its TTL, or revoked by an operator
			must(w.store.revoke(a.leases.current))
		case n < 19:
			must(w.store.drop(keys[rng.IntN(len(keys))]))
		default:
			must(w.store.put(keys[rng.IntN(len(keys))], "someone"))
		}
	}
	w.heal(t, seed, actors, all)
	for _, key := range keys {
		taken += w.judge(t, seed, key, first, all)
	}
	for i, a := range actors {
		trace += fmt.Sprintf("%d: %q\n", i, a.trace)
		a.start(a.Deregister)
		a.finish()
	}
	return trace, taken
}

// recordsOf is what an actor registers in an interleaving.
func recordsOf(seed uint64, actor int) record.Records {
	key := fmt.Sprintf("/interleavings/%d", seed)
	more := key
	switch seed % 3 {
	case 0:
		return record.Records{{Key: key, Value: "running"}}
	case 1:
		more = fmt.Sprintf("%s/%d", key, actor)
	}
	return record.Records{{Key: key, Value: "running"}, {Key: more + "/a", Value: "a"}, {Key: more + "/b", Value: "b"}}
}

// register looks at the keys each time, as if the watch had broken.
func (a *actor) register() {
	a.unwatch()
	a.start(func(ctx context.Context) error { return a.Register(ctx, a.records) })
}

// heal ends what is under way, lets the dead ones' leases expire, and lets those
// that live go on registering, until it should be settled who has the key.
func (w *workers) heal(t *testing.T, seed uint64, actors []*actor, all []*Registry) {
	var living []*Registry
	for _, a := range actors {
		a.finish()
		living = append(living, a.Registry)
	}
	for _, r := range all {
		for _, lease := range r.leases.own {
			if slices.Contains(living, r) && lease == r.leases.current {
				continue
			}
			if err := w.store.revoke(lease); err != nil {
				t.Fatal(err)
			}
		}
	}
	round := func() (revision int64, holders int) {
		for _, a := range actors {
			a.register()
			a.finish()
			if a.watch != nil {
				holders++
			}
		}
		for _, a := range actors {
			if a.watch == nil {
				continue
			}
			for _, record := range a.records {
				kv, err := w.store.get(record.Key)
				if err != nil {
					t.Fatal(err)
				}
				if string(kv.GetValue()) != record.Value || clientv3.LeaseID(kv.GetLease()) != a.leases.current {
					t.Errorf("seed %d: %s reads %s", seed, record.Key, kv)
				}
				if revision != 0 && kv.GetModRevision() != revision {
					t.Errorf("seed %d: the records were written in several revisions", seed)
				}
				revision = kv.GetModRevision()
			}
		}
		return revision, holders
	}
	for range 3 {
		for _, a := range actors {
			a.register()
			a.finish()
		}
	}
	before, _ := round()
	after, holders := round()
	if holders != 1 {
		t.Errorf("seed %d: in the end %d instances have the key, want 1", seed, holders)
	}
	if before != after {
		t.Errorf("seed %d: the key is still written", seed)
	}
	for _, a := range actors { // who has none of it has nothing at all
		for _, record := range a.records[1:] {
			kv, err := w.store.get(record.Key)
			if err != nil {
				t.Fatal(err)
			}
			if lease := clientv3.LeaseID(kv.GetLease()); a.watch == nil && slices.Contains(a.leases.own, lease) {
				t.Errorf("seed %d: %s is left of an instance that stands by", seed, record.Key)
			}
		}
	}
}

// judge holds the key's history against the rule.
func (w *workers) judge(t *testing.T, seed uint64, key string, after int64, all []*Registry) (taken int) {
	owner := map[int64]*Registry{}
	for _, r := range all {
		for _, lease := range r.leases.own {
			owner[int64(lease)] = r
		}
	}
	events, err := w.store.history(key, after)
	if err != nil {
		t.Fatal(err)
	}
	var holder *mvccpb.KeyValue
	for _, kv := range events {
		had, by := owner[holder.GetLease()], owner[kv.GetLease()]
		if had != nil && by != nil && had != by {
			taken++
			if holder.ModRevision > by.past.began {
				t.Errorf("seed %d: at revision %d an instance that came at %d overwrote what another put at %d",
					seed, kv.ModRevision, by.past.began, holder.ModRevision)
			}
		}
		holder = kv
	}
	return taken
}
