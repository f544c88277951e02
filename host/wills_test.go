package host

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/probe/pidfd"
)

// awayEtcd answers nothing. It stands in for what takes half a minute with a real one; those
// are in the e2e tests.
type awayEtcd struct {
	asked atomic.Int64
	back  atomic.Bool
}

func (e *awayEtcd) Do(ctx context.Context, within time.Duration, _ func(context.Context, *clientv3.Client) error) error {
	e.asked.Add(1)
	if e.back.Load() {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(within):
		return errors.New("etcd is away")
	}
}

func (e *awayEtcd) Close() {}

func newTestWills() *wills {
	return newWills(&awayEtcd{}, &awayEtcd{}, slog.New(slog.DiscardHandler))
}

// holding is how take takes hold of a process.
func holding(pid int) func() (*firstProcess, error) {
	return func() (*firstProcess, error) {
		process, err := pidfd.Hold(pid)
		return &firstProcess{container: ownID, pid: pid, process: process}, err
	}
}

func willFor(lease clientv3.LeaseID) *lastWill {
	return &lastWill{container: ownID, lease: lease, keys: []string{"/service/10.1.0.101:1"}, withdrawn: make(chan struct{})}
}

// P11: when the container's first process ends, what it had to leave is due, and what was
// withdrawn is not.
func TestP11DueAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newTestWills()
	pid, end := start(t)
	go func() { w.await(t.Context(), <-w.fresh) }()
	for lease := range clientv3.LeaseID(3) {
		if _, err := w.take(t.Context(), holding(pid), willFor(lease+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.withdraw(ownID, 2); err != nil {
		t.Fatal(err)
	}
	if err := w.withdraw(ownID, 2); !errors.Is(err, errNoWill) {
		t.Errorf("withdrawn twice: %v", err)
	}
	if err := w.withdraw(otherID, 1); !errors.Is(err, errNoWill) {
		t.Errorf("of another container: %v", err)
	}
	select {
	case left := <-w.due:
		t.Fatalf("due before the end: %v", left)
	default:
	}
	end()
	select {
	case left := <-w.due:
		if len(left) != 2 || left[0].lease != 1 || left[1].lease != 3 || left[0].ended.IsZero() {
			t.Errorf("due: %v", left)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is due")
	}
	if _, err := w.take(t.Context(), func() (*firstProcess, error) { return nil, errNoContainer }, willFor(4)); !errors.Is(err, errNoContainer) {
		t.Errorf("after the end: %v", err)
	}
}

// What a container tells that runs again is not mixed up with what it had to leave before.
func TestWillsOfAContainerThatRunsAgain(t *testing.T) {
	t.Parallel()
	w := newTestWills()
	before, end := start(t)
	fresh := make(chan *willsOf, 1)
	go func() { fresh <- <-w.fresh }()
	if _, err := w.take(t.Context(), holding(before), willFor(1)); err != nil {
		t.Fatal(err)
	}
	end()
	again, _ := start(t)
	if _, err := w.take(t.Context(), holding(again), willFor(2)); !errors.Is(err, errEnding) {
		t.Errorf("before the first ones are due: %v", err)
	}
	go w.await(t.Context(), <-fresh)
	if left := <-w.due; len(left) != 1 || left[0].lease != 1 {
		t.Errorf("due: %v", left)
	}
	go func() { (<-w.fresh).first.process.Close() }()
	if _, err := w.take(t.Context(), holding(again), willFor(2)); err != nil {
		t.Errorf("then: %v", err)
	}
}

// The wills of one container are bounded: those that killed sidekicks left make room, those
// that somebody waits for don't.
func TestManyWills(t *testing.T) {
	t.Parallel()
	w := newTestWills()
	pid, _ := start(t)
	go func() { <-w.fresh }()
	take := func(lease clientv3.LeaseID) (*lastWill, error) {
		return w.take(t.Context(), holding(pid), willFor(lease))
	}
	for lease := range clientv3.LeaseID(mostWills) {
		if _, err := take(lease + 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := take(100); !errors.Is(err, errManyWills) {
		t.Fatalf("%v", err)
	}
	again, err := take(5)
	if err != nil || again.waiting != 2 {
		t.Fatalf("told again: %v, %v", again, err)
	}
	for range 2 {
		w.leave(again)
	}
	if _, err := take(100); err != nil {
		t.Fatalf("after one has ended: %v", err)
	}
	var leases []clientv3.LeaseID
	for _, l := range w.kept[ownID].wills {
		leases = append(leases, l.lease)
	}
	if len(leases) != mostWills || slices.Contains(leases, 5) || !slices.Contains(leases, 100) {
		t.Errorf("%v", leases)
	}
	w.kept[ownID].first.process.Close()
}

// A container whose end can't be waited for has to be told of again, and is.
func TestWillsToldAgain(t *testing.T) {
	t.Parallel()
	w := newTestWills()
	pid, _ := start(t)
	fresh := make(chan *willsOf, 1)
	go func() { fresh <- <-w.fresh }()
	will, err := w.take(t.Context(), holding(pid), willFor(1))
	if err != nil {
		t.Fatal(err)
	}
	of := <-fresh
	of.first.process.Close()
	w.await(t.Context(), of)
	select {
	case <-will.withdrawn:
	default:
		t.Error("its sidekick does not hear of it")
	}
	go func() { (<-w.fresh).first.process.Close() }()
	if _, err := w.take(t.Context(), holding(pid), willFor(1)); err != nil {
		t.Errorf("told again: %v", err)
	}
}

// An etcd that is away is asked again and again, until the lease has lapsed. The log tells
// each reason once, and when it is over.
func TestRevokedUntilTheLeaseHasLapsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var out bytes.Buffer
		logged := func() string {
			mu.Lock()
			defer mu.Unlock()
			return out.String()
		}
		execute := &awayEtcd{}
		l := newLeases(&awayEtcd{}, execute, slog.New(slog.NewTextHandler(locked{&mu, &out}, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		due, ended := make(chan []*lastWill), make(chan struct{})
		go func() { defer close(ended); l.revokeAll(ctx, due) }()
		will := willFor(1)
		will.ttl, will.ended = 20*time.Second, time.Now()
		due <- []*lastWill{will}
		time.Sleep(time.Until(will.ended.Add(will.ttl)) - time.Millisecond)
		synctest.Wait()
		const away = `level=WARN msg="can't ask etcd; no last will is taken or executed until it answers" err="etcd is away"`
		if asked := execute.asked.Load(); asked < 8 || strings.Count(logged(), away) != 1 || strings.Count(logged(), "\n") != 1 {
			t.Errorf("asked %d times while the lease lives, and logged %q", asked, logged())
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if strings.Count(logged(), "etcd could not be told in time that the container has ended") != 1 {
			t.Errorf("logged %q", logged())
		}
		execute.back.Store(true)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if strings.Count(logged(), `level=INFO msg="etcd can be asked again"`) != 1 {
			t.Errorf("logged %q", logged())
		}
		cancel()
		<-ended
	})
}
