// Package etcdreg keeps one leased key in etcd v3: its creation, its renewal, its
// removal, whose it is, and how a disturbance of it is noticed.
//
// A Registry talks to one member at a time over a client of its own. A call that
// fails or is not answered in time makes the next one use a fresh client on the
// next member: measured with one of two members hung, that costs no absence of
// the key, where the client's own balancer lost it for 51.9 of 60 s.
package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
)

const (
	// callTimeout bounds one Register, all its requests together. Of a TTL of 20 s
	// it leaves room for every member of a cluster to be tried in turn.
	callTimeout = 1500 * time.Millisecond
	// revokeTimeout bounds one Deregister. A healthy etcd takes 1 ms [measured];
	// three members can be tried in the 2 s that a stop has.
	revokeTimeout = 600 * time.Millisecond
)

// Config says where etcd is and how long a lease lasts.
type Config struct {
	// Endpoints are URLs, http:// or https://, at least one, all of one scheme.
	// With https, the system's certificate authorities are trusted.
	Endpoints []string
	// Username and Password authenticate, if Username is not empty.
	Username, Password string
	// TTL of the lease, in whole seconds. etcd may grant more than it was asked
	// for (two seconds where one was asked [measured]), never less.
	TTL time.Duration
}

// Registry is one key's registration. It is not safe for concurrent use, but for
// Disturbed.
type Registry struct {
	Config
	endpoint int // index of the one in use
	client   *clientv3.Client
	hangUp   func() // closes client, so that the next call dials anew

	lease clientv3.LeaseID // ours, 0 if there is none
	// limbo are leases of ours whose revocation was tried, with no answer: gone or
	// not. None is ever renewed or used again.
	limbo []clientv3.LeaseID
	// revision is the key's, as first seen: whoever holds the key with a later one
	// came after us. -1 before it was first looked up.
	revision int64

	watch     *watch // on the key as we put it; nil if that is not known to be there
	disturbed chan error
}

// New returns a Registry that has not contacted etcd yet.
func New(c Config) *Registry {
	return &Registry{
		Config: c,
		// Not all of a fleet on the first one.
		endpoint:  rand.N(len(c.Endpoints)),
		revision:  -1,
		disturbed: make(chan error, 1),
		hangUp:    func() {},
	}
}

// Close ends all traffic with etcd. It removes nothing: see Deregister.
func (r *Registry) Close() {
	r.unwatch()
	r.hangUp()
}

// Disturbed delivers, after a Register that succeeded, the reason why the key may
// no longer be as registered: it was deleted or overwritten, or the connection to
// etcd broke, and so nobody would tell.
func (r *Registry) Disturbed() <-chan error { return r.disturbed }

// Register makes sure that key holds value on this Registry's lease, and that the
// lease has its full TTL ahead. Called again, it renews the lease, and repairs
// what was disturbed; it writes to etcd only if there is something to repair.
//
// A key that another lease holds is taken over if it was there before this
// Registry first looked: it is what an earlier instance left behind. If it came
// later, its holder is the newer instance: Register returns an error that says so,
// and changes nothing, until the key is gone.
//
// It takes at most 1.5 s. After an error, calling it again is the caller's.
func (r *Registry) Register(ctx context.Context, key, value string) error {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.outcome(ctx, r.register(callCtx, key, value))
}

// Look reads the key, and changes nothing. It asks one member after the other
// until one answers, each within 1.5 s.
func (r *Registry) Look(ctx context.Context, key string) (value string, there bool, err error) {
	for range r.Endpoints {
		if value, there, err = r.look(ctx, key); err == nil || ctx.Err() != nil {
			break
		}
	}
	return value, there, err
}

func (r *Registry) look(ctx context.Context, key string) (value string, there bool, err error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := r.dial(callCtx)
	if err != nil {
		return "", false, r.outcome(ctx, err)
	}
	found, err := c.Get(callCtx, key)
	if err != nil {
		return "", false, r.outcome(ctx, fmt.Errorf("get key: %w", err))
	}
	if len(found.Kvs) == 0 {
		return "", false, nil
	}
	return string(found.Kvs[0].Value), true, nil
}

// Deregister revokes the lease, and with it removes the key, unless somebody else
// has taken the key over. It takes at most 0.6 s. After an error, calling it again
// is the caller's.
func (r *Registry) Deregister(ctx context.Context) error {
	r.unwatch()
	if r.lease != 0 {
		r.limbo = append(r.limbo, r.lease)
		r.lease = 0
	}
	callCtx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	for len(r.limbo) > 0 {
		if err := r.revoke(callCtx, r.limbo[0]); err != nil {
			return r.outcome(ctx, err)
		}
		r.limbo = r.limbo[1:]
	}
	return nil
}

func (r *Registry) revoke(ctx context.Context, lease clientv3.LeaseID) error {
	c, err := r.dial(ctx)
	if err != nil {
		return err
	}
	_, err = c.Revoke(ctx, lease)
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("revoke lease: %w", err)
	}
	return nil
}

// outcome names the member in an error, and makes the next call go to the next
// one. An end of ctx, the caller's own, says nothing about the member.
func (r *Registry) outcome(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, errNewer) || errors.Is(err, errRaced) {
		return err
	}
	at := r.Endpoints[r.endpoint]
	connected := r.client != nil && r.client.ActiveConnection().GetState() == connectivity.Ready
	r.unwatch()
	r.hangUp()
	r.endpoint = (r.endpoint + 1) % len(r.Endpoints)
	switch {
	case !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("etcd at %s: %w", at, err)
	case connected:
		return fmt.Errorf("etcd at %s did not answer in time", at)
	}
	return fmt.Errorf("etcd at %s can't be reached", at)
}

// dial returns the client in use, or a new one on the present endpoint.
func (r *Registry) dial(ctx context.Context) (*clientv3.Client, error) {
	if r.client != nil {
		return r.client, nil
	}
	// New authenticates, and heeds no other context than the one that the client
	// then lives with.
	clientCtx, cancel := context.WithCancel(context.Background())
	unlink := context.AfterFunc(ctx, cancel)
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{r.Endpoints[r.endpoint]},
		Username:  r.Username,
		Password:  r.Password,
		Context:   clientCtx,
		Logger:    zap.NewNop(), // what matters comes back as an error
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			// gRPC's own back-off grows to 120 s; after an outage of any length
			// the key is to be back within two seconds.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: callTimeout,
		})},
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("connect: %w", errors.Join(err, ctx.Err()))
	}
	r.client, r.hangUp = c, func() {
		_ = c.Close() // only ever says that its context was cancelled
		cancel()
		r.client, r.hangUp = nil, func() {}
	}
	if !unlink() {
		r.hangUp()
		return nil, fmt.Errorf("connect: %w", ctx.Err())
	}
	return c, nil
}
