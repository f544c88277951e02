package sidekick

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// P1: a key goes, once Docker has said twice that the container has no address, and
// comes back with it. What Docker doesn't say meanwhile changes nothing.
func TestP1AddressIsGone(t *testing.T) {
	for name, err := range map[string]error{"not published any more": errNotPublished, "not published yet": errNotYet} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, defaults)
				w.begin()
				w.until(time.Second)
				w.locates(netip.AddrPort{}, err)
				w.until(32*time.Second - time.Nanosecond)
				w.want(append(every(30*time.Second), "31s locate", "31s deregister", "31s locate")...)
				w.until(40 * time.Second)
				w.locates(netip.AddrPort{}, errAway)
				w.until(51 * time.Second)
				w.locates(theAddr, nil)
				before := w.count()
				w.until(57 * time.Second)
				w.want(append(w.events[:before:before], "52s locate", "52s register", "55s pass", "55s register")...)
				for _, line := range []string{"any more; trying again\" err=\"" + err.Error(), "msg=deregistered"} {
					if n := w.logged(line); n != 1 {
						t.Errorf("%q is logged %d times, want once", line, n)
					}
				}
				if n := w.logged("msg=registered"); n != 2 {
					t.Errorf("registered is logged %d times, want twice", n)
				}
				w.end()
			})
		})
	}
}

// Said once, and not again, it was nonsense.
func TestAddressIsThereAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.locates(netip.AddrPort{}, errNotPublished)
		w.until(30500 * time.Millisecond)
		w.locates(theAddr, nil)
		w.until(64 * time.Second)
		// The next look is 30 s after the one at 31 s.
		w.want(append(append(every(30*time.Second), "31s locate"),
			"35s pass", "35s register", "40s pass", "40s register", "45s pass", "45s register", "50s pass", "50s register",
			"55s pass", "55s register", "1m0s pass", "1m0s register")...)
		w.end()
	})
}

// A deregistering because the address is gone is tried again, with pauses.
func TestAddressIsGoneWhileEtcdIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(29 * time.Second)
		w.locates(netip.AddrPort{}, errNotPublished)
		w.from(func() { w.deregister = refuse })
		w.until(60 * time.Second)
		if n := w.count(); n > 200 {
			t.Errorf("%d events in a minute, want tries up to a second apart", n)
		}
		if n := w.logged("can't deregister"); n != 1 {
			t.Errorf("logged %d times that it can't deregister, want once", n)
		}
		w.from(func() { w.deregister = ok })
		w.until(62 * time.Second)
		if n := w.logged("msg=deregistered"); n != 1 {
			t.Errorf("deregistered %d times, want once", n)
		}
		w.end()
	})
}
