package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/record"
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
	waiting   int           // connections on which sidekicks wait to hear of the end of this service
	withdrawn chan struct{} // closed
}

// isForeign says whether a key on the lease may be another container's. One that was missing
// when the will was told, and was put back since, has the addresses of those that were there;
// a key that names none stands for itself, as it did then.
func (w *lastWill) isForeign(key string) bool {
	var own []netip.AddrPort
	for _, known := range w.keys {
		if known == key {
			return false
		}
		own = append(own, record.AddressesIn(known)...)
	}
	return slices.ContainsFunc(record.AddressesIn(key), func(at netip.AddrPort) bool { return !slices.Contains(own, at) })
}

// willsOf is what a container has to leave.
type willsOf struct {
	first *firstProcess
	wills []*lastWill // oldest first
}

// place returns the place of a lease's will, or -1.
func (of *willsOf) place(lease clientv3.LeaseID) int {
	return slices.IndexFunc(of.wills, func(will *lastWill) bool { return will.lease == lease })
}

// wills are those of all containers.
type wills struct {
	log    *slog.Logger
	leases *leases
	fresh  chan *willsOf    // to be waited for
	due    chan []*lastWill // of a container that has ended

	mu   sync.Mutex
	kept map[string]*willsOf // by container
}

func newWills(check, execute Etcd, log *slog.Logger) *wills {
	return &wills{
		log:    log,
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
		case of := <-w.fresh:
			running.Go(func() { w.await(ctx, of) })
		}
	}
}

// await hands a container's wills on when it has ended.
func (w *wills) await(ctx context.Context, of *willsOf) {
	defer of.first.process.Close()
	err := of.first.process.Await(ctx)
	if err != nil && ctx.Err() != nil {
		return // this service ends
	}
	ended := time.Now()
	w.mu.Lock()
	left := of.wills
	delete(w.kept, of.first.container)
	for _, will := range left {
		will.ended = ended
		if err != nil {
			close(will.withdrawn) // its sidekick tells it anew
		}
	}
	w.mu.Unlock()
	switch {
	case err != nil:
		w.log.Warn("can't wait for the end of a container; its last wills are to be told again", "err", err, "container", short(of.first.container))
		return
	case len(left) == 0:
		return
	}
	select {
	case w.due <- left:
	case <-ctx.Done():
	}
}

// take takes a will, or takes it again. The caller ends its waiting with leave.
func (w *wills) take(ctx context.Context, hold func() (*firstProcess, error), will *lastWill) (*lastWill, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.kept[will.container]
	if of != nil && of.first.process.Ended() {
		return nil, errEnding // it may run again already, and what it had to leave is not due yet
	}
	if of == nil {
		held, err := hold()
		if err != nil {
			return nil, err
		}
		of = &willsOf{first: held}
		select {
		case w.fresh <- of:
		case <-ctx.Done():
			held.process.Close()
			return nil, ctx.Err()
		}
		w.kept[will.container] = of
	}
	if i := of.place(will.lease); i >= 0 {
		known := of.wills[i]
		known.keys, known.ttl = will.keys, will.ttl
		will = known
	} else {
		if len(of.wills) >= mostWills {
			i := slices.IndexFunc(of.wills, func(former *lastWill) bool { return former.waiting == 0 })
			if i < 0 {
				return nil, refuse(http.StatusTooManyRequests, errManyWills)
			}
			of.wills = slices.Delete(of.wills, i, i+1) // a sidekick was killed: it has another lease by now
		}
		of.wills = append(of.wills, will)
	}
	will.waiting++
	return will, nil
}

// leave is the end of a sidekick's waiting, or of the sidekick. Its will stays.
func (w *wills) leave(will *lastWill) {
	w.mu.Lock()
	defer w.mu.Unlock()
	will.waiting--
}

// withdraw forgets a will.
func (w *wills) withdraw(container string, lease clientv3.LeaseID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if of := w.kept[container]; of != nil {
		if i := of.place(lease); i >= 0 {
			close(of.wills[i].withdrawn)
			of.wills = slices.Delete(of.wills, i, i+1)
			return nil
		}
	}
	return refuse(http.StatusNotFound, fmt.Errorf("%w: lease %x", errNoWill, lease))
}
