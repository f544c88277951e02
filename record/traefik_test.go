package record

import (
	"strings"
	"testing"
)

func TestTraefik(t *testing.T) {
	t.Parallel()
	const web = "traefik/http/services/web/loadbalancer/servers/"
	const id6 = "2001-0db8-0000-0000-0000-0000-0000-0001-49155"
	k := mustParse(t, "traefik:web")[0]
	mustMake(t, k, v4, Record{web + "10-1-0-101-49155/url", "http://10.1.0.101:49155"})
	mustMake(t, k, v6, Record{web + id6 + "/url", "http://[2001:db8::1]:49155"})
	mustMake(t, k, with(v4, map[string]string{"a": "b"}, 10),
		Record{web + "10-1-0-101-49155/url", "http://10.1.0.101:49155"},
		Record{web + "10-1-0-101-49155/weight", "10"})
}

func TestTraefikTCP(t *testing.T) {
	t.Parallel()
	const db = "traefik/tcp/services/db-1/loadbalancer/servers/"
	const id6 = "2001-0db8-0000-0000-0000-0000-0000-0001-49155"
	k := mustParse(t, "traefik-tcp:db-1")[0]
	mustMake(t, k, v4, Record{db + "10-1-0-101-49155/address", "10.1.0.101:49155"})
	mustMake(t, k, v6, Record{db + id6 + "/address", "[2001:db8::1]:49155"})
}

// TestTraefikTCPHasNoWeight: its server has no such field, which would freeze Traefik.
func TestTraefikTCPHasNoWeight(t *testing.T) {
	t.Parallel()
	k := mustParse(t, "traefik-tcp:db")[0]
	mustMake(t, k, with(v4, nil, 10),
		Record{"traefik/tcp/services/db/loadbalancer/servers/10-1-0-101-49155/address", "10.1.0.101:49155"})
}

// TestTraefikHasNoLeadingSlash: below /traefik it reads nothing.
func TestTraefikHasNoLeadingSlash(t *testing.T) {
	t.Parallel()
	for _, k := range mustParse(t, "traefik:web", "traefik-tcp:web") {
		records, err := k.Records(v4)
		if err != nil || !strings.HasPrefix(records[0].Key, "traefik/") {
			t.Errorf("%q, %v", records, err)
		}
	}
}

// TestTraefikFreezesAtAnUnknownField: nothing else is ever written.
func TestTraefikFreezesAtAnUnknownField(t *testing.T) {
	t.Parallel()
	const field = "a field that Traefik doesn't know, so that it takes no change any more"
	const server = "not a server of Traefik's; it is such as http://10.1.0.101:49155"
	const web = "traefik/http/services/web/loadbalancer/servers/"
	const one = web + "10-1-0-101-49155/"
	mustNotVerify(t, mustParse(t, "traefik:web")[0], map[Record]string{
		{one + "uri", "http://10.1.0.101:49155"}:                          field,
		{one + "address", "10.1.0.101:49155"}:                             field,
		{one + "meta/a", "b"}:                                             field,
		{one + "url/a", "http://10.1.0.101:49155"}:                        field,
		{web + "10-1-0-101-49155", "http://10.1.0.101:49155"}:             field,
		{one + "url", "10.1.0.101:49155"}:                                 server,
		{one + "url", "http://10.1.0.101:49155/"}:                         server,
		{one + "url", "http://2001:db8::1:49155"}:                         server,
		{web + "10-1-0-102-49155/url", "http://10.1.0.101:49155"}:         "not the key of its address",
		{one + "weight", ""}:                                              "a weight that is no number",
		{one + "weight", "heavy"}:                                         "a weight that is no number",
		{one + "weight", "0"}:                                             "no such weight; give a number from 1 to 65535",
		{"/" + one + "url", "http://10.1.0.101:49155"}:                    "the key is not below " + web,
		{"traefik/http/services/web/loadbalancer/sticky", "true"}:         "the key is not below " + web,
		{strings.Replace(one, "web", "Web", 1) + "url", "http://a:49155"}: "the key is not below " + web,
	})
	mustNotVerify(t, mustParse(t, "traefik-tcp:web")[0], map[Record]string{
		{"traefik/tcp/services/web/loadbalancer/servers/10-1-0-101-49155/weight", "10"}:                field,
		{"traefik/tcp/services/web/loadbalancer/servers/10-1-0-101-49155/url", "http://10.1.0.101:80"}: field,
	})
}

// TestTraefikNamesAreOneInAnyCase: Traefik merges Web and web, so there is one way to
// write it; and it takes a name of digits for a place in a list.
func TestTraefikNamesAreOneInAnyCase(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"traefik", "traefik-tcp"} {
		none := kind + " has no name of a service; give one, such as " + kind + ":web"
		chars := "the name of a service is not made of lower-case letters, digits and inner dashes, or too long; give one such as " + kind + ":web, without @etcd"
		mustRefuse(t, options, map[string]string{
			kind:               none,
			kind + ":":         none,
			kind + "=web":      none,
			kind + ":Web":      chars,
			kind + ":web@etcd": chars,
			kind + ":web/a":    chars,
			kind + ":/web":     chars,
			kind + ":web.a":    chars,
			kind + ":web_a":    chars,
			kind + ":-web":     chars,
			kind + ":web\n":    chars,
			kind + ":123":      "a name of digits is a place in a list to Traefik; give one such as " + kind + ":web",
		})
	}
}
