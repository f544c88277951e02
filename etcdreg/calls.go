package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"
)

const (
	// callTimeout bounds one request. Of a TTL of 20 s it leaves room for every
	// member of a cluster to be tried in turn.
	callTimeout = 1500 * time.Millisecond
	// revokeTimeout bounds one revocation. A healthy etcd takes 1 ms [measured];
	// three members can be tried in the 2 s that a stop has.
	revokeTimeout = 600 * time.Millisecond
)

// connect returns the client, connected to the member in use: the one that is
// there, or a new one. It takes no longer than within, or than the patience.
func (r *Registry) connect(ctx context.Context, within time.Duration) (*clientv3.Client, error) {
	ctx, cancel := r.patience.bound(ctx, within)
	defer cancel()
	if r.client == nil {
		if err := r.members.refresh(ctx); err != nil {
			return nil, err
		}
	}
	c, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	conn := c.ActiveConnection()
	for {
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return c, nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			return nil, errUnreachable
		default: // requests would wait for it until their deadline
			conn.Connect()
			if !conn.WaitForStateChange(ctx, state) {
				return nil, fmt.Errorf("connect: %w", ctx.Err())
			}
		}
	}
}

var errUnreachable = errors.New("can't be reached")

// outcome names the member in an error, and makes the next call go to the next
// one. An end of ctx, the caller's own, says nothing about the member, and neither
// does an error that is about the key.
func (r *Registry) outcome(ctx context.Context, err error) error {
	var state *StateError
	if err == nil || ctx.Err() != nil || errors.As(err, &state) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) && r.slow() {
		r.patience.grow()
	}
	err = r.explain(err)
	r.unwatch()
	r.hangUp()
	r.members.advance()
	return &faultError{err, r.pause()}
}

// slow says whether etcd may only be late: it was heard, or it is the only member and
// takes connections. Of several members, another one may be better.
func (r *Registry) slow() bool {
	down := r.link.state()
	return down == nil || errors.Is(down, errSilent) && len(r.members.urls) == 1
}

// faultError is of an etcd that did not do as it was asked.
type faultError struct {
	error
	pause time.Duration
}

func (e *faultError) Unwrap() error { return e.error }

// Pause is within which time the next call is to come, at an instant by chance: a
// fleet whose etcd comes back spreads over it. 0 leaves it to the caller.
func (e *faultError) Pause() time.Duration { return e.pause }

// A fleet of handful instances or less needs no spreading. A larger one comes back
// at about 400 instances a second, which are 800 writes, and in 5 s at most.
const (
	handful    = 20
	perPeer    = 2500 * time.Microsecond
	spreadMost = 5 * time.Second
)

// pause returns over which time this instance and those that it last counted are to
// come back. A quarter of the TTL leaves a lease enough for a second try.
func (r *Registry) pause() time.Duration {
	count := r.count.Load()
	if count <= handful {
		return 0
	}
	return min(time.Duration(count)*perPeer, spreadMost, r.TTL/4)
}
