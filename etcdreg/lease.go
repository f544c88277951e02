package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
)

// remembered is how many leases of its own a Registry knows again: an etcd restored
// from a snapshot may have the key on an earlier one.
const remembered = 100

// leases are a Registry's: the one that its record hangs on, and those before it.
type leases struct {
	etcd   Etcd
	config Config

	current clientv3.LeaseID   // 0: none
	granted bool               // etcd said that it granted current
	longer  bool               // the log says that etcd grants more than was asked for
	own     []clientv3.LeaseID // the latest that were ours, current among them
	limbo   []clientv3.LeaseID // of own, to be revoked: never renewed or used again
}

// grant makes sure that there is a lease. Its id is chosen here, so that one whose
// granting got no answer is used by the next try, and doesn't pile up.
func (l *leases) grant(ctx context.Context) error {
	if l.granted {
		return nil
	}
	asked := l.current != 0
	if !asked {
		l.current = clientv3.LeaseID(rand.Int64N(1<<62) + 1)
		l.own = append(l.own[max(0, len(l.own)-remembered):], l.current)
	}
	renew := false
	err := l.etcd.Do(ctx, etcd.Timeout, func(ctx context.Context, client *clientv3.Client) error {
		granted, err := clientv3.RetryLeaseClient(client).LeaseGrant(ctx, &etcdserverpb.LeaseGrantRequest{
			ID: int64(l.current), TTL: int64(l.config.TTL / time.Second),
		})
		l.compare(time.Duration(granted.GetTTL()) * time.Second)
		err = clientv3.ContextError(ctx, err)
		if renew = asked && errors.Is(err, rpctypes.ErrLeaseExist); renew || err == nil {
			return nil
		}
		return fmt.Errorf("grant lease: %w", err)
	})
	if err != nil {
		if errors.Is(err, rpctypes.ErrLeaseExist) {
			l.current = 0 // somebody else's, at odds of 1 in 2^62
		}
		return err
	}
	l.granted = true
	if renew {
		return l.renew(ctx)
	}
	return nil
}

// compare tells, once, that etcd has granted more than it was asked for.
func (l *leases) compare(granted time.Duration) {
	if granted > l.config.TTL && !l.longer {
		l.longer = true
		l.config.Log.Warn("etcd grants a longer TTL than it was asked for: the key outlives a killed dockreg by that", "asked", l.config.TTL, "granted", granted)
	}
}

// renew gives the lease its full TTL again, if there is one.
func (l *leases) renew(ctx context.Context) error {
	if !l.granted {
		return nil
	}
	there, err := l.etcd.Renew(ctx, etcd.Timeout, l.current)
	if err == nil && !there {
		return l.lose()
	}
	return err
}

// lose forgets a lease that is gone.
func (l *leases) lose() error {
	l.current, l.granted = 0, false
	return errGone
}
