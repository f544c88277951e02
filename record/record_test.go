package record

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	v4 = Instance{Address: netip.MustParseAddrPort("10.1.0.101:49155"), Host: "node1", Container: "web-1"}
	v6 = Instance{Address: netip.MustParseAddrPort("[2001:db8::1]:49155"), Host: "node1", Container: "web-1"}
	// portless is an instance without a port.
	portless = Instance{Host: "node1", Container: "web-1"}
)

// options are those of the plain record.
var options = Options{Parent: "service/web", Value: "hello", Host: "sample-host"}

// with returns an instance with meta and a weight.
func with(i Instance, meta map[string]string, weight int) Instance {
	i.Meta, i.Weight = meta, weight
	return i
}

// mustParse reads kinds that are right.
func mustParse(t testing.TB, texts ...string) []Kind {
	t.Helper()
	return mustParseWith(t, options, texts...)
}

func mustParseWith(t testing.TB, o Options, texts ...string) []Kind {
	t.Helper()
	var kinds []Kind
	for _, text := range texts {
		k, err := Parse(text, o)
		if err != nil {
			t.Fatalf("Parse(%q): %v", text, err)
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// mustMake fails the test unless a kind makes those records.
func mustMake(t *testing.T, k Kind, i Instance, want ...Record) {
	t.Helper()
	if got, err := k.Records(i); err != nil || !slices.Equal(got, want) {
		t.Errorf("%s of %s:\n%q, %v\nwant\n%q", k, i.Address, got, err, want)
	}
}

// mustRefuse fails the test unless each text is a mistake with its message.
func mustRefuse(t *testing.T, o Options, messages map[string]string) {
	t.Helper()
	for text, want := range messages {
		if k, err := Parse(text, o); err == nil || err.Error() != want {
			t.Errorf("Parse(%q): %v, %v\nwant %s", text, k, err, want)
		}
	}
}

// mustNotVerify fails the test unless each record is one that must not be written.
func mustNotVerify(t *testing.T, k Kind, wants map[Record]string) {
	t.Helper()
	for r, want := range wants {
		if err := k.Verify([]Record{r}); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %q: %v\nwant %s", k, r, err, want)
		}
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		drain     time.Duration
		needsPort bool
		prefixes  []string
	}{
		"plain":                         {0, true, []string{"/service/web/"}},
		"hostport:/a":                   {time.Second, true, []string{"/a/"}},
		"grpc:a/b":                      {time.Second, true, []string{"a/b/"}},
		"dns:web.svc.example":           {7 * time.Second, true, []string{"/skydns/example/svc/web/", "/skydns/example/svc/_tcp/_web/"}},
		"dns:web.svc.example,ttl=30":    {32 * time.Second, true, []string{"/skydns/example/svc/web/", "/skydns/example/svc/_tcp/_web/"}},
		"traefik:web":                   {3 * time.Second, true, []string{"traefik/http/services/web/loadbalancer/servers/"}},
		"traefik-tcp:web":               {3 * time.Second, true, []string{"traefik/tcp/services/web/loadbalancer/servers/"}},
		"/a/{{.ID}}={{.Address}}":       {0, true, []string{"/a/"}},
		"/a/{{.Host}}={{.Container}}":   {0, false, []string{"/a/"}},
		"{{.Host}}/{{.Container}}=here": {0, false, []string{""}},
		"/a/b=c":                        {0, false, []string{"/a/b"}},
	} {
		k := mustParse(t, text)[0]
		if k.String() != text || k.Drain() != want.drain || k.needsPort != want.needsPort || !slices.Equal(k.Prefixes(), want.prefixes) {
			t.Errorf("%q shows as %q: drain %s, needs a port: %t, prefixes %q; want %+v", text, k, k.Drain(), k.needsPort, k.Prefixes(), want)
		}
	}
}

// TestRecordsAreTheSameEachTime: who writes them again must not look like a change.
func TestRecordsAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	i := with(v4, map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}, 7)
	k := mustParse(t, "grpc:web")[0]
	first, err := k.Records(i)
	for range 20 {
		if again, _ := k.Records(i); err != nil || !slices.Equal(first, again) {
			t.Fatalf("%q, %v, then %q", first, err, again)
		}
	}
}

// TestOtherTextIsNoKind: what is no kind is told what the kinds are.
func TestOtherTextIsNoKind(t *testing.T) {
	t.Parallel()
	const kinds = "not a kind of record; give plain, hostport:PREFIX, grpc:TARGET, dns:NAME, traefik:NAME, traefik-tcp:NAME or KEY=VALUE"
	mustRefuse(t, options, map[string]string{
		"":                          kinds,
		"web":                       kinds,
		"Plain":                     kinds,
		"/web":                      kinds,
		"hostports:/web":            kinds,
		"DNS:web.svc.example,ttl=5": kinds,
		"skydns:web={{.Address}}":   kinds,
		"{{a=b":                     kinds,
		"{{.ID=}}":                  kinds,
	})
}

func TestKindsNeedAPort(t *testing.T) {
	t.Parallel()
	const want = "needs the address and the port of the app, which has no port; give one, or KEY=VALUE without .IP, .Port, .Address and .ID"
	o := options
	o.NoPort = true
	for _, text := range []string{"plain", "hostport:/a", "grpc:a", "dns:web.svc.example", "traefik:web", "traefik-tcp:web", "/a/{{.ID}}=b", "/a={{.IP}}", "/a={{.Port}}", "/a={{.Address}}"} {
		mustRefuse(t, o, map[string]string{text: want})
		k := mustParse(t, text)[0]
		if got, err := k.Records(portless); err == nil || err.Error() != "the instance has no address; give the IP and the port that consumers dial" {
			t.Errorf("%s without a port: %q, %v", text, got, err)
		}
	}
}

// TestNobodyDials are addresses that no consumer on another host reaches.
func TestNobodyDials(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.1.0.101:0":         "nobody can dial port 0; give a port from 1 to 65535",
		"[fe80::1%eth0]:80":    "the address has a zone, which means nothing on other hosts; give one that they can dial",
		"[::ffff:10.1.0.1]:80": "the address is an IPv4 address written as IPv6; give 10.1.0.1",
	} {
		for _, k := range mustParse(t, "plain", "dns:web.svc.example", "/a={{.IP}}", "/a=b") {
			if got, err := k.Records(Instance{Address: netip.MustParseAddrPort(text)}); err == nil || err.Error() != want {
				t.Errorf("%s of %s: %q, %v\nwant %s", k, text, got, err, want)
			}
		}
	}
	if got, err := mustParse(t, "traefik:web")[0].Records(with(v4, nil, -1)); err == nil || err.Error() != "no such weight; give a number from 1 to 65535" {
		t.Errorf("a weight below 0: %q, %v", got, err)
	}
}
