package main

import (
	"context"
	"time"
)

// outage kills all members, and some instances, each of which another one follows,
// and starts the members again. It judges when all keys are right by then: the judge's
// own view of the keys comes back with etcd.
func (s *soak) outage(ctx context.Context, c chance) error {
	s.faults.Add(1)
	s.outages++
	s.judge.memberFails("and all others are killed", 0, true)
	s.judge.etcdGoes(true)
	for _, m := range s.cluster.Members {
		m.Kill()
	}
	lasts := time.After(c.between(time.Second, 2*ttl))
	for n, a := range s.addresses {
		if n%3 == 0 {
			continue
		}
		if err := s.end(a, 0, true); err != nil {
			return err
		}
		if err := s.begin(a); err != nil {
			return err
		}
	}
	select {
	case <-lasts:
	case <-ctx.Done():
	}
	for _, m := range s.cluster.Members {
		if err := m.Start(); err != nil {
			return err
		}
	}
	var answered time.Time
	for _, m := range s.cluster.Members {
		if err := m.Ready(); err != nil {
			return err
		}
		if answered.IsZero() {
			answered = time.Now()
			s.judge.etcdGoes(false)
		}
	}
	s.judge.memberHealed()
	for ctx.Err() == nil && s.judge.backSince(answered) {
		sleep(ctx, lookEvery)
	}
	return nil
}

// graceSince is what exhaustion adds to a bound if the machine was seen to be too busy since etcd
// began to answer: once those who ask it all the time are connected again, before which they
// wait, busy or not.
func (j *judge) graceSince(answered time.Time) time.Duration {
	if j.busy.After(answered.Add(bound("P6") - slack)) {
		return exhaustion
	}
	return 0
}

// backSince judges whether all keys are right, after etcd began to answer. It says
// whether to ask again.
func (j *judge) backSince(answered time.Time) bool {
	wrong, now := j.wrong(), time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	switch took := now.Sub(answered); {
	case wrong == "":
		f := j.findings["P6"]
		f.seen, f.slowest = f.seen+1, max(f.slowest, took)
	case took > bound("P6")+j.graceSince(answered):
		j.broken("P6", nil, "%s is not right %s after an outage", wrong, took)
	default:
		return true
	}
	return false
}
