package testbed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Keys follows all keys below a prefix, as a consumer does.
type Keys struct {
	mu      sync.Mutex
	present map[string]Key
	history []Event
	turn    int           // of Pick
	changed chan struct{} // closed and replaced at each change
}

// Key is one registered key.
type Key struct {
	Record string
	Lease  clientv3.LeaseID
}

// Event is a key that came or went, and when this process heard of it.
type Event struct {
	Key  string
	Gone bool
	At   time.Time
}

// FollowKeys follows the keys below prefix until ctx ends, from what the cluster has now: a
// member that is behind, because it was away, would tell of what was before.
func FollowKeys(ctx context.Context, c *clientv3.Client, prefix string) *Keys {
	k := &Keys{present: map[string]Key{}, changed: make(chan struct{})}
	options := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithCreatedNotify()}
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if found, err := c.Get(asking, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly()); err == nil {
		options = append(options, clientv3.WithRev(found.Header.Revision+1))
	}
	events := c.Watch(ctx, prefix, options...)
	<-events // from here on nothing is missed
	go func() {
		for resp := range events {
			for _, e := range resp.Events {
				k.take(e)
			}
		}
	}()
	return k
}

func (k *Keys) take(e *clientv3.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := string(e.Kv.Key)
	gone := e.Type == clientv3.EventTypeDelete
	if gone {
		delete(k.present, name)
	} else {
		k.present[name] = Key{string(e.Kv.Value), clientv3.LeaseID(e.Kv.Lease)}
	}
	k.history = append(k.history, Event{name, gone, time.Now()})
	close(k.changed)
	k.changed = make(chan struct{})
}

// Await waits until key was put, or was deleted if gone, after since. It returns
// that event, or an error once ctx has ended.
func (k *Keys) Await(ctx context.Context, key string, gone bool, since time.Time) (Event, error) {
	for {
		k.mu.Lock()
		changed := k.changed
		for _, e := range k.history {
			if e.Key == key && e.Gone == gone && e.At.After(since) {
				k.mu.Unlock()
				return e, nil
			}
		}
		k.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("key %s was not %s in time; all that happened: %v", key, verb(gone), k.History())
		}
	}
}

func verb(gone bool) string {
	if gone {
		return "deleted"
	}
	return "put"
}

// AwaitPresent waits until exactly n keys are there.
func (k *Keys) AwaitPresent(ctx context.Context, n int) error {
	for {
		k.mu.Lock()
		there, changed := len(k.present), k.changed
		k.mu.Unlock()
		if there == n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d keys, want %d; all that happened: %v", there, n, k.History())
		}
	}
}

// Get returns the key, and whether it is there.
func (k *Keys) Get(key string) (Key, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, ok := k.present[key]
	return found, ok
}

// History returns all that has happened so far.
func (k *Keys) History() []Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]Event(nil), k.history...)
}

// Pick returns the address of one of the keys, each in turn, as a client does that
// balances by them.
func (k *Keys) Pick() (address string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.present) == 0 {
		return "", errors.New("no key is there")
	}
	names := slices.Sorted(maps.Keys(k.present))
	k.turn++
	name := names[k.turn%len(names)]
	return name[strings.LastIndex(name, "/")+1:], nil
}
