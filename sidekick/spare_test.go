package sidekick

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Spare is what is left in the worst case: where passes are near to each other, and not
// all of them renew, that is less.
func TestSpare(t *testing.T) {
	const s = time.Second
	for c, want := range map[Config]time.Duration{
		{Interval: 5 * s, Timeout: 3 * s, Fall: 1, TTL: 20 * s}: 12 * s,
		{Interval: 5 * s, Timeout: 3 * s, Fall: 2, TTL: 20 * s}: 7 * s,
		{Interval: s, Timeout: s, Fall: 1, TTL: 20 * s}:         14 * s,
		{Interval: 2 * s, Timeout: s, Fall: 1, TTL: 12 * s}:     12*s - (2400*time.Millisecond + 2*s) - s,
		{Interval: s, Timeout: s, Fall: 1, TTL: 6 * s}:          4 * s,
	} {
		if got := c.Spare(); got != want {
			t.Errorf("%+v: %s to spare, want %s", c, got, want)
		}
	}
}

// P5: with the shortest TTL that fits the other settings, any one renewal may fail after
// 1.5 s, and the next one take as long: the lease outlives that, whatever the probes take.
func TestP5OneRenewalMayFail(t *testing.T) {
	for _, c := range []Config{
		{Interval: 5 * time.Second, Timeout: 3 * time.Second, Fall: 1, TTL: 12 * time.Second},
		{Interval: 10 * time.Second, Timeout: 500 * time.Millisecond, Fall: 1, TTL: 15 * time.Second},
		{Interval: time.Second, Timeout: time.Second, Fall: 1, TTL: 6 * time.Second},
		{Interval: time.Second, Timeout: time.Second, Fall: 1, TTL: 7 * time.Second},
		{Interval: time.Second, Timeout: time.Second, Fall: 1, TTL: 20 * time.Second},
		{Interval: 4 * time.Second, Timeout: 4 * time.Second, Fall: 3, TTL: 20 * time.Second},
	} {
		for failing := range 16 {
			failing, every := 2+failing/2, 2+failing%2*2 // of the calls; of the probes, which takes as long as it may
			t.Run(fmt.Sprintf("%s+%s,%d,%s/%d/%d", c.Interval, c.Timeout, c.Fall, c.TTL, failing, every), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c.Rise = 1
					w := newWorld(t, c)
					probes, calls := 0, 0
					w.probe = func(context.Context) error { // failing as often as may be
						if probes++; probes%every == every-1 {
							time.Sleep(c.Timeout - time.Millisecond)
						}
						if probes%c.Fall != 0 {
							return errRefused
						}
						return nil
					}
					var end time.Time // of the lease, as granted when the latest call that succeeded began
					w.register = func(context.Context) error {
						began := time.Now()
						switch calls++; calls {
						case failing:
							time.Sleep(1500 * time.Millisecond)
							return errors.New("no answer in time")
						case failing + 1:
							time.Sleep(1500 * time.Millisecond)
						}
						if !end.IsZero() && time.Now().After(end) {
							t.Errorf("call %d renewed %s after the lease's end", calls, time.Since(end))
						}
						end = began.Add(c.TTL)
						return nil
					}
					w.begin()
					w.until(3 * time.Minute)
					w.end()
					if calls <= failing {
						t.Errorf("%d calls, want more than %d", calls, failing)
					}
				})
			})
		}
	}
}
