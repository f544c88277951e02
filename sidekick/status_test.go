package sidekick

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// The status follows what happens, and records that nobody could renew for the TTL are not
// registered any more.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.probe = refuse
		w.begin()
		if s := w.side.Status(); s.App != "unknown" && s.App != "down" || s.Registered || s.ProbeError != "refused" || s.Address != theAddr.String() || s.Records.Key() != theKey {
			t.Errorf("an app that does not pass yet: %+v", s)
		}
		w.from(func() { w.probe = ok })
		w.until(5 * time.Second)
		if s := w.side.Status(); s.App != "up" || !s.Registered || s.ProbeError != "" || s.Holder != "" {
			t.Errorf("an app that passes: %+v", s)
		}
		since := w.side.Status().Since
		w.from(func() { w.register = func(context.Context) error { return errors.New("etcd is away") } })
		w.until(20 * time.Second)
		if s := w.side.Status(); !s.Registered || s.Since != since || s.Fault != "etcd: etcd is away" {
			t.Errorf("while etcd is away: %+v", s)
		}
		w.until(40 * time.Second)
		if s := w.side.Status(); s.Registered || !s.Since.Equal(s.Renewed.Add(defaults.TTL)) {
			t.Errorf("for longer than the TTL: %+v", s)
		}
		w.from(func() { w.register = func(context.Context) error { return ErrTaken } })
		w.until(50 * time.Second)
		if s := w.side.Status(); s.Registered || s.Holder == "" {
			t.Errorf("another instance has the key: %+v", s)
		}
		w.from(func() { w.probe = refuse })
		w.until(60 * time.Second)
		if s := w.side.Status(); s.Registered || s.Holder != "" {
			t.Errorf("the app does not pass, and nothing stands by: %+v", s)
		}
		w.from(func() { w.probe = ok })
		w.until(70 * time.Second)
		if s := w.side.Status(); s.Registered || s.Holder == "" {
			t.Errorf("another instance still has the key: %+v", s)
		}
		w.from(func() { w.register = func(context.Context) error { return ErrLost }; w.probe = hang })
		w.until(71 * time.Second)
		if s := w.side.Status(); s.Registered || s.Holder != "" {
			t.Errorf("the key is free, and to be earned: %+v", s)
		}
		w.from(func() { w.register, w.probe = ok, ok })
		w.until(90 * time.Second)
		if s := w.side.Status(); !s.Registered || s.Holder != "" {
			t.Errorf("it is back: %+v", s)
		}
		w.end()
		if s := w.side.Status(); s.Registered || !s.Stopping {
			t.Errorf("after the end: %+v", s)
		}
	})
}

// looker looks at the status when something happens.
type looker struct{ happened func(Occasion) }

func (l looker) Probed(error, time.Duration) {}
func (l looker) Happened(what Occasion)      { l.happened(what) }

// Who asks in the moment of the registration is told of it.
func TestStatusWhenRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		var then []Status
		w.side.Observer = looker{func(what Occasion) {
			if what == Registered {
				then = append(then, w.side.Status())
			}
		}}
		w.begin()
		w.until(5 * time.Second)
		w.end()
		if len(then) != 1 || !then[0].Registered || time.Since(then[0].Since) > time.Minute {
			t.Errorf("%+v", then)
		}
	})
}
