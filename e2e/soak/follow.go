package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"dockreg/e2e/testbed"
)

// lookEvery is how often the judge looks for what should have happened by now.
const lookEvery = 50 * time.Millisecond

// observers are a client for each member, to see the keys even if one of them fails.
type observers []*clientv3.Client

func observe(members []*testbed.Member) (o observers, err error) {
	for _, m := range members {
		c, err := clientv3.New(clientv3.Config{
			Endpoints: []string{m.URL}, Logger: zap.NewNop(), MaxUnaryRetries: 1,
			DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, MaxDelay: 500 * time.Millisecond},
				MinConnectTimeout: time.Second,
			})},
		})
		if err != nil {
			o.close()
			return nil, fmt.Errorf("observe: %w", err)
		}
		o = append(o, c)
	}
	return o, nil
}

// without returns all but the n-th, or all if n is -1.
func (o observers) without(n int) observers {
	if n < 0 {
		return o
	}
	return slices.Concat(o[:n], o[n+1:])
}

func (o observers) close() {
	for _, c := range o {
		_ = c.Close()
	}
}

// ask asks one member after the other until one has done it.
func (o observers) ask(ctx context.Context, request func(context.Context, *clientv3.Client) error) error {
	var errs []error
	for range 3 {
		for _, c := range o {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			err := within(ctx, 2*time.Second, func(ctx context.Context) error { return request(ctx, c) })
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}

// follow lets the judge judge until ctx ends.
func (j *judge) follow(ctx context.Context, o observers) {
	var group sync.WaitGroup
	for _, c := range o {
		group.Go(func() {
			for ctx.Err() == nil {
				j.watch(ctx, c)
				sleep(ctx, lookEvery)
			}
		})
		group.Go(func() {
			for ctx.Err() == nil {
				j.ask(ctx, c)
				sleep(ctx, 5*lookEvery)
			}
		})
	}
	group.Go(func() {
		for begun := time.Now(); sleep(ctx, lookEvery); begun = time.Now() {
			now := time.Now()
			j.took(now.Sub(begun) - lookEvery)
			j.look(now)
		}
	})
	group.Wait()
}

// watch takes in what one member says, until it says no more.
func (j *judge) watch(ctx context.Context, c *clientv3.Client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j.mu.Lock()
	from := j.revision + 1
	j.mu.Unlock()
	for resp := range c.Watch(ctx, "/"+parent+"/", clientv3.WithPrefix(), clientv3.WithRev(from)) {
		j.take(resp.Events)
	}
}

// ask learns from a member whether a leader was elected, and how long etcd takes.
func (j *judge) ask(ctx context.Context, c *clientv3.Client) {
	_ = within(ctx, time.Second, func(ctx context.Context) error {
		start := time.Now()
		found, err := c.Get(ctx, "term")
		j.took(time.Since(start))
		if err != nil {
			return err // the others know
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		if found.Header.RaftTerm > j.term {
			j.term, j.elected = found.Header.RaftTerm, time.Now()
		}
		return nil
	})
}

// sleep waits for d, or until ctx ends. It says whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
