package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/sidekick"
)

// StateError is what Register says about the key, rather than about etcd.
type StateError struct {
	msg            string
	lost, standsBy bool
}

func (e *StateError) Error() string { return e.msg }

// Lost says that what was registered is gone, or that the key this Registry stood
// by for is free. Whoever wants it has to prove again that the address is theirs:
// the next Register takes the key.
func (e *StateError) Lost() bool { return e.lost }

// StandsBy says that another instance has the key. Register leaves it alone.
func (e *StateError) StandsBy() bool { return e.standsBy }

var (
	errLost  = &StateError{msg: "the lease is gone, and the key with it", lost: true}
	errFree  = &StateError{msg: "the key is free again", lost: true}
	errRaced = &StateError{msg: "somebody else wrote the key in the same moment"}
)

func errTaken(kv *mvccpb.KeyValue) error {
	return &StateError{msg: fmt.Sprintf("a newer instance has the key, on lease %x", kv.Lease), standsBy: true}
}

// Register makes sure that key holds value on this Registry's lease, and that the
// lease has its full TTL ahead. Called again, it renews the lease, and repairs
// what was disturbed; it writes to etcd only if there is something to repair.
//
// A key that another lease holds is taken over if it was there before this
// Registry first looked: it is what an earlier instance left behind. If it came
// later, its holder is the newer instance, and Register changes nothing. That, and
// a lease that ended, it says with a *StateError.
//
// Every request of it ends within 1.5 s, or longer with an etcd that has been slow
// to answer. After an error, calling it again is the caller's. With another key
// than before it first takes the earlier one away.
func (r *Registry) Register(ctx context.Context, record sidekick.Record) error {
	return r.outcome(ctx, r.register(ctx, record.Key, record.Value))
}

func (r *Registry) register(ctx context.Context, key, value string) error {
	if key != r.key {
		r.unwatch()
		r.retire()
		if err := r.revoke(ctx); err != nil {
			return err
		}
		r.key, r.past, r.standsBy = key, past{}, false
		r.count.Store(0)
	}
	c, err := r.connect(ctx, callTimeout)
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

	kv, revision, err := r.look(ctx, c, key)
	if err != nil {
		return err
	}
	if r.newer(kv) {
		r.standsBy = true
		r.retire()
		if err := r.revoke(ctx); err != nil {
			return err
		}
		return errTaken(kv)
	}
	if r.standsBy {
		r.standsBy = false
		return errFree
	}
	if err := r.grant(ctx, c); err != nil {
		return err
	}
	if kv == nil || clientv3.LeaseID(kv.Lease) != r.lease || string(kv.Value) != value {
		if revision, err = r.put(ctx, c, key, value, kv.GetModRevision()); err != nil {
			return err
		}
	}
	r.watch = r.observe(c, key, value, revision+1)
	return nil
}

// renew gives the lease its full TTL again, if there is one.
func (r *Registry) renew(ctx context.Context, c *clientv3.Client) error {
	if !r.granted {
		return nil
	}
	err := r.patience.try(ctx, callTimeout, func(ctx context.Context) error {
		return r.session.again(ctx, c.ActiveConnection(), func() error { return keepAlive(ctx, c, r.lease) })
	})
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		r.lease, r.granted = 0, false
		return errLost
	}
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	return nil
}

// keepAlive renews once. The client's own KeepAliveOnce asks a member that answers
// "no leader" again and again, with no pause, as fast as it can [read].
func keepAlive(ctx context.Context, c *clientv3.Client, lease clientv3.LeaseID) error {
	ctx, cancel := context.WithCancel(ctx) // it is what ends the stream
	defer cancel()
	stream, err := clientv3.RetryLeaseClient(c).LeaseKeepAlive(ctx)
	if err != nil {
		return clientv3.ContextError(ctx, err)
	}
	if err := stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(lease)}); err != nil {
		return clientv3.ContextError(ctx, err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return clientv3.ContextError(ctx, err)
	}
	if answer.TTL <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	return nil
}

// look reads the key, nil if it is not there, and counts its peers. It returns the
// revision of etcd that it saw.
func (r *Registry) look(ctx context.Context, c *clientv3.Client, key string) (kv *mvccpb.KeyValue, revision int64, err error) {
	var header *etcdserverpb.ResponseHeader
	err = r.patience.try(ctx, callTimeout, func(ctx context.Context) error {
		kv, header, err = r.read(ctx, c, key)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	r.past.see(header, r.standsBy)
	return kv, header.Revision, nil
}

// read is look's request. It is safe for concurrent use.
func (r *Registry) read(ctx context.Context, c *clientv3.Client, key string) (kv *mvccpb.KeyValue, header *etcdserverpb.ResponseHeader, err error) {
	parent := key[:strings.LastIndex(key, "/")+1]
	found, err := c.Txn(ctx).Then(
		clientv3.OpGet(key),
		clientv3.OpGet(parent, clientv3.WithPrefix(), clientv3.WithCountOnly()),
	).Commit()
	if err != nil {
		return nil, nil, fmt.Errorf("get key: %w", err)
	}
	if kvs := found.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		kv = kvs[0]
	}
	r.count.Store(found.Responses[1].GetResponseRange().Count)
	return kv, found.Header, nil
}

// grant makes sure that there is a lease. Its id is chosen here, so that one whose
// granting got no answer is used by the next try, and doesn't pile up.
func (r *Registry) grant(ctx context.Context, c *clientv3.Client) error {
	if r.granted {
		return nil
	}
	asked := r.lease != 0
	if !asked {
		r.lease = clientv3.LeaseID(rand.Int64N(1<<62) + 1)
		r.own = append(r.own[max(0, len(r.own)-remembered):], r.lease)
	}
	err := r.patience.try(ctx, callTimeout, func(ctx context.Context) error {
		_, err := clientv3.RetryLeaseClient(c).LeaseGrant(ctx, &etcdserverpb.LeaseGrantRequest{
			ID: int64(r.lease), TTL: int64(r.TTL / time.Second),
		})
		return clientv3.ContextError(ctx, err)
	})
	if asked && errors.Is(err, rpctypes.ErrLeaseExist) {
		r.granted = true
		return r.renew(ctx, c)
	}
	if err != nil {
		if errors.Is(err, rpctypes.ErrLeaseExist) {
			r.lease = 0 // somebody else's, by a chance of 1 in 2^62
		}
		return fmt.Errorf("grant lease: %w", err)
	}
	r.granted = true
	return nil
}

// put writes the key, if it is as it was looked up, so that nobody who came in
// between is overwritten. It returns the key's new revision.
func (r *Registry) put(ctx context.Context, c *clientv3.Client, key, value string, seen int64) (revision int64, err error) {
	var done *clientv3.TxnResponse
	err = r.patience.try(ctx, callTimeout, func(ctx context.Context) error {
		done, err = c.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", seen)).
			Then(clientv3.OpPut(key, value, clientv3.WithLease(r.lease))).
			Commit()
		return err
	})
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		r.lease, r.granted = 0, false
		return 0, errLost
	}
	if err != nil {
		return 0, fmt.Errorf("put key: %w", err)
	}
	if !done.Succeeded {
		return 0, errRaced
	}
	r.past.see(done.Header, false)
	return done.Header.Revision, nil
}

// remembered is how many leases of its own a Registry knows again: an etcd restored
// from a snapshot may have the key on an earlier one.
const remembered = 100

// newer says whether the key is held by an instance that came after this one. A
// key without a lease is nobody's: no instance leaves one behind.
func (r *Registry) newer(kv *mvccpb.KeyValue) bool {
	return kv.GetLease() != 0 && !slices.Contains(r.own, clientv3.LeaseID(kv.Lease)) && kv.ModRevision > r.past.began
}

// past is what a Registry knows of etcd's history.
type past struct {
	cluster uint64
	latest  int64 // the latest revision seen
	began   int64 // the one at the first look: what was written later came later
}

// see takes in what an answer says. A revision that went back, or another cluster,
// is another history, of an etcd that lost its data or was restored: what is there
// now is an earlier instance's, but for one that stood by: it is not the newest.
func (p *past) see(h *etcdserverpb.ResponseHeader, standsBy bool) {
	switch {
	case p.cluster == 0:
		p.began = h.Revision
	case p.cluster == h.ClusterId && p.latest <= h.Revision:
	case standsBy:
		p.began = 0
	default:
		p.began = h.Revision
	}
	p.cluster, p.latest = h.ClusterId, h.Revision
}
