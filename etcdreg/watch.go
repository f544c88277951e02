package etcdreg

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"
)

// watch observes the key until something disturbs it.
type watch struct {
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

// observe watches the key from revision on. The watch ends with the first thing
// that disturbs the key, after telling Disturbed.
func (r *Registry) observe(c *clientv3.Client, key, value string, revision int64) *watch {
	ctx, cancel := context.WithCancelCause(c.Ctx())
	w := &watch{cancel: func() { cancel(nil) }, over: make(chan struct{}), done: make(chan struct{})}
	lease := r.lease
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
		reason := follow(ctx, c, key, value, lease, revision)
		if ctx.Err() != nil {
			reason = context.Cause(ctx)
		}
		close(w.over)
		if !errors.Is(reason, context.Canceled) {
			r.disturbed <- reason // has room: a watch says one thing, and unwatch takes it back
		}
	}()
	return w
}

// follow returns the first reason why the key is not as it was put, or that it
// can't be watched.
func follow(ctx context.Context, c *clientv3.Client, key, value string, lease clientv3.LeaseID, revision int64) error {
	// RequireLeader: a member that is cut off from the others ends the watch. The
	// call itself blocks until etcd has answered, or ctx ends.
	for resp := range c.Watch(clientv3.WithRequireLeader(ctx), key, clientv3.WithRev(revision)) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("watch key: %w", err)
		}
		for _, event := range resp.Events {
			switch {
			case event.Type == clientv3.EventTypeDelete:
				return errors.New("the key was deleted, or its lease expired")
			case clientv3.LeaseID(event.Kv.Lease) != lease || string(event.Kv.Value) != value:
				return errors.New("the key was overwritten")
			}
		}
	}
	return errors.New("watch key: it ended")
}
