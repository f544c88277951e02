package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
)

// watch observes the records until something disturbs one.
type watch struct {
	ended  <-chan struct{} // closed once it hears nothing any more: the client is closed, perhaps
	cancel context.CancelFunc
	over   chan struct{} // closed before the disturbance is told
	done   chan struct{} // closed once it has ended
}

func (w *watch) alive() bool {
	if w == nil {
		return false
	}
	select {
	case <-w.over:
		return false
	case <-w.ended:
		return false
	default:
		return true
	}
}

// unwatch ends the watch, if there is one, and takes back what it may have said.
func (r *Registry) unwatch() {
	if r.watch == nil {
		return
	}
	r.watch.cancel()
	<-r.watch.done
	r.watch = nil
	select {
	case <-r.disturbed:
	default:
	}
}

var errBroke = errors.New("the connection to etcd broke")

// observe watches the records from revision on. The watch ends with the first thing
// that disturbs one, after telling Disturbed.
func (r *Registry) observe(c *clientv3.Client, h holding, revision int64) *watch {
	ctx, cancel := context.WithCancelCause(c.Ctx())
	w := &watch{ended: ctx.Done(), cancel: func() { cancel(nil) }, over: make(chan struct{}), done: make(chan struct{})}
	connection := make(chan struct{})
	go func() {
		defer close(connection)
		// The client re-opens a watch in silence, and an etcd that came back with
		// no data would say nothing about the key: a break is a reason to look.
		if c.ActiveConnection().WaitForStateChange(ctx, connectivity.Ready) {
			cancel(errBroke)
		}
	}()
	go func() {
		defer close(w.done)
		defer func() { <-connection }()
		defer cancel(nil)
		reason := h.follow(ctx, c, revision)
		if ctx.Err() != nil {
			reason = r.spread(context.Cause(ctx))
		}
		close(w.over)
		if !errors.Is(reason, context.Canceled) {
			r.disturbed <- reason // has room: a watch says one thing, and unwatch takes it back
		}
	}()
	return w
}

// auditEvery is how often the watched keys are read all the same: every 25 s with a TTL of
// 20 s. A watch that tells nothing any more looks like one that has nothing to tell. It
// counts the peers anew, too.
func auditEvery(ttl time.Duration) time.Duration {
	const most = 24 * time.Hour // with the longest TTL that etcd takes the sum is more than a duration holds
	return min(ttl, most) + min(ttl, most)/4
}

var (
	errDeleted     = errors.New("the key was deleted, or its lease expired")
	errOverwritten = errors.New("the key was overwritten")
)

// holding is the records as they were put.
type holding struct {
	read    func(context.Context, *clientv3.Client, record.Records) ([]*mvccpb.KeyValue, *etcdserverpb.ResponseHeader, error)
	records record.Records
	lease   clientv3.LeaseID
	every   time.Duration // between audits
	within  time.Duration // the deadline of one
}

// held is the records as put writes them.
func (r *Registry) held() holding {
	return holding{r.read, r.records, r.leases.current, auditEvery(r.config.TTL), r.etcd.Within(etcd.Timeout)}
}

// follow returns the first reason why the records are not as they were put, or that one
// can't be watched.
func (h holding) follow(ctx context.Context, c *clientv3.Client, revision int64) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	reasons := make(chan error, len(h.records))
	for _, record := range h.records { // one stream carries them all
		watching.Go(func() { reasons <- h.hear(ctx, c, record, revision) })
	}
	audit := time.NewTicker(h.every)
	defer audit.Stop()
	for {
		select {
		case reason := <-reasons:
			return reason
		case <-audit.C:
			if err := h.audit(ctx, c); err != nil {
				return fmt.Errorf("audit: %w", err)
			}
		}
	}
}

// hear returns the first reason why one record is not as it was put, or can't be watched.
func (h holding) hear(ctx context.Context, c *clientv3.Client, record record.Record, revision int64) error {
	// RequireLeader: a member that is cut off from the others ends the watch. The
	// call itself blocks until etcd has answered, or ctx ends.
	for resp := range c.Watch(clientv3.WithRequireLeader(ctx), record.Key, clientv3.WithRev(revision)) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("watch key: %w", err)
		}
		for _, event := range resp.Events {
			kv := event.Kv
			if event.Type == clientv3.EventTypeDelete {
				kv = nil
			}
			if err := h.checkOne(record, kv); err != nil {
				return err
			}
		}
	}
	return errors.New("watch key: it ended")
}

func (h holding) audit(ctx context.Context, c *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, h.within)
	defer cancel()
	kvs, _, err := h.read(ctx, c, h.records)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // the renewals tell whether etcd is there
	}
	if err != nil {
		return err
	}
	return h.check(kvs)
}

// check returns why what etcd has, nil where it has nothing, is not as it was put.
func (h holding) check(kvs []*mvccpb.KeyValue) error {
	for i, record := range h.records {
		if err := h.checkOne(record, kvs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (h holding) checkOne(record record.Record, kv *mvccpb.KeyValue) error {
	switch {
	case kv == nil:
		return errDeleted
	case clientv3.LeaseID(kv.Lease) != h.lease || string(kv.Value) != record.Value:
		return errOverwritten
	}
	return nil
}
