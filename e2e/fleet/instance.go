package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"dockreg/e2e/testbed"
	"dockreg/record"
	"dockreg/sidekick"
)

// instance is a real sidekick and its real registry, with a connection of its own,
// for an app that always passes. It notes what they do.
type instance struct {
	testbed.Sidekick

	mu    sync.Mutex
	calls []call
	lines []line
}

// call is one Register, and line what the log says at Info or above.
type (
	call struct {
		began, ended time.Time
		err          error
	}
	line struct {
		at    time.Time
		level slog.Level
		text  string // the message and its cause
	}
)

func newInstance(parent string, i int, etcd string, ttl time.Duration) *instance {
	in := &instance{}
	in.Sidekick = testbed.Sidekick{
		Config: sidekick.Config{
			Interval: 5 * time.Second, Timeout: 3 * time.Second, Rise: 1, Fall: 1, TTL: ttl,
		},
		Parent: parent, Value: "{}",
		Endpoints: []string{etcd},
		Address:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), uint16(32768+i)),
		Prober:    well{}, Watcher: well{}, Log: slog.New(handler{in}),
		Between: func(r sidekick.Registry) sidekick.Registry { return noting{r, in} },
	}
	return in
}

// well is an app that passes, and of whose end there is no sign.
type well struct{}

// Probe is sidekick.Prober's.
func (well) Probe(context.Context) error { return nil }

// Await is sidekick.Watcher's.
func (well) Await(ctx context.Context) { <-ctx.Done() }

// noting is the instance's registry, which notes each call.
type noting struct {
	sidekick.Registry
	in *instance
}

// Register is sidekick.Registry's.
func (n noting) Register(ctx context.Context, records record.Records) error {
	began := time.Now()
	err := n.Registry.Register(ctx, records)
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	n.in.calls = append(n.in.calls, call{began, time.Now(), err})
	return err
}

// back returns the first Register that began after then and succeeded, if there is
// one yet.
func (in *instance) back(then time.Time) (c call, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, c := range in.calls {
		if c.err == nil && c.began.After(then) {
			return c, true
		}
	}
	return call{}, false
}

// handler is the instance's log.
type handler struct{ in *instance }

// Enabled is slog's.
func (h handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle is slog's.
func (h handler) Handle(_ context.Context, r slog.Record) error {
	var text strings.Builder
	text.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" {
			fmt.Fprintf(&text, ": %v", a.Value)
		}
		return true
	})
	h.in.mu.Lock()
	defer h.in.mu.Unlock()
	h.in.lines = append(h.in.lines, line{r.Time, r.Level, text.String()})
	return nil
}

// WithAttrs is slog's: no sidekick uses it.
func (h handler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup is slog's: no sidekick uses it.
func (h handler) WithGroup(string) slog.Handler { return h }
