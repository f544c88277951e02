package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// willPath is where wills are told, with the lease behind it in hexadecimal digits.
const willPath = "/dockreg/will/"

const (
	// closeTimeout bounds how long an end waits for a withdrawal.
	closeTimeout = 300 * time.Millisecond
	// notYetPause is after a service said that it takes none: it may be given an etcd.
	notYetPause = 10 * time.Second
	// leastPause is after the first failure. It doubles with each one, up to mostPause.
	leastPause, mostPause = 100 * time.Millisecond, 5 * time.Second
)

// ErrNone says that what is at the socket takes no wills.
var ErrNone = errors.New("takes no last wills")

// errNotYet says that it is a host's service, which was given no etcd.
var errNotYet = fmt.Errorf("%w, without an etcd", ErrNone)

// Will is one container's last will: the lease to be revoked when the container has ended,
// which nothing inside could do then. It is told, and withdrawn, in the background: nobody
// waits for it.
//
// It is told with PUT /dockreg/will/<lease>. The answer goes on for as long as the service
// does, so that its end shows when the will is to be told anew. DELETE withdraws it, and GET
// /dockreg/will/for/<ip>:<port> asks whether it would be taken.
type Will struct {
	client *http.Client
	log    *slog.Logger
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	lease   int64         // to be told; 0: none
	changed chan struct{} // closed when lease, or closing, changes
	closing bool
}

// NewWill returns a Will that is empty. socket is a path.
func NewWill(socket string, log *slog.Logger) *Will {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Will{client: clientOf(socket), log: log, cancel: cancel, ended: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		defer close(w.ended)
		w.keep(ctx)
	}()
	return w
}

// Make makes lease the will, in the place of an earlier one.
func (w *Will) Make(lease int64) { w.set(lease, false) }

// Withdraw is for a lease that has been revoked.
func (w *Will) Withdraw() { w.set(0, false) }

// Close ends the telling. The will stays with the service, unless it was withdrawn; it
// waits for that for a moment.
func (w *Will) Close() {
	w.mu.Lock()
	lease := w.lease
	w.mu.Unlock()
	w.set(lease, true)
	select {
	case <-w.ended:
	case <-time.After(closeTimeout):
	}
	w.cancel()
	<-w.ended
}

func (w *Will) set(lease int64, closing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lease != lease || w.closing != closing {
		w.lease, w.closing = lease, closing
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

func (w *Will) wanted() (lease int64, closing bool, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lease, w.closing, w.changed
}

// keep brings the service to where the will is as it is wanted.
func (w *Will) keep(ctx context.Context) {
	defer w.client.CloseIdleConnections()
	var (
		told  int64 // that the service has
		pause time.Duration
		j     journal
	)
	j.log = w.log
	for {
		lease, closing, changed := w.wanted()
		wait := time.Duration(-1)
		switch {
		case told != 0 && told != lease:
			w.withdraw(ctx, told)
			told = 0
			continue
		case closing || ctx.Err() != nil:
			return
		case lease != 0:
			err := w.tell(ctx, lease, changed, func() {
				told, pause = lease, 0
				j.told(lease)
			})
			if err == nil {
				continue // something else is wanted
			}
			j.failed(err)
			pause = min(max(2*pause, leastPause), mostPause)
			wait = pause/2 + rand.N(pause/2)
			if errors.Is(err, errNotYet) {
				wait = notYetPause
			} else if errors.Is(err, ErrNone) {
				wait = elsewherePause
			}
		}
		var again <-chan time.Time
		if wait >= 0 {
			again = time.After(wait)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// tell tells the will. It returns nil when something else is wanted, and else an error,
// at the latest when the service ends.
func (w *Will) tell(ctx context.Context, lease int64, changed <-chan struct{}, taken func()) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	heard := make(chan struct{})
	go func() {
		ended <- func() error {
			answer, err := ask(ctx, w.client, http.MethodPut, willPath+inHex(lease), nil)
			if err != nil {
				return ofWills(err)
			}
			defer func() { _ = answer.Body.Close() }()
			close(heard)
			_, _ = io.Copy(io.Discard, answer.Body) // there is nothing in it but its end
			return errGone
		}()
	}()
	defer func() { cancel(); <-ended }()
	for {
		select {
		case <-heard:
			taken()
			heard = nil
		case err := <-ended:
			ended <- nil
			return err
		case <-changed:
			return nil
		}
	}
}

func (w *Will) withdraw(ctx context.Context, lease int64) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := ask(ctx, w.client, http.MethodDelete, willPath+inHex(lease), nil)
	if err == nil {
		_ = answer.Body.Close()
	}
	// Else the service has one that does nothing: the lease is gone.
	w.log.Debug("withdrew the last will", "lease", inHex(lease), "err", err)
}

// TakesWill asks at a socket whether a will for what is registered at that address would be
// taken. The error, which may be ErrNone, is why not.
func TakesWill(ctx context.Context, socket string, address netip.AddrPort) error {
	client := clientOf(socket)
	defer client.CloseIdleConnections()
	answer, err := ask(ctx, client, http.MethodGet, willPath+"for/"+address.String(), nil)
	if err == nil {
		_ = answer.Body.Close()
	}
	return ofWills(err)
}

// ofWills is what an error means for a will that is to be told.
func ofWills(err error) error {
	refused := (*refusedError)(nil)
	switch {
	case errors.Is(err, errOther):
		return ErrNone
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		return errNotYet
	}
	return err
}

// inHex is how leases are written, here and in logs.
func inHex(lease int64) string { return strconv.FormatInt(lease, 16) }
