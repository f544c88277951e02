package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"dockreg/etcdreg"
	"dockreg/sidekick"
)

const ttl = 20 * time.Second

// instance is a real sidekick and its real registry, with a connection of its own,
// for an app that always passes. It notes what they do.
type instance struct {
	*etcdreg.Registry
	sidekick *sidekick.Sidekick
	addr     netip.AddrPort

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

func newInstance(parent string, i int, etcd string) *instance {
	in := &instance{
		Registry: etcdreg.New(etcdreg.Config{Endpoints: []string{etcd}, TTL: ttl}),
		addr:     netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), uint16(32768+i)),
	}
	in.sidekick = &sidekick.Sidekick{
		Config: sidekick.Config{
			Parent: parent, Value: "{}", Interval: 5 * time.Second, Timeout: 3 * time.Second, Rise: 1, Fall: 1, TTL: ttl,
		},
		Locator: in, Prober: in, Watcher: in, Registry: in, Log: slog.New(handler{in}),
	}
	return in
}

// run lives the instance's life until ctx ends.
func (in *instance) run(ctx context.Context) error {
	defer in.Close()
	return in.sidekick.Run(ctx, nil)
}

// Locate is sidekick.Locator's.
func (in *instance) Locate(context.Context) (netip.AddrPort, error) { return in.addr, nil }

// Probe is sidekick.Prober's.
func (in *instance) Probe(context.Context) error { return nil }

// Await is sidekick.Watcher's.
func (in *instance) Await(ctx context.Context) { <-ctx.Done() }

// Register is sidekick.Registry's.
func (in *instance) Register(ctx context.Context, r sidekick.Record) error {
	began := time.Now()
	err := in.Registry.Register(ctx, r)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.calls = append(in.calls, call{began, time.Now(), err})
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
