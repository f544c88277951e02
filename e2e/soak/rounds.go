package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
)

// idle is how long nothing is done at the end of a round, and nothing may be written.
const idle = 5 * time.Second

// settling is about how long it takes after each round until all is well, and the idle
// time with it.
const settling = 20 * time.Second

// rounds lets everything fail and settle, again and again, and etcd be away in every
// other round. The first round is the warm-up: what is measured at its end, the last
// round has to end with.
func (s *soak) rounds(ctx context.Context) (flat flatness, err error) {
	rounds := max(2, int(s.duration/time.Minute))
	lasts := max(s.duration/time.Duration(rounds)-settling, 10*time.Second)
	for n := range rounds {
		if err := s.chaos(ctx, uint64(n), lasts); err != nil {
			return flat, err
		}
		if n%2 == 1 {
			if err := s.outage(ctx, newChance(s.seed, uint64(n)<<16+1<<15)); err != nil {
				return flat, err
			}
		}
		if err := s.settle(ctx); err != nil {
			return flat, err
		}
		now, err := s.rest(ctx)
		if err != nil {
			return flat, err
		}
		if n == 0 {
			flat.before = now
		}
		flat.after = now
		s.log.Info("round", "n", n, "figures", fmt.Sprint(now))
	}
	return flat, ctx.Err()
}

// chaos lets everything fail for so long, and members in the second half of it: with
// all of them well the bounds are narrow. Afterwards every app passes, every
// address has an instance, and all members are well.
func (s *soak) chaos(whole context.Context, round uint64, lasts time.Duration) error {
	ctx, cancel := context.WithTimeout(whole, lasts)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		sleep(ctx, lasts/2)
		return s.failMembers(ctx, whole, newChance(s.seed, round<<16))
	})
	group.Go(func() error {
		s.operate(ctx, newChance(s.seed, round<<16+1))
		return nil
	})
	for n, a := range s.addresses {
		if n%3 == 0 {
			continue // a steady one: only members and operators disturb it
		}
		group.Go(func() error { return s.flap(ctx, a, newChance(s.seed, round<<16+uint64(2*n+2))) })
		group.Go(func() error { return s.replace(ctx, whole, a, newChance(s.seed, round<<16+uint64(2*n+3))) })
	}
	return group.Wait()
}

// settle waits until, for a second, all keys are right, and there is a lease for each
// and no more.
func (s *soak) settle(ctx context.Context) error {
	var why string
	right := 0
	for deadline := time.Now().Add(30 * time.Second); right < 5 && time.Now().Before(deadline) && sleep(ctx, 200*time.Millisecond); {
		leases, err := s.leases(ctx)
		if err != nil {
			return err
		}
		right++
		if key := s.judge.wrong(); key != "" {
			right, why = 0, "the key "+key+" is not right"
		} else if leases != len(s.addresses) {
			right, why = 0, fmt.Sprintf("there are %d leases for %d keys", leases, len(s.addresses))
		}
	}
	if right < 5 && ctx.Err() == nil {
		s.judge.blame("P6", nil, "30 s after the last fault, %s", why)
	}
	return nil
}

// wrong returns a key that is not there with an instance's record, if there is one.
func (j *judge) wrong() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, a := range j.addresses {
		if !a.there || a.holder == nil || !a.holder.ending.IsZero() {
			return key
		}
	}
	return ""
}

func (s *soak) leases(ctx context.Context) (n int, err error) {
	err = s.observers.ask(ctx, func(ctx context.Context, etcd *clientv3.Client) error {
		leases, err := etcd.Leases(ctx)
		if err == nil {
			n = len(leases.Leases)
		}
		return err
	})
	return n, err
}

func (s *soak) revision(ctx context.Context) (n int64, err error) {
	err = s.observers.ask(ctx, func(ctx context.Context, etcd *clientv3.Client) error {
		found, err := etcd.Get(ctx, "revision")
		if err == nil {
			n = found.Header.Revision
		}
		return err
	})
	return n, err
}

// rest does nothing for a while, sees that nothing is written, and measures.
func (s *soak) rest(ctx context.Context) (usual figures, err error) {
	var all []figures
	for range 6 {
		before, err := s.revision(ctx)
		if err != nil {
			return usual, err
		}
		failed := s.judge.failedProbes()
		for range 20 {
			sleep(ctx, idle/20)
			now, err := measure()
			if err != nil {
				return usual, err
			}
			all = append(all, now)
		}
		after, err := s.revision(ctx)
		if err != nil {
			return usual, err
		}
		// On a machine so busy that an app fails a probe, something is written; and what an
		// operator got no answer to may be done as late as this.
		if s.judge.failedProbes() == failed && (after == before || !s.judge.doubts()) {
			s.judge.rested(after - before)
			break
		}
	}
	usual = median(all)
	usual.leases, err = s.leases(ctx)
	return usual, err
}

func (j *judge) failedProbes() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.unproven
}

// doubts says whether an operator's doing may have been done while nothing else was.
func (j *judge) doubts() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.addresses {
		if a.doubted.After(time.Now().Add(-doubt - idle)) {
			return true
		}
	}
	return false
}

// rested judges what was written while all was well.
func (j *judge) rested(writes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.findings["P7"].seen++
	if writes > 0 {
		j.broken("P7", nil, "%d writes while all was well", writes)
	}
}
