// Package etcdreg keeps the records of one instance in etcd v3, on one lease: their
// creation, renewal and removal (lease.go), whose they are (ownership.go), and how a
// disturbance of one is noticed (watch.go). They are written in one transaction and go with
// the lease: whoever reads them sees all or none. How etcd is reached is package etcd's.
package etcdreg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
	"dockreg/sidekick"
)

// Etcd is what makes the requests, one member at a time: *etcd.Client.
type Etcd interface {
	// Do makes a request, once. Its error, unless it is ctx's, is of a member that is
	// not asked again before the others.
	Do(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) error
	// Renew gives a lease its whole TTL again, and says whether it is still there.
	Renew(ctx context.Context, within time.Duration, lease clientv3.LeaseID) (there bool, err error)
	// Within returns how long a request is waited for that usually has this much time.
	Within(usual time.Duration) time.Duration
}

// Config is a Registry's settings.
type Config struct {
	// TTL is the lease's, in whole seconds. etcd may grant more, never less: two seconds
	// where one was asked for, and one and a half times its election timeout at the least
	// [measured].
	TTL time.Duration
	// Spare is how much of it is left at the least when Register is called to renew it.
	Spare time.Duration
	// Log is told what is no error.
	Log *slog.Logger
	// Peers is what the first key of each instance of the service begins with. Empty: the
	// same as this one's, up to the last slash.
	Peers string
	// Will is told which lease the records hang on, if it is not nil.
	Will Will
	// TookOver is called, if it is not nil, when the records have taken the place of an
	// earlier instance's.
	TookOver func()
}

// Will is the last will of this container: the lease that somebody else is to revoke when
// the container has ended. Nothing waits for either of its methods.
type Will interface {
	// Make says that the records hang on this lease.
	Make(lease int64)
	// Withdraw says that they hang on none any more.
	Withdraw()
}

// Registry is one instance's registration. It is not safe for concurrent use, except for
// Disturbed.
type Registry struct {
	config  Config
	etcd    Etcd
	records record.Records // of the latest Register
	leases  leases
	past    past
	peers   atomic.Int64 // instances of the service, when last counted
	place   atomic.Pointer[Place]

	willed   bool // there is a last will
	standsBy bool // another instance had the key when last looked at

	watch     *watch // on the records as we put them; nil if they are not known to be there
	disturbed chan error
}

// New returns a Registry that has not asked etcd for anything yet.
func New(etcd Etcd, c Config) *Registry {
	return &Registry{
		config:    c,
		etcd:      etcd,
		leases:    leases{etcd: etcd, config: c},
		disturbed: make(chan error, 1),
	}
}

// Place is where the records are: on which lease, as which member told of late.
type Place struct {
	Lease  int64
	Member string // a URL
}

// Place returns where the records are, or nil: nowhere. It is safe for concurrent use.
func (r *Registry) Place() *Place { return r.place.Load() }

// Close ends the watching. It removes nothing: see Deregister.
func (r *Registry) Close() { r.unwatch() }

// Disturbed delivers, after a Register that succeeded, the reason why the records may
// no longer be as registered: one was deleted or overwritten, or the connection to
// etcd broke, and so nobody would tell. It may be a *sidekick.SpreadError.
func (r *Registry) Disturbed() <-chan error { return r.disturbed }

// Register makes sure that the records are there on this Registry's lease, and that the
// lease has its full TTL ahead. Called again, it renews the lease, and repairs
// what was disturbed; it writes to etcd only if there is something to repair, and then
// all the records, in one revision.
//
// A key that another lease holds is taken over if it was there before this
// Registry first looked: it is what an earlier instance left behind. If it came
// later, its holder is the newer instance, and Register gives up all the records, not
// that key's alone: that is sidekick.ErrTaken. A lease that ended, and a key that is free
// again, are sidekick.ErrLost.
//
// Every request of it ends within 1.5 s, or longer with an etcd that has been slow
// to answer. After an error, calling it again is the caller's. With other keys
// than before it first takes the earlier ones away. etcd takes some 100 records at once
// (its --max-txn-ops is 128).
func (r *Registry) Register(ctx context.Context, records record.Records) error {
	return r.outcome(ctx, r.register(ctx, records))
}

func (r *Registry) register(ctx context.Context, records record.Records) error {
	if !slices.EqualFunc(records, r.records, func(a, b record.Record) bool { return a.Key == b.Key }) {
		if err := r.leave(ctx); err != nil {
			return err
		}
		r.past, r.standsBy = past{}, false
		r.peers.Store(0)
	}
	if !slices.Equal(records, r.records) {
		r.unwatch() // of other values
	}
	r.records = records
	if err := r.leases.renew(ctx); err != nil {
		return err
	}
	if r.watch.alive() && r.leases.current != 0 {
		return nil
	}
	r.unwatch()

	seen, err := r.look(ctx)
	if err != nil {
		return err
	}
	if err := r.settle(ctx, seen.kvs); err != nil {
		return err
	}
	if err := r.leases.grant(ctx); err != nil {
		return err
	}
	held := r.held()
	if held.check(seen.kvs) != nil {
		if seen.revision, err = r.put(ctx, seen.kvs); err != nil {
			return err
		}
	}
	r.watch = r.observe(seen.client, held, seen.revision+1)
	r.place.Store(&Place{int64(r.leases.current), seen.client.Endpoints()[0]})
	if r.config.Will != nil {
		r.willed = true
		r.config.Will.Make(int64(r.leases.current))
	}
	return nil
}

// Deregister revokes the lease, and with it removes the records, except for a key that
// somebody else has taken over. Connecting takes at most 0.6 s, and so does a request, unless
// etcd has been slow at that before. After an error, calling it again is the caller's.
func (r *Registry) Deregister(ctx context.Context) error {
	return r.outcome(ctx, r.leave(ctx))
}

// outcome follows an error of etcd's: nobody tells any more what becomes of the records,
// and the next call is to be spread over the fleet's. An error about the key is none.
func (r *Registry) outcome(ctx context.Context, err error) error {
	var state *stateError
	if err == nil || ctx.Err() != nil || errors.As(err, &state) {
		return err
	}
	r.unwatch()
	return r.spread(err)
}

// A fleet of handful instances or less needs no spreading. A larger one comes back
// at about 400 instances a second, which are 800 writes, and in 5 s at most.
const (
	handful    = 20
	perPeer    = 2500 * time.Microsecond
	spreadMost = 5 * time.Second
)

// spread asks for the next call to come within the time over which this instance, and
// those that it last counted, are to come back. The lease has to outlive that, with the
// request that failed and the one that is to follow.
func (r *Registry) spread(err error) error {
	count := r.peers.Load()
	if count <= handful {
		return err
	}
	return &sidekick.SpreadError{Err: err, Within: max(0, min(time.Duration(count)*perPeer, spreadMost, r.config.Spare-2*etcd.Timeout))}
}

// sight is what was seen of the keys.
type sight struct {
	kvs      []*mvccpb.KeyValue // nil: it was not there
	revision int64              // of etcd at that time, or of the keys when they were put since
	client   *clientv3.Client   // connected to who was asked
}

// look reads the keys, and counts the instance's peers.
func (r *Registry) look(ctx context.Context) (seen sight, err error) {
	var header *etcdserverpb.ResponseHeader
	err = r.etcd.Do(ctx, etcd.Timeout, func(ctx context.Context, client *clientv3.Client) error {
		seen.client = client
		seen.kvs, header, err = r.read(ctx, client, r.records)
		return err
	})
	if err == nil {
		seen.revision = header.Revision
		r.past.see(header, r.standsBy)
	}
	return seen, err
}

// read is look's request. It is safe for concurrent use.
func (r *Registry) read(ctx context.Context, client *clientv3.Client, records record.Records) (kvs []*mvccpb.KeyValue, header *etcdserverpb.ResponseHeader, err error) {
	first := records.Key()
	peers := cmp.Or(r.config.Peers, first[:strings.LastIndex(first, "/")+1])
	if len(peers) < 2 { // that would be all that there is
		peers = first
	}
	ask := []clientv3.Op{clientv3.OpGet(peers, clientv3.WithPrefix(), clientv3.WithCountOnly())}
	for _, record := range records {
		ask = append(ask, clientv3.OpGet(record.Key))
	}
	found, err := client.Txn(ctx).Then(ask...).Commit()
	if err != nil {
		return nil, nil, fmt.Errorf("get key: %w", err)
	}
	r.peers.Store(found.Responses[0].GetResponseRange().Count)
	for _, answer := range found.Responses[1:] {
		var kv *mvccpb.KeyValue
		if there := answer.GetResponseRange().Kvs; len(there) > 0 {
			kv = there[0]
		}
		kvs = append(kvs, kv)
	}
	return kvs, found.Header, nil
}
