package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// errNewer is wrapped in what Register returns while it stands by.
var errNewer = errors.New("a newer instance holds the key; standing by until it is gone")

// errRaced is no fault of etcd's either.
var errRaced = errors.New("somebody else wrote the key in the same moment")

func (r *Registry) register(ctx context.Context, key, value string) error {
	c, err := r.dial(ctx)
	if err != nil {
		return err
	}
	if err := r.renew(ctx, c); err != nil {
		return err
	}
	if r.watch.alive() && r.lease != 0 {
		return nil
	}
	r.unwatch()

	found, err := c.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("get key: %w", err)
	}
	var kv *mvccpb.KeyValue
	if len(found.Kvs) > 0 {
		kv = found.Kvs[0]
	}
	if r.revision < 0 || found.Header.Revision < r.revision {
		// The first look; or another history, of an etcd that lost its data.
		r.revision = kv.GetModRevision()
	}
	if r.newer(kv) {
		return fmt.Errorf("%w (its lease is %x)", errNewer, kv.Lease)
	}

	if r.lease == 0 {
		granted, err := c.Grant(ctx, int64(r.TTL/time.Second))
		if err != nil {
			return fmt.Errorf("grant lease: %w", err)
		}
		r.lease = granted.ID
	}
	revision := found.Header.Revision
	if kv == nil || clientv3.LeaseID(kv.Lease) != r.lease || string(kv.Value) != value {
		// Compared with what was looked up, so that nobody who came in between is
		// overwritten.
		put, err := c.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", kv.GetModRevision())).
			Then(clientv3.OpPut(key, value, clientv3.WithLease(r.lease))).
			Commit()
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			r.lease = 0
		}
		if err != nil {
			return fmt.Errorf("put key: %w", err)
		}
		if !put.Succeeded {
			return errRaced
		}
		revision = put.Header.Revision
	}
	r.watch = r.observe(c, key, value, revision+1)
	return nil
}

// renew gives the lease its full TTL again, if there is one. A lease that etcd no
// longer knows is no error: it is forgotten.
func (r *Registry) renew(ctx context.Context, c *clientv3.Client) error {
	if r.lease == 0 {
		return nil
	}
	_, err := c.KeepAliveOnce(ctx, r.lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		r.lease = 0
		return nil
	}
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	return nil
}

// newer says whether the key is held by an instance that came after this one. A
// key without a lease is nobody's: no instance leaves one behind.
func (r *Registry) newer(kv *mvccpb.KeyValue) bool {
	lease := clientv3.LeaseID(kv.GetLease())
	return lease != 0 && lease != r.lease && !slices.Contains(r.limbo, lease) && kv.ModRevision > r.revision
}
