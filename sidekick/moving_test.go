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

	"dockreg/record"
)

const movedKey = "/service/10.1.0.101:32999"

var (
	movedAddr = netip.MustParseAddrPort("10.1.0.101:32999")

	errAway         = errors.New("docker does not answer")
	errNotPublished = &NoAddressError{&PermanentError{errors.New("the app's port is not published")}}
	errNotYet       = &NoAddressError{errors.New("docker has not published the port yet")}
)

// locates lets the Locator answer so from now on.
func (w *world) locates(addr netip.AddrPort, err error) {
	w.from(func() { w.locate = func(context.Context) (netip.AddrPort, error) { return addr, err } })
}

// every is what a sidekick does, unless something is amiss, at its passes up to some
// time: it looks up the address with each sixth.
func every(to time.Duration) (events []string) {
	for at := time.Duration(0); at <= to; at += 5 * time.Second {
		events = append(events, at.String()+" pass", at.String()+" register")
		if at > 0 && at%(30*time.Second) == 0 {
			events = append(events, at.String()+" locate")
		}
	}
	return events
}

// The address is looked up again with a renewal, and a new one is registered at once.
// The registry takes the earlier key away.
func TestP1AddressMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(61 * time.Second)
		w.locates(movedAddr, nil)
		w.until(89 * time.Second)
		w.want(every(85 * time.Second)...)
		w.until(90*time.Second - time.Nanosecond)
		w.from(func() {
			w.register = func(context.Context) error {
				w.from(func() { w.register, w.key = ok, movedKey }) // the first is a renewal
				return nil
			}
		})
		w.until(94 * time.Second)
		w.end()
		w.want(append(every(90*time.Second), "1m30s register", "1m34s deregister", "1m34s end")...)
		for _, line := range []string{`msg="the address has changed" address=10.1.0.101:32999 key=` + movedKey, "msg=registered key=" + theKey, "msg=registered key=" + movedKey} {
			if n := w.logged(line); n != 1 {
				t.Errorf("%q is logged %d times, want once", line, n)
			}
		}
	})
}

// What can't change is not looked up.
func TestFixedAddressIsNotLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.side.Locator = Fixed(theAddr)
		w.begin()
		w.until(2 * time.Minute)
		w.mu.Lock()
		looks := w.located
		w.mu.Unlock()
		if n := w.count(); looks != 0 || n != 50 {
			t.Errorf("%d looks and %d events, want 25 passes and renewals", looks, n)
		}
		w.end()
	})
}

// A Docker that gives no answer to use costs nothing, and a line in the log.
func TestAddressIsKeptWithoutAnAnswer(t *testing.T) {
	for name, err := range map[string]error{
		"away":                  errAway,
		"another engine's word": &PermanentError{errors.New("docker knows no such container")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, defaults)
				w.begin()
				w.until(time.Second)
				w.locates(netip.AddrPort{}, err)
				w.until(10 * time.Minute)
				w.locates(theAddr, nil)
				w.until(11 * time.Minute)
				w.locates(netip.AddrPort{}, err)
				w.until(13*time.Minute - time.Second)
				w.want(every(13*time.Minute - 5*time.Second)...)
				if n := w.logged("going on with the one it was"); n != 2 {
					t.Errorf("logged %d times that Docker is away, want once for each time it is", n)
				}
				w.end()
			})
		})
	}
}

// P4: an engine that says nonsense once, and is gone then, costs nothing either.
func TestAddressIsKeptAfterNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.from(func() {
			w.locate = func(context.Context) (netip.AddrPort, error) {
				w.locates(netip.AddrPort{}, errAway)
				return netip.AddrPort{}, errNotYet
			}
		})
		w.until(32 * time.Second)
		w.want(append(every(30*time.Second), "31s locate")...)
		w.until(10*time.Minute + time.Second)
		renewals := 0
		for _, e := range w.events {
			switch _, what, _ := strings.Cut(e, " "); what {
			case "deregister":
				t.Errorf("%s: Docker never said twice that there is no address", e)
			case "register":
				renewals++
			}
		}
		if renewals != 121 {
			t.Errorf("%d renewals, want 121", renewals)
		}
		w.end()
	})
}

// A look that hangs delays neither the renewal that it comes with, nor a repair.
func TestP4RepairDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.from(func() {
			w.locate = func(ctx context.Context) (netip.AddrPort, error) { return netip.AddrPort{}, hang(ctx) }
		})
		w.until(30*time.Second + 100*time.Millisecond)
		w.disturbed <- errors.New("the key was deleted")
		w.until(34 * time.Second)
		w.want(append(every(30*time.Second), "30.1s register", "30.1s locate")...)
		w.end()
	})
}

// P3: an app that comes up after a while is registered at the address that is its
// container's by then.
func TestP3AddressOfAnAppThatComesUp(t *testing.T) {
	for _, down := range []time.Duration{20 * time.Second, 40 * time.Second} {
		t.Run(fmt.Sprint(down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, defaults)
				w.probe = refuse
				w.begin()
				w.until(time.Second)
				w.locates(movedAddr, nil)
				w.until(down)
				if down > 30*time.Second {
					w.key = movedKey
				}
				w.from(func() { w.probe = ok })
				w.until(down + 2*time.Second)
				want := 0
				if down > 30*time.Second {
					want = 1
				}
				if n := w.logged("address has changed"); n != want || w.logged("msg=registered key="+w.key) != 1 {
					t.Errorf("%d moves, want %d; log:\n%s", n, want, w.log.String())
				}
				w.end()
			})
		})
	}
}

// P3: an address of which no record can be made is none.
func TestAddressWithoutRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.side.Records = func(addr netip.AddrPort) (record.Records, error) {
			if addr == movedAddr {
				return nil, errors.New("no key has room for that")
			}
			return recordsAt(addr)
		}
		w.begin()
		w.until(29 * time.Second)
		w.locates(movedAddr, nil)
		w.until(32 * time.Second)
		if w.logged("no key has room for that") != 1 || w.logged("msg=deregistered") != 1 {
			t.Errorf("it is not taken away, or the log doesn't say why:\n%s", w.log.String())
		}
		w.locates(theAddr, nil)
		w.until(40 * time.Second)
		if w.logged("msg=registered") != 2 {
			t.Errorf("it is not back:\n%s", w.log.String())
		}
		w.end()
	})
}

// P3: after a loss, an answer without an address is no silence: nothing is registered
// before there is one.
func TestP3LostKeyOfAContainerWithoutAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults)
		w.begin()
		w.until(time.Second)
		w.loseOnce()
		w.locates(netip.AddrPort{}, errNotYet)
		w.until(9 * time.Second)
		// The probe and the look begin in the same instant, in either order.
		w.mu.Lock()
		if i := slices.Index(w.events, "5.001s locate"); i > 0 && w.events[i-1] == "5.001s pass" {
			w.events[i-1], w.events[i] = w.events[i], w.events[i-1]
		}
		w.mu.Unlock()
		w.want("0s pass", "0s register", "5s pass", "5s register", "5.001s register failed", "5.001s locate", "5.001s pass",
			"6.001s locate", "6.001s deregister", "6.001s locate", "8.001s locate")
		w.end()
	})
}
