package sidekick

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The whole of a healthy registration: each pass renews, a stop deregisters.
func TestRegistersWhileTheAppPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(12 * time.Second)
		w.end()
		w.want("0s pass", "0s register", "5s pass", "5s register", "10s pass", "10s register",
			"12s deregister", "12s end")
		if w.err != nil {
			t.Errorf("Run = %v", w.err)
		}
		for _, msg := range []string{"msg=registered", "msg=deregistered", "the app passes its probe"} {
			if n := w.logged(msg); n != 1 {
				t.Errorf("%q logged %d times, want once", msg, n)
			}
		}
	})
}

// An app that starts, and answers that it is not ready, is asked soon and often,
// backing off to a second.
func TestAsksSoonWhileTheAppIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.probe = refuse
		w.begin()
		w.until(4 * time.Second)
		w.from(func() { w.probe = ok })
		w.until(5 * time.Second)
		w.end()
		w.want("0s fail", "50ms fail", "150ms fail", "350ms fail", "750ms fail", "1.55s fail", "2.55s fail", "3.55s fail",
			"4.55s pass", "4.55s register", "5s deregister", "5s end")
		if n := w.logged("waiting for the app"); n != 1 {
			t.Errorf("waiting logged %d times, want once a minute", n)
		}
	})
}

// Where nobody listens yet, a look costs the app nothing: they come 10 ms apart, and
// later a fiftieth more of the time that the app has taken so far, up to a second.
func TestLooksOftenWhileNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.probe = absent
		w.begin()
		for _, tt := range []struct {
			at    time.Duration
			looks int // in the two seconds from then on
		}{{0, 81}, {3 * time.Second, 23}, {10 * time.Second, 9}, {49 * time.Second, 2}, {time.Hour, 2}} {
			w.until(tt.at)
			before := w.count()
			w.until(tt.at + 2*time.Second)
			if looks := w.count() - before; looks < tt.looks-1 || looks > tt.looks+2 {
				t.Errorf("%d looks in the 2s after %s, want about %d", looks, tt.at, tt.looks)
			}
		}
		w.end()
	})
}

// The two paces don't mix: an app that begins to listen is asked soon again, and one
// that stops listening is looked for soon again.
func TestChangeOfStateResetsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.probe = refuse
		w.begin()
		w.until(2 * time.Second)
		w.from(func() { w.probe = absent })
		w.until(12 * time.Second) // at 0.2 s apart
		w.from(func() { w.probe = refuse })
		w.until(12300 * time.Millisecond)
		w.from(func() { w.probe = absent })
		first := w.count()
		w.until(12500 * time.Millisecond)
		w.end()
		var apart []string
		for i := range 6 {
			apart = append(apart, (w.at(first-1+i) - w.at(first-2+i)).String())
		}
		if got, want := strings.Join(apart, " "), "50ms 100ms 10ms 10.2ms 10.404ms 10.61208ms"; got != want { // asked twice, then absent
			t.Errorf("probes were %s apart, want %s, in %s", got, want, w.events[first-2:])
		}
	})
}

// The pause comes after a failure that was slow to come, too: an app that hangs is not
// asked twice at a time.
func TestPausesAfterSlowFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.probe = hang
		w.begin()
		w.until(10 * time.Second)
		w.end()
		w.want("3s fail", "6.05s fail", "9.15s fail", "10s end")
	})
}

// Neither pace is slower than the interval.
func TestPacesStayWithinTheInterval(t *testing.T) {
	for name, probe := range map[string]func(context.Context) error{"asked": refuse, "unasked": absent} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := defaults
				c.Interval, c.Timeout = 200*time.Millisecond, 100*time.Millisecond
				w := newWorld(t, c)
				w.probe = probe
				w.begin()
				w.until(time.Hour)
				before := w.count()
				w.until(time.Hour + time.Second)
				w.end()
				if n := w.count() - before - 1; n != 5 { // and the end
					t.Errorf("%d probes in a second, want 5", n)
				}
			})
		})
	}
}

// P1: a sign that the app died costs a probe at once, which decides.
func TestP1SignOfDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(2 * time.Second)
		w.died <- struct{}{} // a false one
		w.until(3 * time.Second)
		w.from(func() { w.probe = absent })
		w.died <- struct{}{}
		w.until(3*time.Second + 5*time.Millisecond)
		w.from(func() { w.probe = ok })
		w.until(9 * time.Second)
		w.end()
		w.want("0s pass", "0s register", "2s pass", "3s fail", "3s deregister", "3.01s pass", "3.01s register",
			"8.01s pass", "8.01s register", "9s deregister", "9s end")
	})
}

// Nobody is watched who is not up.
func TestWatchesOnlyWhileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.probe = refuse
		w.begin()
		w.until(time.Second)
		select {
		case w.died <- struct{}{}:
			t.Error("it watches an app that is down")
		default:
		}
		w.end()
	})
}

// P1: the key goes with the probe that fails, and comes back with the one that passes.
func TestP1DeregistersWhenTheAppFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.from(func() { w.probe = refuse })
		w.until(5*time.Second + 60*time.Millisecond)
		w.from(func() { w.probe = ok })
		w.until(6 * time.Second)
		w.end()
		w.want("0s pass", "0s register", "5s fail", "5s deregister", "5.05s fail", "5.15s pass", "5.15s register",
			"6s deregister", "6s end")
	})
}

// P1: a hang right after a pass is the worst case: interval + timeout, to the second.
func TestP1HangDeregistersAfterIntervalAndTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.from(func() { w.probe = hang })
		w.until(8 * time.Second)
		w.want("0s pass", "0s register", "8s fail", "8s deregister")
		w.end()
	})
}

// The interval counts from start to start, however long a probe takes.
func TestSlowPassesKeepTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.probe = func(context.Context) error { time.Sleep(2900 * time.Millisecond); return nil }
		w.begin()
		w.until(8 * time.Second)
		w.end()
		w.want("2.9s pass", "2.9s register", "7.9s pass", "7.9s register", "8s deregister", "8s end")
	})
}

func TestRiseAndFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Rise, c.Fall = 3, 2
		w := newWorld(t, c)
		script := []bool{true, true, false, true, true, true /* up */, false, true, false, false /* down */, true}
		w.probe = func(context.Context) error {
			passes := script[0]
			if script = script[1:]; passes {
				return nil
			}
			return errRefused
		}
		w.begin()
		w.until(41 * time.Second)
		w.end()
		w.want("0s pass", "5s pass", "10s fail", // two passes are not three
			"10.05s pass", "15.05s pass", "20.05s pass", "20.05s register",
			"25.05s fail", "30.05s pass", "30.05s register", // one failure is not two
			"30.05s locate", "35.05s fail", "40.05s fail", "40.05s deregister",
			"40.1s pass", "41s end")
	})
}

// That the app's process has ended is no failure to be tolerated.
func TestEndIsNotTolerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Fall = 3
		w := newWorld(t, c)
		w.begin()
		w.from(func() { w.probe = func(context.Context) error { return ErrNotRunning } })
		w.until(5020 * time.Millisecond)
		w.want("0s pass", "0s register", "5s fail", "5s deregister", "5.01s fail")
		w.end()
	})
}

// A pass that is not yet enough proves nothing: no renewal comes of it.
func TestNoRenewalWhileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Fall = 3
		w := newWorld(t, c)
		w.begin()
		w.from(func() { w.probe = refuse })
		w.until(14 * time.Second)
		w.want("0s pass", "0s register", "5s fail", "10s fail")
		w.end()
	})
}

// With tolerated failures every pass renews, however close: the lease has to last
// from the latest one to the failure that counts.
func TestEachPassRenewsWhereFailuresAreTolerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Interval, c.Timeout, c.Fall = time.Second, time.Second, 3
		w := newWorld(t, c)
		w.begin()
		w.until(2500 * time.Millisecond)
		w.end()
		w.want("0s pass", "0s register", "1s pass", "1s register", "2s pass", "2s register", "2.5s deregister", "2.5s end")
	})
}
