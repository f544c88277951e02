package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Etcd makes requests, one at a time: *etcd.Client.
type Etcd interface {
	// Do makes a request of a member, once; after an error the next one goes to the next
	// member.
	Do(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) error
	Close()
}

// mostWills is how many wills of one container are kept. Each app that it registers has
// one, and a sidekick that was killed leaves one behind.
const mostWills = 16

var (
	errManyWills = errors.New("too many last wills of this container")
	errEnding    = errors.New("the container has just ended; ask again")
	errNoWill    = errors.New("no such last will of this container")
)

// lastWill is a lease to be revoked when its container has ended.
type lastWill struct {
	container string
	lease     clientv3.LeaseID
	keys      []string // of the container's own address, that hung on the lease
	ttl       time.Duration
	ended     time.Time     // of the container
	sidekicks int           // how many wait to hear of the end of this service
	withdrawn chan struct{} // closed
}

// willsOf is what a container has to leave.
type willsOf struct {
	first *first
	wills []*lastWill // oldest first
}

// of returns the place of a lease's will, or -1.
func (e *willsOf) of(lease clientv3.LeaseID) int {
	return slices.IndexFunc(e.wills, func(t *lastWill) bool { return t.lease == lease })
}

// wills are those of all containers.
type wills struct {
	leases *leases
	fresh  chan *willsOf    // to be waited for
	due    chan []*lastWill // of a container that has ended

	mu   sync.Mutex
	kept map[string]*willsOf // by container
}

func newWills(check, execute Etcd, log *slog.Logger) *wills {
	return &wills{
		leases: newLeases(check, execute, log),
		fresh:  make(chan *willsOf), due: make(chan []*lastWill), kept: map[string]*willsOf{},
	}
}

// run waits for containers to end, and executes their wills, until ctx ends.
func (w *wills) run(ctx context.Context) {
	defer w.leases.close()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { w.leases.revokeAll(ctx, w.due) })
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.fresh:
			running.Go(func() { w.await(ctx, e) })
		}
	}
}

// await hands a container's wills on when it has ended.
func (w *wills) await(ctx context.Context, e *willsOf) {
	defer e.first.process.Close()
	if err := e.first.process.Await(ctx); err != nil {
		return // this service ends
	}
	ended := time.Now()
	w.mu.Lock()
	left := e.wills
	delete(w.kept, e.first.container)
	for _, t := range left {
		t.ended = ended
	}
	w.mu.Unlock()
	if len(left) == 0 {
		return
	}
	select {
	case w.due <- left:
	case <-ctx.Done():
	}
}

// take takes a will, or takes it again. The caller ends its waiting with leave.
func (w *wills) take(ctx context.Context, hold func() (*first, error), t *lastWill) (*lastWill, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.kept[t.container]
	if e != nil && e.first.process.Ended() {
		return nil, errEnding // it may run again already, and what it had to leave is not due yet
	}
	if e == nil {
		held, err := hold()
		if err != nil {
			return nil, err
		}
		e = &willsOf{first: held}
		select {
		case w.fresh <- e:
		case <-ctx.Done():
			held.process.Close()
			return nil, ctx.Err()
		}
		w.kept[t.container] = e
	}
	if i := e.of(t.lease); i >= 0 {
		known := e.wills[i]
		known.keys, known.ttl = t.keys, t.ttl
		t = known
	} else {
		if len(e.wills) >= mostWills {
			i := slices.IndexFunc(e.wills, func(o *lastWill) bool { return o.sidekicks == 0 })
			if i < 0 {
				return nil, refuse(http.StatusTooManyRequests, errManyWills)
			}
			e.wills = slices.Delete(e.wills, i, i+1) // a sidekick was killed: it has another lease by now
		}
		e.wills = append(e.wills, t)
	}
	t.sidekicks++
	return t, nil
}

// leave is the end of a sidekick's waiting, or of the sidekick. Its will stays.
func (w *wills) leave(t *lastWill) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.sidekicks--
}

// withdraw forgets a will.
func (w *wills) withdraw(container string, lease clientv3.LeaseID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.kept[container]; e != nil {
		if i := e.of(lease); i >= 0 {
			close(e.wills[i].withdrawn)
			e.wills = slices.Delete(e.wills, i, i+1)
			return nil
		}
	}
	return refuse(http.StatusNotFound, fmt.Errorf("%w: lease %x", errNoWill, lease))
}
