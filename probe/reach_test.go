package probe

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

// ownIP is an IP of this machine at which others could arrive.
func ownIP(t *testing.T) netip.Addr {
	t.Helper()
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if ip := netip.MustParsePrefix(a.String()).Addr(); ip.Is4() && !ip.IsLoopback() {
			return ip
		}
	}
	t.Skip("a machine without a network")
	return netip.Addr{}
}

// An app that answers where no consumer arrives doesn't pass, if that is sure.
func TestOutOfReach(t *testing.T) {
	t.Parallel()
	own := ownIP(t)
	var (
		others  = netip.MustParseAddr("198.51.100.1")
		inside  = []netip.Addr{own}
		unknown = []netip.Addr(nil)
	)
	for name, tt := range map[string]struct {
		on      string
		arrival []netip.Addr
		want    string // "": it passes
	}{
		"on 127.0.0.1 alone":               {"127.0.0.1", inside, "the app listens on 127.0.0.1 only; consumers arrive at " + own.String()},
		"on ::1 alone":                     {"::1", inside, "the app listens on ::1 only; consumers arrive at " + own.String()},
		"on 127.0.0.2 alone, two networks": {"127.0.0.2", []netip.Addr{others, own}, "the app listens on 127.0.0.2 only; consumers arrive at "},
		"on every IPv4":                    {"0.0.0.0", inside, ""},
		"on every IP":                      {"::", inside, ""},
		"on the very IP":                   {own.String(), inside, ""},
		"in the host's network":            {"127.0.0.1", unknown, ""},
		"in another network than Docker's": {"127.0.0.1", []netip.Addr{others}, ""},
		"consumers arrive on loopback":     {"127.0.0.1", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, ""},
	} {
		for kind, check := range checks {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				l, port := listen(t, tt.on)
				serveHealthy(t, kind, l)
				p := parse(t, check, port)
				mustPass(t, p) // nobody knows where consumers arrive
				p.Arrival = func() []netip.Addr { return tt.arrival }
				if tt.want == "" {
					mustPass(t, p)
				} else if _, err := askWithin(t, p, patience); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			})
		}
	}
}

// A second listener, where they arrive, is enough; and a command decides by itself.
func TestWithinReach(t *testing.T) {
	t.Parallel()
	own := ownIP(t)
	l, port := listen(t, "127.0.0.1")
	serveHealthy(t, "tcp", l)
	p, command := parse(t, "tcp", port), parse(t, "exec:true", port)
	for _, p := range []*Probe{p, command} {
		p.Arrival = func() []netip.Addr { return []netip.Addr{own} }
	}
	mustPass(t, command)
	if _, err := askWithin(t, p, patience); err == nil {
		t.Error("it passes on 127.0.0.1 alone")
	}
	second, err := net.Listen("tcp", netip.AddrPortFrom(own, uint16(port)).String())
	if err != nil {
		t.Skip(err) // somebody else's
	}
	defer func() { _ = second.Close() }()
	mustPass(t, p)
}
