package instances

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"dockreg/etcdreg/etcd"
)

// heardOf is what one of the watches has heard.
type heardOf struct {
	prefix int
	clientv3.WatchResponse
}

// watch tells of changes until a watch ends, or etcd doesn't answer.
func (f *follower) watch(ctx context.Context, client *clientv3.Client) error {
	// An etcd that lost its data before the watches listen, in an outage or after it was read,
	// and has as many revisions again, looks the same.
	f.checks, f.differs = mostChecks, nil
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	heard := make(chan heardOf)
	for n, prefix := range f.prefixes {
		watching.Go(func() {
			// RequireLeader: a member that is cut off from the others ends the watch.
			for resp := range client.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithPrefix(), clientv3.WithRev(f.heard[n]+1), clientv3.WithProgressNotify()) {
				select {
				case heard <- heardOf{n, resp}:
				case <-ctx.Done():
					return
				}
			}
			cancel()
		})
	}
	broke := make(chan struct{})
	watching.Go(func() {
		// The client opens a watch again in silence.
		if client.ActiveConnection().WaitForStateChange(ctx, connectivity.Ready) {
			close(broke)
		}
	})
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		select {
		case <-broke:
			if err := f.askNothing(ctx); err != nil {
				return err
			}
			return errAgain
		case h := <-heard:
			if err := h.Err(); err != nil {
				return fmt.Errorf("watch keys: %w", err)
			}
			f.hear(h)
		case <-alive.C:
			if f.checks > 0 {
				if err := f.check(ctx); err != nil {
					return err
				}
				continue
			}
			if err := f.askNothing(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.New("watch keys: it ended")
		case <-client.Ctx().Done():
			return errors.New("watch keys: the connection ended")
		}
	}
}

// askNothing makes sure that etcd answers, on the connection of the watches, which ends if
// it does not, and that it is the same as before.
func (f *follower) askNothing(ctx context.Context) error {
	var header *etcdserverpb.ResponseHeader
	err := f.etcd.Do(ctx, etcd.Timeout, func(ctx context.Context, c *clientv3.Client) error {
		found, err := c.Get(ctx, f.prefixes[0], clientv3.WithCountOnly())
		if err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
		header = found.Header
		return nil
	})
	if err == nil && f.isOther(header) {
		err = errAgain
	}
	return err
}

func (f *follower) hear(h heardOf) {
	if h.IsProgressNotify() {
		f.heard[h.prefix] = h.Header.Revision
	}
	for _, e := range h.Events {
		if e.Type == clientv3.EventTypeDelete {
			f.went(string(e.Kv.Key))
		} else {
			f.came(instanceOf(e.Kv))
		}
		f.heard[h.prefix] = e.Kv.ModRevision
	}
}
