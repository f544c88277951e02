package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// chance is a sequence of random choices, of one goroutine.
type chance struct{ *rand.Rand }

// newChance returns the n-th sequence of a seed.
func newChance(seed, n uint64) chance { return chance{rand.New(rand.NewPCG(seed, n))} }

// between returns a random duration.
func (c chance) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.Int64N(int64(most-least)))
}

// flap makes the app of an address fail again and again, until ctx ends. It leaves
// an app that passes.
func (s *soak) flap(ctx context.Context, a *address, c chance) error {
	for sleep(ctx, c.between(500*time.Millisecond, 6*time.Second)) {
		s.faults.Add(1)
		if err := s.behave(a, []mode{refuses, hangs, closed}[c.IntN(3)]); err != nil {
			return err
		}
		sleep(ctx, c.between(50*time.Millisecond, 7*time.Second))
		if err := s.behave(a, passes); err != nil {
			return err
		}
	}
	return nil
}

func (s *soak) behave(a *address, m mode) error {
	err := a.app.set(m)
	s.judge.behaves(a, m)
	return err
}

// replace ends instances of an address, and starts new ones, until ctx ends. It
// leaves one. The key of one that was killed has the time to lapse even then, unless
// whole ends.
func (s *soak) replace(ctx, whole context.Context, a *address, c chance) error {
	for sleep(ctx, c.between(time.Second, 8*time.Second)) {
		s.faults.Add(1)
		kill := c.IntN(2) == 0
		var err error
		if c.IntN(3) == 0 {
			err = s.pair(ctx, a, c, kill)
		} else {
			err = s.restart(whole, a, c, kill)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restart ends the instance, and starts a new one after a while. In that time the key
// of one that was killed has to lapse.
func (s *soak) restart(ctx context.Context, a *address, c chance, kill bool) error {
	if err := s.end(a, 0, kill); err != nil {
		return err
	}
	pause := c.between(0, 3*time.Second)
	if kill {
		pause = 3 * ttl
	}
	sleep(ctx, pause)
	return s.begin(a)
}

// pair starts a second instance, as an address can have if the first one's host was
// away for a while, and ends either.
func (s *soak) pair(ctx context.Context, a *address, c chance, kill bool) error {
	if err := s.begin(a); err != nil {
		return err
	}
	sleep(ctx, c.between(time.Second, 6*time.Second))
	return s.end(a, c.IntN(2), kill)
}

// operate deletes and overwrites keys, takes them off their leases, and revokes those,
// until ctx ends. It never asks a member that fails: what is sent to one that is cut off
// can still arrive, and be done, once it is not.
func (s *soak) operate(ctx context.Context, c chance) {
	for sleep(ctx, c.between(100*time.Millisecond, 1500*time.Millisecond)) {
		a := s.addresses[c.IntN(len(s.addresses))]
		act := []func(context.Context, *clientv3.Client, string) error{deleteKey, overwriteKey, unleaseKey, revokeLease}[c.IntN(4)]
		s.faults.Add(1)
		s.hands.Lock()
		s.judge.touches(a)
		etcd := s.observers.without(s.failing)[0]
		err := within(context.WithoutCancel(ctx), 2*time.Second, func(ctx context.Context) error { return act(ctx, etcd, a.key) })
		s.judge.touched(a, err)
		s.hands.Unlock()
	}
}

func deleteKey(ctx context.Context, etcd *clientv3.Client, key string) error {
	_, err := etcd.Delete(ctx, key)
	return err
}

// overwriteKey overwrites a key that is there: one that dockreg has nothing to do
// with is not its to fix.
func overwriteKey(ctx context.Context, etcd *clientv3.Client, key string) error {
	_, err := etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.LeaseValue(key), ">", 0)).
		Then(clientv3.OpPut(key, "an operator's")).
		Commit()
	return err
}

// unleaseKey puts what is there again, without a lease: the key would be there for ever.
func unleaseKey(ctx context.Context, etcd *clientv3.Client, key string) error {
	kv, err := leasedKey(ctx, etcd, key)
	if kv == nil {
		return err
	}
	_, err = etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)).
		Then(clientv3.OpPut(key, string(kv.Value))).
		Commit()
	return err
}

func revokeLease(ctx context.Context, etcd *clientv3.Client, key string) error {
	kv, err := leasedKey(ctx, etcd, key)
	if kv == nil {
		return err
	}
	_, err = etcd.Revoke(ctx, clientv3.LeaseID(kv.Lease))
	return err
}

// leasedKey returns a key that is there, on a lease, or nil.
func leasedKey(ctx context.Context, etcd *clientv3.Client, key string) (*mvccpb.KeyValue, error) {
	found, err := etcd.Get(ctx, key)
	if err != nil || len(found.Kvs) == 0 || found.Kvs[0].Lease == 0 {
		return nil, err
	}
	return found.Kvs[0], nil
}

// failMembers makes one member after the other fail until ctx ends. It leaves all
// of them well. What has begun lasts as long as it should even then, unless whole ends.
func (s *soak) failMembers(ctx, whole context.Context, c chance) error {
	for sleep(ctx, c.between(300*time.Millisecond, 5*time.Second)) {
		leader, err := s.cluster.Leader(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		n, lasts := c.IntN(3), c.between(500*time.Millisecond, 2*ttl)
		if c.IntN(2) == 0 {
			n = leader
		}
		s.faults.Add(1)
		if err := s.fail(whole, s.kinds[c.IntN(len(s.kinds))], n, n == leader, lasts); err != nil {
			return err
		}
	}
	return nil
}

func (s *soak) fail(ctx context.Context, k kind, n int, leader bool, lasts time.Duration) error {
	m := s.cluster.Members[n]
	s.members[k.name]++
	s.hands.Lock()
	s.failing = n
	s.judge.memberFails(k.name, n, leader)
	err := k.begin(m)
	s.hands.Unlock()
	if err != nil {
		return err
	}
	sleep(ctx, lasts)
	s.judge.memberResumes(leader && k.hangs)
	if err := errors.Join(k.end(m), m.Ready()); err != nil {
		return err
	}
	s.judge.memberHealed()
	s.hands.Lock()
	defer s.hands.Unlock()
	s.failing = -1
	return nil
}
