package instances

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dockreg/etcdreg/etcd"
)

// Etcd makes requests: *etcd.Client.
type Etcd interface {
	// Do makes a request of a member, once; after an error the next one goes to the next
	// member.
	Do(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) error
	// Ask is Do of one member after the other, until one answers.
	Ask(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) error
}

const (
	// page is how many keys are read at once, and less where values are so long that the
	// answer is late, or more than a client takes.
	page = 1000
	// leasesAtOnce is how many leases are asked about at a time.
	leasesAtOnce = 500
)

// List reads the keys that begin with one of the prefixes, all of them at one revision.
func List(ctx context.Context, e Etcd, prefixes []string) (l Listing, err error) {
	for _, prefix := range prefixes {
		end, limit := clientv3.GetPrefixRangeEnd(prefix), int64(page)
		for from, more := prefix, true; more; {
			var found *clientv3.GetResponse
			var failed error
			err := e.Ask(ctx, etcd.Timeout, func(ctx context.Context, c *clientv3.Client) error {
				found, failed = c.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(limit), clientv3.WithRev(l.Revision))
				if failed != nil {
					return fmt.Errorf("read keys: %w", failed)
				}
				return nil
			})
			tooMuch := errors.Is(failed, context.DeadlineExceeded) || status.Code(failed) == codes.ResourceExhausted
			if err != nil && tooMuch && limit > 1 && ctx.Err() == nil {
				limit /= 10
				continue
			}
			if err != nil {
				return Listing{}, err
			}
			if l.Revision == 0 {
				l.Revision, l.Cluster = found.Header.Revision, found.Header.ClusterId
			}
			for _, kv := range found.Kvs {
				l.Instances = append(l.Instances, instanceOf(kv))
				from = string(kv.Key) + "\x00"
			}
			more = found.More
		}
	}
	l.Sort()
	return l, nil
}

// Sort puts the instances into the order in which their keys came.
func (l *Listing) Sort() {
	slices.SortFunc(l.Instances, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.Key, b.Key))
	})
}

// LeftOf asks what is left of the leases of instances.
func LeftOf(ctx context.Context, e Etcd, all []Instance) (Left, error) {
	var leases []clientv3.LeaseID
	for _, i := range all {
		if i.Lease != 0 {
			leases = append(leases, i.Lease)
		}
	}
	slices.Sort(leases)
	left := Left{}
	for some := range slices.Chunk(slices.Compact(leases), leasesAtOnce) {
		err := e.Ask(ctx, etcd.Timeout, func(ctx context.Context, c *clientv3.Client) error {
			found := make([]time.Duration, len(some))
			var asking errgroup.Group
			for n, lease := range some {
				asking.Go(func() error {
					answer, err := c.TimeToLive(ctx, lease)
					if err != nil {
						return fmt.Errorf("look at lease: %w", err)
					}
					found[n] = time.Duration(answer.TTL) * time.Second
					return nil
				})
			}
			if err := asking.Wait(); err != nil {
				return err
			}
			for n, lease := range some {
				if found[n] > 0 { // or it has ended meanwhile
					left[lease] = found[n]
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return left, nil
}
