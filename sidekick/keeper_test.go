package sidekick

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Passes that follow each other fast renew a fifth of the TTL apart, not each.
func TestRenewsAFifthOfTheTTLApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Interval, c.Timeout = time.Second, time.Second
		w := newWorld(t, c)
		w.begin()
		w.until(8500 * time.Millisecond)
		w.end()
		w.want("0s pass", "0s register", "1s pass", "2s pass", "3s pass", "4s pass", "4s register",
			"5s pass", "6s pass", "7s pass", "8s pass", "8s register", "8.5s deregister", "8.5s end")
	})
}

// A probe that never ends gives no proof, so nothing is renewed and the key lapses.
func TestP1WedgedProbeRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.register = func(context.Context) error {
			if time.Since(w.start) >= 5*time.Second {
				return errors.New("unavailable") // and so it would be tried again
			}
			return nil
		}
		free := make(chan struct{})
		w.begin()
		w.until(6 * time.Second)
		w.from(func() { w.probe = func(context.Context) error { <-free; return nil } })
		w.until(30 * time.Second)
		for i, e := range w.events {
			if strings.HasSuffix(e, " register") && w.at(i) > 13*time.Second {
				t.Errorf("%s: the latest pass was at 5s, and proves nothing after 13s", e)
			}
		}
		close(free)
		w.end()
	})
}

// P6: an outage is waited out, with tries at most a second apart.
func TestP6OutageIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.from(func() {
			w.register = func(context.Context) error {
				time.Sleep(1500 * time.Millisecond) // the adapter's own deadline
				return errors.New("no answer")
			}
		})
		const outage = 10 * time.Minute
		w.until(outage)
		if n := w.logged("can't renew"); n != 1 {
			t.Errorf("the failed renewal was logged %d times, want once", n)
		}
		if n := w.logged("can't register"); n < 8 || n > 10 {
			t.Errorf("the outage of 10 min was logged %d times, want once a minute", n)
		}
		if n, lines := w.logged("left_out"), w.logged("can't register"); n != lines-1 {
			t.Errorf("%d of %d lines say how often they were left out, want each after the first", n, lines)
		}
		w.from(func() { w.register = ok })
		// At most the try under way, the pause, and a try.
		w.until(outage + 2500*time.Millisecond)
		if n := w.logged("registered again"); n != 1 {
			t.Errorf("registered again %d times, want once", n)
		}
		w.end()
	})
}

// A cause in other words each time makes no more than 20 lines a minute.
func TestCausesInOtherWordsEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		tries := 0
		w.register = func(context.Context) error {
			tries++
			return fmt.Errorf("not to be parsed: %d", tries)
		}
		w.begin()
		w.until(10*time.Minute + time.Second)
		n := w.logged("can't register")
		if tries < 500 || n < 200 || n > 220 {
			t.Errorf("%d of %d errors were logged, want 20 a minute", n, tries)
		}
		if told := w.logged("left_out"); told < 9 {
			t.Errorf("%d lines say how many were left out, want one a minute at the least", told)
		}
		w.end()
	})
}

// P4: somebody who undoes each repair is answered less and less often, but within a
// second; and the log says it once.
func TestP4RepairsThatAreUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		undo := func(ctx context.Context) error {
			time.AfterFunc(time.Millisecond, func() { w.disturbed <- errors.New("the key was overwritten") })
			return ctx.Err()
		}
		w.from(func() { w.register = undo })
		w.disturbed <- errors.New("the key was overwritten")
		w.until(21 * time.Second)
		if n := w.count(); n < 40 || n > 100 {
			t.Errorf("%d events in 20s, want repairs 250ms to 500ms apart", n)
		}
		for _, line := range []string{"disturbed", "registered again"} {
			if n := w.logged(line); n != 1 {
				t.Errorf("logged %q %d times, want once", line, n)
			}
		}
		w.from(func() { w.register = ok })
		w.until(40 * time.Second)
		before := w.count()
		w.disturbed <- errors.New("the key was deleted")
		w.until(40*time.Second + time.Millisecond)
		if n := w.count() - before; n != 1 || w.logged("registered again") != 2 {
			t.Errorf("%d repairs within a millisecond after a calm, want one", n)
		}
		w.end()
	})
}

// P4: what undoes each repair before that has ended is answered no more often, either, and
// a fleet's repairs are spread all the same.
func TestP4RepairsThatAreUndoneWhileUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		reason      error
		least, most int // repairs in 20 s
	}{
		"by somebody":         {errors.New("the key was overwritten"), 35, 100},
		"by a broken network": {fleetError("the connection broke"), 2, 30},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, defaults)
				w.begin()
				w.until(time.Second)
				w.from(func() {
					w.register = func(context.Context) error {
						w.disturbed <- tt.reason
						time.Sleep(time.Millisecond)
						return nil
					}
				})
				w.disturbed <- tt.reason
				before := w.count()
				w.until(21 * time.Second)
				if n := w.count() - before; n < tt.least || n > tt.most {
					t.Errorf("%d events in 20 s, want %d to %d", n, tt.least, tt.most)
				}
				w.from(func() { w.register = ok })
				w.end()
			})
		})
	}
}

// P4: a disturbance is repaired at once, not at the next pass.
func TestP4DisturbanceIsRepairedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(2 * time.Second)
		w.disturbed <- errors.New("the key was deleted")
		w.until(3 * time.Second)
		w.want("0s pass", "0s register", "2s register")
		w.end()
	})
}

// A disturbance that comes while a renewal is under way may have come after what
// the renewal looked at.
func TestP4DisturbanceDuringARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.from(func() { w.register = func(context.Context) error { time.Sleep(time.Second); return nil } })
		w.until(5500 * time.Millisecond)
		w.disturbed <- errors.New("the key was deleted")
		w.until(7500 * time.Millisecond)
		w.want("0s pass", "0s register", "5s pass", "5s register", "6s register")
		w.end()
	})
}

// An app that goes down while etcd hangs is deregistered without waiting for it.
func TestVerdictInterruptsAHungCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.register = hang
		w.begin()
		w.until(time.Second)
		w.from(func() { w.probe = refuse })
		w.until(5 * time.Second)
		w.want("0s pass", "0s register", "5s fail", "5s register failed", "5s deregister")
		w.end()
	})
}

// Deregistering goes on until it succeeds: an etcd that restarts would give the
// lease its full TTL again.
func TestDeregisterIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.from(func() { w.probe = refuse })
		tries := 0
		w.from(func() {
			w.deregister = func(context.Context) error {
				if tries++; tries < 4 {
					return errors.New("unavailable")
				}
				return nil
			}
		})
		w.until(8 * time.Second)
		if tries != 4 {
			t.Errorf("deregister was tried %d times, want 4", tries)
		}
		w.end()
		if n := w.logged("msg=deregistered"); n != 1 {
			t.Errorf("deregistered logged %d times, want once", n)
		}
	})
}

// P1: a pass that interrupts a deregistering registers at once: the key may be gone
// already, and the next renewal far.
func TestP1PassDuringADeregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.TTL = 10 * time.Minute
		w := newWorld(t, c)
		w.begin()
		w.until(time.Second)
		w.from(func() {
			w.probe = refuse
			w.deregister = hang
		})
		w.until(5 * time.Second)
		w.from(func() { w.probe = ok })
		w.until(6 * time.Second)
		w.want("0s pass", "0s register", "5s fail", "5s deregister", "5.05s pass", "5.05s deregister failed", "5.05s register")
		w.from(func() { w.deregister = ok })
		w.end()
	})
}
