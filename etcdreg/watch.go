package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"dockreg/etcdreg/etcd"
	"dockreg/sidekick"
)

// watch observes the key until something disturbs it.
type watch struct {
	ended  <-chan struct{} // closed once it hears nothing any more: the client is closed, perhaps
	cancel context.CancelFunc
	over   chan struct{} // closed before the key's disturbance is told
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

// observe watches the record from revision on. The watch ends with the first thing
// that disturbs the key, after telling Disturbed.
func (r *Registry) observe(c *clientv3.Client, revision int64) *watch {
	ctx, cancel := context.WithCancelCause(c.Ctx())
	w := &watch{ended: ctx.Done(), cancel: func() { cancel(nil) }, over: make(chan struct{}), done: make(chan struct{})}
	h := holding{r.read, r.record, r.leases.current, auditEvery(r.config.TTL), r.etcd.Within(etcd.Timeout)}
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

// auditEvery is how often the watched key is read all the same: every 25 s with a TTL of
// 20 s. A watch that tells nothing any more looks like one that has nothing to tell. It
// counts the peers anew, too.
func auditEvery(ttl time.Duration) time.Duration { return ttl + ttl/4 }

var (
	errDeleted     = errors.New("the key was deleted, or its lease expired")
	errOverwritten = errors.New("the key was overwritten")
)

// holding is the key as it was put.
type holding struct {
	read   func(context.Context, *clientv3.Client, string) (*mvccpb.KeyValue, *etcdserverpb.ResponseHeader, error)
	record sidekick.Record
	lease  clientv3.LeaseID
	every  time.Duration // between audits
	within time.Duration // the deadline of one
}

// follow returns the first reason why the key is not as it was put, or that it
// can't be watched.
func (h holding) follow(ctx context.Context, c *clientv3.Client, revision int64) error {
	// RequireLeader: a member that is cut off from the others ends the watch. The
	// call itself blocks until etcd has answered, or ctx ends.
	ctx, cancel := context.WithCancel(ctx)
	opened, ended := make(chan clientv3.WatchChan, 1), make(chan struct{})
	defer func() { <-ended }()
	defer cancel()
	go func() {
		defer close(ended)
		opened <- c.Watch(clientv3.WithRequireLeader(ctx), h.record.Key, clientv3.WithRev(revision))
	}()
	var events clientv3.WatchChan
	audit := time.NewTicker(h.every)
	defer audit.Stop()
	for {
		select {
		case events = <-opened:
		case resp, open := <-events:
			if !open {
				return errors.New("watch key: it ended")
			}
			if err := resp.Err(); err != nil {
				return fmt.Errorf("watch key: %w", err)
			}
			for _, event := range resp.Events {
				if err := h.check(event.Type == clientv3.EventTypeDelete, event.Kv); err != nil {
					return err
				}
			}
		case <-audit.C:
			if err := h.audit(ctx, c); err != nil {
				return fmt.Errorf("audit: %w", err)
			}
		}
	}
}

func (h holding) audit(ctx context.Context, c *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, h.within)
	defer cancel()
	kv, _, err := h.read(ctx, c, h.record.Key)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // the renewals tell whether etcd is there
	}
	if err != nil {
		return err
	}
	return h.check(kv == nil, kv)
}

func (h holding) check(deleted bool, kv *mvccpb.KeyValue) error {
	switch {
	case deleted:
		return errDeleted
	case clientv3.LeaseID(kv.Lease) != h.lease || string(kv.Value) != h.record.Value:
		return errOverwritten
	}
	return nil
}
