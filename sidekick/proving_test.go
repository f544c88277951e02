package sidekick

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Of a registry, about the key, and about a fleet.
var (
	errLost  = fmt.Errorf("the lease is gone: %w", ErrLost)
	errTaken = fmt.Errorf("a newer instance has the key: %w", ErrTaken)
)

func fleetError(text string) error { return &SpreadError{errors.New(text), 5 * time.Second} }

// loseOnce makes the next Register say that the key is lost.
func (w *world) loseOnce() {
	w.from(func() {
		w.register = func(context.Context) error {
			w.from(func() { w.register = ok })
			time.Sleep(time.Millisecond) // or the probe before would be in the same instant
			return errLost
		}
	})
}

// P3: a key that was lost is earned again, by a look at the address and a probe
// that come after.
func TestP3LostKeyIsEarnedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.loseOnce()
		w.from(func() {
			w.probe = func(context.Context) error { time.Sleep(200 * time.Millisecond); return nil }
			w.locate = func(context.Context) (netip.AddrPort, error) {
				time.Sleep(100 * time.Millisecond)
				return theAddr, nil
			}
		})
		w.until(8 * time.Second)
		w.want("0s pass", "0s register", "5.2s pass", "5.2s register", "5.201s register failed",
			"5.201s locate", "5.401s pass", "5.401s register")
		if n := w.logged("has to be earned again"); n != 1 {
			t.Errorf("logged %d times that the key has to be earned again, want once", n)
		}
		w.end()
	})
}

// P3: an app that fails meanwhile doesn't get its key back.
func TestP3LostKeyOfAnAppThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.loseOnce()
		w.until(4 * time.Second)
		passed := false
		w.from(func() {
			w.probe = func(context.Context) error {
				if passed {
					time.Sleep(time.Millisecond) // or it would be in the same instant as the look
					return errRefused
				}
				passed = true
				return nil
			}
		})
		w.until(5010 * time.Millisecond)
		w.want("0s pass", "0s register", "5s pass", "5s register", "5.001s register failed", "5.001s locate", "5.002s fail", "5.002s deregister")
		w.end()
	})
}

// P3: what the Locator says when the key was lost decides what is registered.
func TestP3LostKeyNeedsTheAddress(t *testing.T) {
	moved := netip.MustParseAddrPort("10.1.0.101:32999")
	for name, tt := range map[string]struct {
		locate func(context.Context) (netip.AddrPort, error)
		key    string
		after  string // the first register that follows
		logged string
	}{
		"another one": {
			func(context.Context) (netip.AddrPort, error) { return moved, nil },
			"/service/10.1.0.101:32999", "5.001s register", "the address has changed",
		},
		"no answer": {
			func(ctx context.Context) (netip.AddrPort, error) { return netip.AddrPort{}, hang(ctx) },
			theKey, "6.001s register", "going on with the one it was",
		},
		"none": {
			func(context.Context) (netip.AddrPort, error) {
				return netip.AddrPort{}, &PermanentError{errors.New("not published")}
			},
			"", "", "not this container's any more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, defaults)
				w.begin()
				w.until(time.Second)
				w.loseOnce()
				w.from(func() { w.locate = tt.locate })
				w.until(5 * time.Second)
				w.from(func() { w.key = tt.key })
				w.until(7 * time.Second)
				after := ""
				for _, e := range w.events[4:] {
					if strings.HasSuffix(e, " register") {
						after = e
						break
					}
				}
				if after != tt.after {
					t.Errorf("after the key was lost comes %q, want %q; events: %q", after, tt.after, w.events)
				}
				if n := w.logged(tt.logged); n != 1 {
					t.Errorf("%q is logged %d times, want once", tt.logged, n)
				}
				w.from(func() { w.locate = func(context.Context) (netip.AddrPort, error) { return theAddr, nil } })
				if tt.key == "" { // it comes back
					w.from(func() { w.key = theKey })
					w.until(9 * time.Second)
					if n := w.logged("msg=registered"); n != 2 {
						t.Errorf("registered %d times, want twice", n)
					}
				}
				w.end()
			})
		})
	}
}

// P3: while another instance has the key, Register is called about once a second,
// which is logged once, and the key is earned when it is free.
func TestP3StandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.from(func() {
			w.register = func(context.Context) error {
				return errTaken
			}
		})
		w.disturbed <- errors.New("the key was overwritten")
		w.until(time.Minute)
		if n := w.logged("standing by"); n != 1 {
			t.Errorf("it says %d times that it stands by, want once", n)
		}
		calls := 0
		last := time.Second
		for i, e := range w.events {
			if _, what, _ := strings.Cut(e, " "); what == "register" && w.at(i) > time.Second {
				calls++
				if apart := w.at(i) - last; apart > time.Second {
					t.Errorf("%s after the one before, want within a second", apart)
				}
				last = w.at(i)
			}
		}
		if calls > 150 {
			t.Errorf("asked %d times in a minute, want about once a second", calls)
		}
		w.loseOnce() // it is free
		before := w.count()
		w.until(62 * time.Second)
		w.mu.Lock()
		after := w.events[before:]
		w.mu.Unlock()
		var order []string
		for _, e := range after {
			_, what, _ := strings.Cut(e, " ")
			order = append(order, what)
		}
		if len(order) < 5 || !slices.Contains(order[:5], "locate") || !slices.Contains(order[:5], "pass") || order[4] != "register" {
			t.Errorf("after it was free: %q, want a look and a probe before it registers", after)
		}
		w.end()
		if w.logged("registered\"") > 0 || w.logged("msg=deregistered") != 1 {
			t.Errorf("log:\n%s", w.log.String())
		}
	})
}

// One that stands by has nothing to deregister, and doesn't say that it did.
func TestStopWhileStandingBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.register = func(context.Context) error {
			return errTaken
		}
		w.begin()
		w.until(time.Second)
		w.end()
		if n := w.logged("msg=deregistered"); n != 0 {
			t.Errorf("it says %d times that it deregistered, want none", n)
		}
	})
}

// P6: a fleet spreads over the time that the registry asks for: the first call
// after a break, and each one after a failure.
func TestP6FleetSpreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early, late := 0, 0
		for range 400 {
			w := newWorld(t, defaults)
			w.begin()
			w.until(time.Second)
			from := w.count()
			broke := time.Second
			w.disturbed <- fleetError("the connection broke")
			w.from(func() {
				w.register = func(context.Context) error { return fleetError("can't be reached") }
			})
			w.until(20 * time.Second)
			last := broke
			for i := from; i < w.count(); i++ {
				_, what, _ := strings.Cut(w.events[i], " ")
				if what != "register" {
					continue
				}
				apart := w.at(i) - last
				last = w.at(i)
				if apart > 5*time.Second {
					t.Errorf("%s after the one before, want 5 s at most", apart)
				}
				if apart < 2500*time.Millisecond {
					early++
				} else {
					late++
				}
			}
			w.from(func() { w.register = ok })
			w.end()
		}
		if share := float64(early) / float64(early+late); share < 0.4 || share > 0.6 {
			t.Errorf("%.0f%% of %d calls came in the first half of the time, want about half", 100*share, early+late)
		}
	})
}
