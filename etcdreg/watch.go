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
	done   chan struct{} // closed once it has ended
}

func (w *watch) alive() bool {
	if w == nil {
		return false
	}
	select {
	case <-w.done:
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

// observe watches the key from revision on. The watch ends with the first thing
// that disturbs the key, after telling Disturbed.
func (r *Registry) observe(c *clientv3.Client, key, value string, revision int64) *watch {
	ctx, cancel := context.WithCancel(c.Ctx())
	w := &watch{cancel: cancel, done: make(chan struct{})}
	lease := r.lease
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		// The client re-opens a watch in silence, and an etcd that came back with
		// no data would say nothing about the key: a break is a reason to look.
		c.ActiveConnection().WaitForStateChange(ctx, connectivity.Ready)
	}()
	go func() {
		defer close(w.done)
		defer func() { <-broken }()
		defer cancel()
		// RequireLeader: a member cut off from the others ends the watch.
		events := c.Watch(clientv3.WithRequireLeader(ctx), key, clientv3.WithRev(revision))
		for {
			var err error
			select {
			case <-ctx.Done():
				return
			case <-broken:
				err = errors.New("the connection to etcd broke")
			case resp, ok := <-events:
				err = disturbance(resp, ok, lease, value)
			}
			if err == nil {
				continue
			}
			if ctx.Err() == nil {
				r.disturbed <- err // has room: each watch says one thing, and unwatch takes it back
			}
			return
		}
	}()
	return w
}

// disturbance says what in resp means that the key is not as it was put.
func disturbance(resp clientv3.WatchResponse, ok bool, lease clientv3.LeaseID, value string) error {
	switch {
	case resp.Err() != nil:
		return fmt.Errorf("watch key: %w", resp.Err())
	case !ok:
		return errors.New("watch key: it ended")
	}
	for _, event := range resp.Events {
		switch {
		case event.Type == clientv3.EventTypeDelete:
			return errors.New("the key was deleted, or its lease expired")
		case clientv3.LeaseID(event.Kv.Lease) != lease || string(event.Kv.Value) != value:
			return errors.New("the key was overwritten")
		}
	}
	return nil
}
