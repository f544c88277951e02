package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
)

// sideBySide is how many leases are revoked at a time: etcd writes them down together.
const sideBySide = 64

// mostOfKeys bounds the keys that hang on a lease, in bytes, as they are remembered: an
// instance may have some 100 records. The log shows mostShown bytes of them.
const mostOfKeys, mostShown = 64 << 10, 1 << 10

// mostTold bounds the reasons that are told of one outage: each member has its own.
const mostTold = 20

// retryPauses are between tries to revoke, the last one again and again.
var retryPauses = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second}

var (
	errNoLease  = errors.New("etcd knows no such lease")
	errNoKeys   = errors.New("no key hangs on the lease")
	errManyKeys = errors.New("more keys hang on the lease than a container has, or longer ones")
)

// leases asks etcd about leases, and revokes them.
//
// It has two clients, because a client makes one request at a time: what executes a last
// will is not to wait for those who ask.
type leases struct {
	log     *slog.Logger
	asking  chan Etcd // holds the client for that, unless it is in use
	revoker Etcd
	told    map[string]bool // what the log says of an etcd that is away

	executed func(took time.Duration) // is told of each, for who counts it
}

func newLeases(asking, revoker Etcd, log *slog.Logger) *leases {
	l := &leases{
		log: log, asking: make(chan Etcd, 1), revoker: revoker, told: map[string]bool{},
		executed: func(time.Duration) {},
	}
	l.asking <- asking
	return l
}

// close ends the connections to etcd, once nobody uses them.
func (l *leases) close() {
	(<-l.asking).Close()
	l.revoker.Close()
}

// keys returns what hangs on a lease, and the TTL that it was granted.
func (l *leases) keys(ctx context.Context, lease clientv3.LeaseID) (keys []string, ttl time.Duration, err error) {
	err = l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		keys, ttl, err = attached(ctx, c, lease)
		return err
	})
	switch {
	case err != nil:
		return nil, 0, err
	case ttl == 0:
		return nil, 0, refuse(http.StatusConflict, errNoLease)
	case len(keys) == 0:
		return nil, 0, refuse(http.StatusConflict, errNoKeys)
	case len(strings.Join(keys, "")) > mostOfKeys:
		return nil, 0, refuse(http.StatusForbidden, errManyKeys)
	}
	return keys, ttl, nil
}

// reached makes sure that etcd answers.
func (l *leases) reached(ctx context.Context) error { return l.ask(ctx, lookAtNone) }

func (l *leases) ask(ctx context.Context, request func(context.Context, *clientv3.Client) error) error {
	var err error
	select {
	case client := <-l.asking:
		defer func() { l.asking <- client }()
		err = client.Do(ctx, etcd.Timeout, request)
	case <-ctx.Done():
		err = fmt.Errorf("etcd did not answer in time: %w", ctx.Err())
	}
	if err != nil {
		err = &unansweredError{"etcd", err}
	}
	return err
}

// lookAtNone asks about a lease that is not there.
func lookAtNone(ctx context.Context, c *clientv3.Client) error {
	_, _, err := attached(ctx, c, 1)
	return err
}

// attached is the request behind keys. The TTL of a lease that is gone is 0.
func attached(ctx context.Context, c *clientv3.Client, lease clientv3.LeaseID) (keys []string, ttl time.Duration, err error) {
	found, err := c.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())
	if errors.Is(err, rpctypes.ErrLeaseNotFound) || err == nil && found.TTL < 0 {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("look at lease: %w", err)
	}
	for _, key := range found.Keys {
		keys = append(keys, string(key))
	}
	return keys, time.Duration(found.GrantedTTL) * time.Second, nil
}

// lookEvery is how often an etcd that answers is asked for nothing: a member that is gone is
// to be noticed while nobody waits for it.
const lookEvery = 10 * time.Second

// revokeAll executes what is due, until ctx ends. What etcd does not answer is tried
// again until the lease has lapsed.
func (l *leases) revokeAll(ctx context.Context, due <-chan []*lastWill) {
	var left []*lastWill
	fails := 0 // in a row
	pause := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case more := <-due:
			left = append(left, more...)
		case <-time.After(pause):
		}
		for more := true; more; {
			select {
			case others := <-due:
				left = append(left, others...)
			default:
				more = false
			}
		}
		var err error
		if len(left) > 0 {
			left, err = l.revoke(ctx, left)
		} else {
			err = l.revoker.Do(ctx, etcd.Timeout, lookAtNone)
		}
		if ctx.Err() == nil {
			l.tell(err)
		}
		if pause = lookEvery; err != nil {
			pause = retryPauses[min(fails, len(retryPauses)-1)]
			fails++
		} else {
			fails = 0
		}
	}
}

// tell logs that etcd can't be asked, each reason once, and that it can be again.
func (l *leases) tell(err error) {
	switch {
	case err == nil && len(l.told) > 0:
		l.log.Info("etcd can be asked again")
		clear(l.told)
	case err != nil && !l.told[err.Error()] && len(l.told) < mostTold:
		l.told[err.Error()] = true
		l.log.Warn("can't ask etcd; no last will is taken or executed until it answers", "err", err)
	}
}

// revoke revokes leases, and returns those that it could not, with the reason.
func (l *leases) revoke(ctx context.Context, due []*lastWill) (left []*lastWill, err error) {
	var mu sync.Mutex
	done := map[*lastWill]bool{}
	err = l.revoker.Do(ctx, etcd.Timeout, func(ctx context.Context, c *clientv3.Client) (err error) {
		var running sync.WaitGroup
		turns := make(chan struct{}, sideBySide)
		for _, will := range due {
			running.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				failed := l.revokeOne(ctx, c, will)
				mu.Lock()
				defer mu.Unlock()
				if failed != nil {
					err = failed
				} else {
					done[will] = true
				}
			})
		}
		running.Wait()
		return err
	})
	for _, will := range due {
		switch {
		case done[will]:
		case time.Since(will.ended) > will.ttl:
			l.log.Warn("etcd could not be told in time that the container has ended; the lease has lapsed", "keys", shown(will.keys), "container", short(will.container), "err", err)
		default:
			left = append(left, will)
		}
	}
	return left, err
}

// revokeOne revokes the lease, unless there is on it what is not the container's. What a newer instance has taken over hangs on another one.
func (l *leases) revokeOne(ctx context.Context, c *clientv3.Client, will *lastWill) error {
	keys, ttl, err := attached(ctx, c, will.lease)
	if err != nil {
		return err
	}
	if ttl == 0 {
		l.log.Debug("the container has ended; its lease was gone", "keys", shown(will.keys), "container", short(will.container))
		return nil
	}
	for _, key := range keys {
		if will.isForeign(key) {
			l.log.Warn("the container has ended; its last will is not executed", "err", errForeign, "key", key[:min(len(key), mostShown)], "container", short(will.container))
			return nil
		}
	}
	if _, err := c.Revoke(ctx, will.lease); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("revoke lease: %w", err)
	}
	l.executed(time.Since(will.ended))
	l.log.Info("the container has ended; its keys are gone", "keys", shown(keys), "container", short(will.container), "took", time.Since(will.ended).Round(100*time.Microsecond))
	return nil
}

// shown is what the log shows of keys.
func shown(keys []string) []string {
	length := 0
	for i, key := range keys {
		if length += len(key); length > mostShown {
			return append(slices.Clone(keys[:i]), fmt.Sprintf("and %d more", len(keys)-i))
		}
	}
	return keys
}

// short is a container's id as docker ps shows it.
func short(id string) string { return id[:min(12, len(id))] }
