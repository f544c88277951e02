package etcd

import (
	"testing"
	"testing/synctest"
	"time"
)

// P5: a nameserver that said nothing is passed over for a while, and then asked again: the
// other one may know less.
func TestP5SilentNameserverIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts()
		want := func(first string, standsIn bool) {
			t.Helper()
			if got := h.nameserver("first:53"); got != first || h.standsIn() != standsIn {
				t.Errorf("asked in place of the first one: %s, which stands in for it: %t; want %s, %t", got, h.standsIn(), first, standsIn)
			}
		}
		want("first:53", false)
		h.heard("first:53", false)
		want("first:53", false) // nobody else is known to answer
		h.heard("second:53", true)
		want("second:53", true)
		time.Sleep(silentFor - time.Nanosecond)
		want("second:53", true)
		time.Sleep(time.Nanosecond)
		want("first:53", false)
		h.heard("first:53", false)
		h.heard("second:53", false) // it is silent, too
		want("first:53", false)
		h.heard("first:53", true)
		want("first:53", true)
	})
}
