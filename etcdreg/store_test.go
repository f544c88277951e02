package etcdreg

import (
	"context"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// store is what an etcd holds, seen from the side: what an operator does to it, and
// all that became of a key.
type store interface {
	get(key string) (*mvccpb.KeyValue, error)
	put(key, value string) error // without a lease
	drop(key string) error
	revoke(lease clientv3.LeaseID) error // or let it expire; one that is gone is no error
	revision() (int64, error)
	// history returns key's puts after that revision, and nil for its deletions.
	history(key string, after int64) ([]*mvccpb.KeyValue, error)
}

// real is the store of a server.
type real struct {
	c   *clientv3.Client
	ctx context.Context //nolint:containedctx // the test's
}

func (r real) get(key string) (*mvccpb.KeyValue, error) {
	found, err := r.c.Get(r.ctx, key)
	if err != nil || len(found.Kvs) == 0 {
		return nil, err
	}
	return found.Kvs[0], nil
}

func (r real) put(key, value string) error {
	_, err := r.c.Put(r.ctx, key, value)
	return err
}

func (r real) drop(key string) error {
	_, err := r.c.Delete(r.ctx, key)
	return err
}

func (r real) revoke(lease clientv3.LeaseID) error {
	_, err := r.c.Revoke(r.ctx, lease)
	if err != nil && strings.Contains(err.Error(), "lease not found") {
		return nil
	}
	return err
}

func (r real) revision() (int64, error) {
	found, err := r.c.Get(r.ctx, "any")
	if err != nil {
		return 0, err
	}
	return found.Header.Revision, nil
}

func (r real) history(key string, after int64) (events []*mvccpb.KeyValue, err error) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	// Where the watch has heard this, it has heard all that came before.
	end, err := r.c.Put(r.ctx, key, "the end")
	if err != nil {
		return nil, err
	}
	for resp := range r.c.Watch(ctx, key, clientv3.WithRev(after+1)) {
		for _, e := range resp.Events {
			switch {
			case e.Kv.ModRevision >= end.Header.Revision:
				return events, r.drop(key)
			case e.Type == clientv3.EventTypeDelete:
				events = append(events, nil)
			default:
				events = append(events, e.Kv)
			}
		}
	}
	return events, ctx.Err()
}
