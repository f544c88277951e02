package host

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// P11: only a lease whose keys are all of the container's own address can be its will.
func TestP11OwnKeys(t *testing.T) {
	t.Parallel()
	own, err := hostIPs()
	if err != nil || !slices.Contains(own, netip.MustParseAddr("127.0.0.1")) {
		t.Fatalf("%v, %v", own, err)
	}
	const everywhere = `[{"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32769"}]`
	for name, test := range map[string]struct {
		ports, mode string
		elsewhere   string
		keys        string
		refused     error
	}{
		"on every IP":            {everywhere, "bridge", "", "/service/127.0.0.1:32768", nil},
		"by an older engine":     {`[{"HostIp": "", "HostPort": "32768"}]`, "bridge", "", "/service/127.0.0.1:32768", nil},
		"on one IP":              {`[{"HostIp": "10.9.9.9", "HostPort": "32768"}]`, "bridge", "", "/service/10.9.9.9:32768", nil},
		"of IPv6":                {`[{"HostIp": "2001:db8::1", "HostPort": "32768"}]`, "bridge", "", "/a/b/[2001:db8::1]:32768", nil},
		"translated":             {everywhere, "bridge", "203.0.113.7", "/service/203.0.113.7:32768", nil},
		"of a DNS label":         {everywhere, "bridge", "", "/skydns/example/web/127-0-0-1-32768", nil},
		"of Traefik":             {everywhere, "bridge", "", "traefik/http/services/web/loadbalancer/servers/127-0-0-1-32768/url", nil},
		"beside one without":     {everywhere, "bridge", "", "/workers/web /service/127.0.0.1:32768", nil},
		"another one's label":    {everywhere, "bridge", "", "/skydns/example/web/127-0-0-1-32769", errForeign},
		"two addresses":          {everywhere, "bridge", "", "/web/10-1-0-102-32768/127.0.0.1:32768", errForeign},
		"as a folder":            {everywhere, "bridge", "", "/service/127.0.0.1:32768/x", errForeign},
		"two keys":               {everywhere, "bridge", "", "/a/127.0.0.1:32768 /b/127.0.0.1:32768", nil},
		"another port":           {everywhere, "bridge", "", "/service/127.0.0.1:32770", errForeign},
		"another host's IP":      {everywhere, "bridge", "", "/service/10.1.0.102:32768", errForeign},
		"the other family":       {everywhere, "bridge", "", "/service/127.0.0.1:32769", errForeign},
		"another IP of the host": {`[{"HostIp": "10.9.9.9", "HostPort": "32768"}]`, "bridge", "", "/service/127.0.0.1:32768", errForeign},
		"one foreign key":        {everywhere, "bridge", "", "/service/127.0.0.1:32768 /service/127.0.0.1:1", errForeign},
		"nothing published":      {"null", "bridge", "", "/service/127.0.0.1:32768", errForeign},
		"no address":             {everywhere, "bridge", "", "/config/secret", errForeign},
		"loopback, translated":   {`[{"HostIp": "127.0.0.2", "HostPort": "32768"}]`, "bridge", "203.0.113.7", "/service/203.0.113.7:32768", errForeign},
		"an IP that is its own":  {`[{"HostIp": "10.9.9.9", "HostPort": "32768"}]`, "bridge", "127.0.0.1", "/service/127.0.0.1:32768", errForeign},
		"the host's network":     {everywhere, "host", "", "/service/127.0.0.1:32768", errHostMode},
	} {
		s := &Service{}
		if test.elsewhere != "" {
			s.IPs = []netip.Addr{netip.MustParseAddr(test.elsewhere)}
		}
		if err := s.ownKeys(inspected(ownID, "web", test.mode, test.ports), strings.Fields(test.keys)); !errors.Is(err, test.refused) {
			t.Errorf("%s: %v, want %v", name, err, test.refused)
		}
	}
}

// P11: what is on the lease in the end is the container's own if its addresses are those of
// what was on it when the will was told.
func TestP11KeysThatCameLater(t *testing.T) {
	t.Parallel()
	will := &lastWill{keys: []string{"/service/10.1.0.101:32768", "haproxy/web"}}
	for key, foreign := range map[string]bool{
		"/service/10.1.0.101:32768":         false,
		"haproxy/web":                       false,
		"/other/10.1.0.101:32768":           false,
		"/skydns/org/web/10-1-0-101-32768":  false,
		"traefik/http/routers/web/rule":     false,
		"/service/10.1.0.101:32769":         true,
		"/service/10.1.0.102:32768":         true,
		"/skydns/org/web/10-1-0-102-32768":  true,
		"/10-1-0-101-32768/10.1.0.103:4711": true,
	} {
		if got := will.isForeign(key); got != foreign {
			t.Errorf("%s: foreign %v", key, got)
		}
	}
}

// The log shows the first of many keys.
func TestShownKeys(t *testing.T) {
	t.Parallel()
	keys := slices.Repeat([]string{strings.Repeat("x", mostShown/4)}, 100)
	if got := shown(keys); len(got) != 5 || got[4] != "and 96 more" {
		t.Errorf("%d, the last one %q", len(got), got[len(got)-1])
	}
	if got := shown(keys[:4]); len(got) != 4 {
		t.Errorf("%d of 4", len(got))
	}
}
