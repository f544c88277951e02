package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"dockreg/e2e/testbed"
	"dockreg/probe"
	"dockreg/probe/port"
	"dockreg/record"
	"dockreg/sidekick"
)

// The settings of every sidekick: everything happens four to ten times as often as
// with the default ones.
const (
	parent   = "service"
	interval = 500 * time.Millisecond
	timeout  = 500 * time.Millisecond
	ttl      = 5 * time.Second
)

// secret is the password of every instance, and in the query of its probe.
const secret = "correct-horse-battery"

// instance is a sidekick at an address, told apart from others by its record.
type instance struct {
	record string
	cancel context.CancelFunc
	ended  chan struct{} // closed once Run has returned
	dead   atomic.Bool   // its process was killed: it says nothing to etcd any more

	// What the judge has to know, guarded by its mutex.
	started time.Time
	looked  time.Time // by when it had first looked at the key
	failed  time.Time // when a probe of it failed last
	ending  time.Time // when it was asked to stop, or was killed
	killed  bool
}

// startInstance runs a sidekick for an address.
func startInstance(j *judge, a *address, record string, endpoints []string, log *slog.Logger) (*instance, error) {
	check, err := probe.Parse("http:/health?token="+secret, a.app.port, "soak")
	if err != nil {
		return nil, err
	}
	log = log.With("instance", record)
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{record: record, cancel: cancel, ended: make(chan struct{}), started: time.Now()}
	s := testbed.Sidekick{
		Config: sidekick.Config{
			Interval: interval, Timeout: timeout, Rise: 1, Fall: 1, TTL: ttl,
		},
		Parent: parent, Value: record,
		Endpoints: endpoints, Username: "soak", Password: secret,
		Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(a.app.port)),
		Prober:  &witness{check, j, a, i},
		Watcher: &port.Watcher{Port: a.app.port, Log: log},
		Log:     log,
		Between: func(r sidekick.Registry) sidekick.Registry { return &mortal{r, j, i} },
	}
	j.started(a, i)
	log.Info("starting", "check", check.String(), "etcd", endpoints)
	go func() {
		defer close(i.ended)
		if err := s.Run(ctx); err != nil {
			j.blame("P6", a, "Run returned: %v", err)
		}
	}()
	return i, nil
}

// stop ends the sidekick as SIGTERM does, or, if kill, as SIGKILL does: with no
// word to etcd from then on.
func (i *instance) stop(j *judge, a *address, kill bool) error {
	j.ending(a, i, kill)
	i.dead.Store(kill)
	i.cancel()
	select {
	case <-i.ended:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("instance %s did not end in 10 s", i.record)
	}
}

// witness tells the judge of each probe.
type witness struct {
	probe *probe.Probe
	j     *judge
	a     *address
	i     *instance
}

// Probe is sidekick.Prober's.
func (w *witness) Probe(ctx context.Context) error {
	err := w.probe.Probe(ctx)
	if !errors.Is(err, context.Canceled) {
		w.j.probed(w.a, w.i, err)
	}
	return err
}

// mortal is a Registry whose process may die.
type mortal struct {
	sidekick.Registry
	j *judge
	i *instance
}

var errDead = errors.New("this process is dead")

// Register is sidekick.Registry's.
func (m *mortal) Register(ctx context.Context, records record.Records) error {
	if m.i.dead.Load() {
		return errDead
	}
	err := m.Registry.Register(ctx, records)
	if testbed.SawKey(err) {
		m.j.looked(m.i)
	}
	return err
}

// Deregister is sidekick.Registry's.
func (m *mortal) Deregister(ctx context.Context) error {
	if m.i.dead.Load() {
		return nil
	}
	return m.Registry.Deregister(ctx)
}
