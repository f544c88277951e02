package probe

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"dockreg/probe/port"
)

// outOfReach returns why consumers can't connect to an app that passed: it listens on
// loopback addresses alone, and they arrive elsewhere. What isn't sure is no reason: who
// listens, or that they arrive in this very network namespace.
func (p *Probe) outOfReach() error {
	if p.dials == 0 || p.Arrival == nil {
		return nil
	}
	arrival := p.Arrival()
	if len(arrival) == 0 {
		return nil
	}
	listening, _ := port.Listeners(p.dials)
	if len(listening) == 0 || slices.ContainsFunc(listening, func(l port.Listener) bool { return !l.Loopback }) {
		return nil
	}
	own, _ := net.InterfaceAddrs()
	if !slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && !prefix.Addr().IsLoopback() && slices.Contains(arrival, prefix.Addr())
	}) {
		return nil
	}
	var on []netip.Addr
	for _, l := range listening {
		on = append(on, l.Addr.Addr())
	}
	return fmt.Errorf("the app listens on %s only; consumers arrive at %s", join(on, " and "), join(arrival, " or "))
}

// join lists IPs in an order that is the same each time.
func join(ips []netip.Addr, word string) string {
	ips = slices.SortedFunc(slices.Values(ips), netip.Addr.Compare)
	var texts []string
	for _, ip := range slices.Compact(ips) {
		texts = append(texts, ip.String())
	}
	return strings.Join(texts, word)
}
