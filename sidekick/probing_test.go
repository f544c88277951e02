package sidekick

import (
	"context"
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

// An app that starts late is looked for soon and often, backing off to the interval.
func TestLooksSoonAndOftenWhileTheAppIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.probe = refuse
		w.begin()
		w.until(12 * time.Second)
		w.want("0s fail", "50ms fail", "150ms fail", "350ms fail", "750ms fail", "1.55s fail",
			"3.15s fail", "6.35s fail", "11.35s fail")
		w.from(func() { w.probe = ok })
		w.until(17 * time.Second)
		w.end()
		w.want("0s fail", "50ms fail", "150ms fail", "350ms fail", "750ms fail", "1.55s fail",
			"3.15s fail", "6.35s fail", "11.35s fail", "16.35s pass", "16.35s register",
			"17s deregister", "17s end")
		if n := w.logged("waiting for the app"); n != 1 {
			t.Errorf("waiting logged %d times, want once a minute", n)
		}
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
			"35.05s fail", "40.05s fail", "40.05s deregister",
			"40.1s pass", "41s end")
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
