package sidekick

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// P2: deregistering comes first, then the drain, then the end.
func TestP2StopDeregistersThenDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Drain = 4 * time.Second
		w := newWorld(t, c)
		w.begin()
		w.until(time.Second)
		w.end()
		w.want("0s pass", "0s register", "1s deregister", "5s end")
	})
}

func TestSecondSignalEndsTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Drain = time.Minute
		w := newWorld(t, c)
		w.begin()
		w.until(time.Second)
		w.stop()
		w.until(3 * time.Second)
		w.hurry <- struct{}{}
		<-w.ended
		w.want("0s pass", "0s register", "1s deregister", "3s end")
	})
}

// Where a second signal came before the drain, there is none, and none is told of.
func TestNoDrainWhenInAHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Drain = time.Minute
		w := newWorld(t, c)
		w.begin()
		w.until(time.Second)
		w.hurry <- struct{}{}
		w.end()
		w.want("0s pass", "0s register", "1s deregister", "1s end")
		if n := w.logged("drain"); n > 0 {
			t.Errorf("logged %d times, want nothing", n)
		}
	})
}

// With etcd hung, the stop takes 2 s more than the drain.
func TestStopWithEtcdHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Drain = 3 * time.Second
		w := newWorld(t, c)
		w.deregister = hang
		w.begin()
		w.until(time.Second)
		w.end()
		w.want("0s pass", "0s register", "1s deregister", "6s deregister failed", "6s end")
		if n := w.logged("no answer to the deregistering"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
	})
}

// An etcd that comes back during the drain still gets to deregister.
func TestDeregisterDuringTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Drain = 3 * time.Second
		w := newWorld(t, c)
		w.deregister = func(context.Context) error {
			if time.Since(w.start) < 3500*time.Millisecond {
				return errors.New("unavailable")
			}
			return nil
		}
		w.begin()
		w.until(time.Second)
		w.end()
		if n := w.logged("msg=deregistered"); n != 1 {
			t.Errorf("deregistered logged %d times, want once", n)
		}
		if took := time.Since(w.start); took != 6*time.Second {
			t.Errorf("ended at %s, want 6s: 1s + 2s + the drain", took)
		}
	})
}

// A register that the stop interrupts may have reached etcd all the same.
func TestStopDuringARegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.register = func(ctx context.Context) error {
			err := hang(ctx)
			time.Sleep(100 * time.Millisecond) // so that a deregister beside it shows
			return err
		}
		w.begin()
		w.until(time.Second)
		w.end()
		w.want("0s pass", "0s register", "1.1s register failed", "1.1s deregister", "1.1s end")
	})
}

// With no key there is nothing to deregister, and nobody to drain.
func TestStopWithoutAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaults
		c.Drain = time.Minute
		w := newWorld(t, c)
		w.probe = refuse
		w.begin()
		w.until(100 * time.Millisecond)
		w.end()
		w.want("0s fail", "50ms fail", "100ms end")
	})
}

// A probe that is slow to end does not hold the deregistering up.
func TestStopDuringAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.from(func() { w.probe = func(context.Context) error { time.Sleep(2 * time.Second); return nil } })
		w.until(6 * time.Second)
		w.end()
		w.want("0s pass", "0s register", "6s deregister", "7s pass", "7s end")
	})
}

func TestLocateIsTriedAgainUnlessPermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		var asked []time.Duration
		w.locate = func(context.Context) (netip.AddrPort, error) {
			asked = append(asked, time.Since(w.start))
			if len(asked) < 9 {
				return netip.AddrPort{}, errors.New("docker is not there yet")
			}
			return netip.AddrPort{}, &PermanentError{errors.New("not published")}
		}
		w.begin()
		<-w.ended
		want := "[0s 100ms 300ms 700ms 1.5s 3.1s 6.3s 11.3s 16.3s]"
		if got := fmt.Sprint(asked); got != want {
			t.Errorf("asked at %s, want %s", got, want)
		}
		if w.err == nil || w.err.Error() != "not published" {
			t.Errorf("Run = %v, want the permanent error", w.err)
		}
		if n := w.logged("can't find the address"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
	})
}

func TestStopWhileLocating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.locate = func(ctx context.Context) (netip.AddrPort, error) { return netip.AddrPort{}, hang(ctx) }
		w.begin()
		w.until(time.Second)
		w.end()
		w.want("1s end")
		if w.err != nil {
			t.Errorf("Run = %v, want nil: it was asked to stop", w.err)
		}
	})
}
