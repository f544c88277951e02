package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
	"dockreg/sidekick"
)

// Who may do what to a key (promise P3), and so to all the keys of an instance together:
//
//   - An instance revokes its own leases alone, and deletes in no other way.
//   - It overwrites a key that nobody's lease holds, that its own lease holds, or that
//     was there when it first looked: that one is of an earlier instance.
//   - It overwrites what it has looked at, and nothing that came in between: put.
//   - It leaves a key alone that came later, gives up the others that go with it, and
//     stands by until that one is gone. Then who registers has to prove its app and its
//     address anew.

// revokeTimeout bounds one revocation. A healthy etcd takes 1 ms [measured]; three
// members can be tried in the 2 s that a stop has.
const revokeTimeout = 600 * time.Millisecond

// stateError is about the key, rather than about etcd.
type stateError struct {
	text string
	is   error // what the sidekick takes it for, or nil
}

func (e *stateError) Error() string        { return e.text }
func (e *stateError) Is(target error) bool { return e.is != nil && target == e.is }

var (
	errGone = &stateError{"the lease is gone, and the key with it", sidekick.ErrLost}
	errFree = &stateError{"the key is free again", sidekick.ErrLost}
	// ErrRaced says that the key was written between the look at it and the put, which
	// was not done. The next Register looks again.
	ErrRaced error = &stateError{"somebody else wrote the key in the same moment", nil}
)

func errTaken(kv *mvccpb.KeyValue) error {
	return &stateError{fmt.Sprintf("a newer instance has the key, on lease %x", kv.Lease), sidekick.ErrTaken}
}

// settle returns nil if the keys, as they were seen, may be put. If a newer instance has
// one, this one's lease is given up.
func (r *Registry) settle(ctx context.Context, kvs []*mvccpb.KeyValue) error {
	taken := slices.IndexFunc(kvs, r.newer)
	switch {
	case taken >= 0:
		r.standsBy = true
		if err := r.leave(ctx); err != nil {
			return err
		}
		return errTaken(kvs[taken])
	case r.standsBy:
		r.standsBy = false
		return errFree
	}
	return nil
}

// newer says whether the key is held by an instance that came after this one. A
// key without a lease is nobody's: no instance leaves one behind.
func (r *Registry) newer(kv *mvccpb.KeyValue) bool {
	return r.leases.foreign(kv) && kv.ModRevision > r.past.began
}

// foreign says whether the key hangs on a lease of somebody else's.
func (l *leases) foreign(kv *mvccpb.KeyValue) bool {
	return kv.GetLease() != 0 && !slices.Contains(l.own, clientv3.LeaseID(kv.Lease))
}

// put writes the records, if all keys are as they were seen, so that nobody who came in
// between is overwritten. It returns the keys' new revision, which is the same.
func (r *Registry) put(ctx context.Context, seen []*mvccpb.KeyValue) (revision int64, err error) {
	var unchanged []clientv3.Cmp
	var puts []clientv3.Op
	for i, record := range r.records {
		unchanged = append(unchanged, clientv3.Compare(clientv3.ModRevision(record.Key), "=", seen[i].GetModRevision()))
		puts = append(puts, clientv3.OpPut(record.Key, record.Value, clientv3.WithLease(r.leases.current)))
	}
	var done *clientv3.TxnResponse
	err = r.etcd.Do(ctx, etcd.Timeout, func(ctx context.Context, client *clientv3.Client) error {
		done, err = client.Txn(ctx).If(unchanged...).Then(puts...).Commit()
		if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return fmt.Errorf("put key: %w", err)
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case done == nil:
		return 0, r.leases.lose()
	case !done.Succeeded:
		return 0, ErrRaced
	}
	r.past.see(done.Header, false)
	if r.config.TookOver != nil && slices.ContainsFunc(seen, r.leases.foreign) {
		r.config.TookOver()
	}
	return done.Header.Revision, nil
}

// leave gives up the lease, and what hangs on it.
func (r *Registry) leave(ctx context.Context) error {
	r.unwatch()
	r.place.Store(nil)
	r.leases.retire()
	if err := r.leases.revoke(ctx); err != nil {
		return err
	}
	if r.willed {
		r.willed = false
		r.config.Will.Withdraw() // not before: it would help, if the container ended now
	}
	return nil
}

// retire gives the lease up: it is to be revoked.
func (l *leases) retire() {
	if l.current != 0 {
		l.limbo = append(l.limbo, l.current)
		l.current, l.granted = 0, false
	}
}

// revoke revokes what is in limbo. A lease stays there while it is not known to be
// gone.
func (l *leases) revoke(ctx context.Context) error {
	for len(l.limbo) > 0 {
		err := l.etcd.Do(ctx, revokeTimeout, func(ctx context.Context, client *clientv3.Client) error {
			if _, err := client.Revoke(ctx, l.limbo[0]); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
				return fmt.Errorf("revoke lease: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		l.limbo = l.limbo[1:]
	}
	return nil
}

// past is what a Registry knows of etcd's history.
type past struct {
	cluster uint64
	latest  int64 // the latest revision seen
	began   int64 // the one at the first look: what was written later came later
}

// see takes in what an answer says. A revision that went back, or another cluster,
// is another history, of an etcd that lost its data or was restored: what is there
// now is an earlier instance's, except to one that stood by: it is not the newest.
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
