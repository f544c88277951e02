package sidekick

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dockreg/record"
)

const theKey = "/service/10.1.0.101:32768"

var theAddr = netip.MustParseAddrPort("10.1.0.101:32768")

// world is a sidekick in a synctest bubble, with an app, a registry and a Docker
// that do as they are told, and a record of what happened when.
type world struct {
	t     *testing.T
	start time.Time
	side  *Sidekick
	hurry chan struct{}
	stop  context.CancelFunc
	ended chan struct{} // closed when Run has returned
	err   error

	mu     sync.Mutex
	log    bytes.Buffer
	events []string // "5s register"

	// What the surroundings do. After begin they are replaced by from.
	locate     func(context.Context) (netip.AddrPort, error)
	probe      func(context.Context) error
	register   func(context.Context) error
	deregister func(context.Context) error
	disturbed  chan error
	died       chan struct{}
	calls      int    // to the registry, under way
	located    int    // calls to Locate, the first of which is not recorded
	key        string // that the sidekick is to register
}

// recordsAt are what the sidekick is to register: more than one.
func recordsAt(addr netip.AddrPort) (record.Records, error) {
	return record.Records{{Key: "/service/" + addr.String(), Value: "running"}, {Key: "/more/" + addr.String(), Value: "{}"}}, nil
}

var defaults = Config{
	Interval: 5 * time.Second, Timeout: 3 * time.Second, Rise: 1, Fall: 1,
	TTL: 20 * time.Second,
}

func ok(context.Context) error { return nil }

// hang waits for its context, as a well-behaved call does that gets no answer.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

var errRefused = errors.New("refused")

func refuse(context.Context) error { return errRefused }

// absent is a probe that the app saw nothing of.
func absent(context.Context) error { return fmt.Errorf("refused: %w", ErrNotListening) }

func newWorld(t *testing.T, c Config) *world {
	w := &world{
		t: t, start: time.Now(), hurry: make(chan struct{}, 1), ended: make(chan struct{}),
		probe: ok, register: ok, deregister: ok, key: theKey,
		locate:    func(context.Context) (netip.AddrPort, error) { return theAddr, nil },
		disturbed: make(chan error, 1), died: make(chan struct{}),
	}
	w.side = &Sidekick{
		Config: c, Records: recordsAt, Locator: w, Prober: w, Watcher: w, Registry: w,
		Log: slog.New(slog.NewTextHandler(lockedWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return w
}

type lockedWriter struct{ *world }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// begin runs the sidekick. The test has to end it.
func (w *world) begin() {
	ctx, stop := context.WithCancel(w.t.Context())
	w.stop = stop
	go func() {
		defer close(w.ended)
		w.err = w.side.Run(ctx, w.hurry)
		w.record("end")
	}()
	synctest.Wait()
}

// until lets the bubble's time go on to this long after its start.
func (w *world) until(d time.Duration) {
	time.Sleep(time.Until(w.start.Add(d)))
	synctest.Wait()
}

// end asks for a stop and waits for it.
func (w *world) end() {
	w.stop()
	<-w.ended
}

// from makes the surroundings do something else from now on.
func (w *world) from(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// now returns what the surroundings do at present.
func now[F any](w *world, f *F) F {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *f
}

func (w *world) record(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, time.Since(w.start).String()+" "+what)
}

// count returns how many events have happened.
func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

// at returns how long after the start the event of that index was.
func (w *world) at(i int) time.Duration {
	when, _, _ := strings.Cut(w.events[i], " ")
	d, err := time.ParseDuration(when)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// want fails the test unless these events, and no others, have happened.
func (w *world) want(events ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.events, events) {
		w.t.Errorf("events\n got %s\nwant %s\nlog:\n%s", strings.Join(w.events, ", "), strings.Join(events, ", "), w.log.String())
	}
}

// logged returns how often the log has a line with msg in it.
func (w *world) logged(msg string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.log.String(), msg)
}

func (w *world) Locate(ctx context.Context) (netip.AddrPort, error) {
	w.mu.Lock()
	first := w.located == 0
	w.located++
	w.mu.Unlock()
	if !first {
		w.record("locate")
	}
	return now(w, &w.locate)(ctx)
}

func (w *world) Probe(ctx context.Context) error {
	deadline, there := ctx.Deadline()
	if !there || time.Until(deadline) > w.side.Timeout {
		w.t.Errorf("probe with the deadline %v: want one within the timeout", deadline)
	}
	err := now(w, &w.probe)(ctx)
	if err == nil {
		w.record("pass")
	} else if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		w.record("fail")
	}
	return err
}

// Await returns at a sign, which the test gives by sending to died: it waits until
// the sidekick watches.
func (w *world) Await(ctx context.Context) {
	if _, there := ctx.Deadline(); !there {
		w.t.Error("it watches without a deadline")
	}
	select {
	case <-w.died:
	case <-ctx.Done():
	}
}

func (w *world) Register(ctx context.Context, records record.Records) error {
	addr, _ := strings.CutPrefix(now(w, &w.key), "/service/")
	if want, _ := recordsAt(netip.MustParseAddrPort(addr)); !slices.Equal(records, want) {
		w.t.Errorf("register %q, want %q", records, want)
	}
	return w.call(ctx, "register", now(w, &w.register))
}

func (w *world) Deregister(ctx context.Context) error {
	return w.call(ctx, "deregister", now(w, &w.deregister))
}

func (w *world) Disturbed() <-chan error { return w.disturbed }

// call holds the sidekick to the Registry's contract: one call at a time.
func (w *world) call(ctx context.Context, what string, do func(context.Context) error) error {
	w.mu.Lock()
	w.calls++
	if w.calls > 1 {
		w.t.Errorf("%s while another call to the registry is under way", what)
	}
	w.mu.Unlock()
	w.record(what)
	err := do(ctx)
	w.mu.Lock()
	w.calls--
	w.mu.Unlock()
	if err != nil {
		w.record(what + " failed")
		return fmt.Errorf("etcd: %w", err)
	}
	return nil
}
