package record

import (
	"fmt"
	"strings"
	"testing"
)

// TestCheckConflicts: kinds whose consumers would find what is meant for others.
func TestCheckConflicts(t *testing.T) {
	t.Parallel()
	shared := func(a, b, prefix string) string {
		return a + " and " + b + " share the keys at " + prefix + ", where consumers of one would find what is meant for the other; give each its own"
	}
	for _, tt := range []struct{ a, b, want string }{
		{"plain", "plain", "plain is given twice; give it once"},
		{"grpc:a", "grpc:a", "grpc:a is given twice; give it once"},
		{"/a={{.Port}}", "/a={{.Port}}", "/a is given twice; give it once"},

		{"plain", "hostport:/service/web", shared("plain", "hostport:/service/web", "/service/web/")},
		{"plain", "hostport:/service", shared("plain", "hostport:/service", "/service/web/")},
		{"plain", "hostport:/service/web/a", shared("plain", "hostport:/service/web/a", "/service/web/a/")},
		{"hostport:a", "grpc:a", shared("hostport:a", "grpc:a", "a/")},
		{"hostport:a", "grpc:a/b", shared("hostport:a", "grpc:a/b", "a/b/")},
		{"hostport:a", "hostport:a/b/c", shared("hostport:a", "hostport:a/b/c", "a/b/c/")},
		{"plain", "hostport:service/web", ""},
		{"hostport:/a", "grpc:a", ""},
		{"hostport:a", "grpc:ab", ""},
		{"hostport:a/b", "grpc:a/c", ""},

		{"dns:web.svc.example", "dns:web.svc.example,ttl=9", shared("dns:web.svc.example", "dns:web.svc.example,ttl=9", "/skydns/example/svc/web/")},
		{"dns:web.svc.example", "dns:svc.example", shared("dns:web.svc.example", "dns:svc.example", "/skydns/example/svc/web/")},
		{"dns:a.web.svc.example", "dns:web.svc.example", shared("dns:a.web.svc.example", "dns:web.svc.example", "/skydns/example/svc/web/a/")},
		{"dns:web.svc.example", "dns:api.svc.example", ""},
		{"dns:web.svc.example", "dns:web.example", ""},

		{"traefik:web", "traefik:web-2", ""},
		{"traefik:web", "traefik-tcp:web", ""},

		{"hostport:/a", "/a/{{.ID}}/port={{.Port}}", shared("hostport:/a", "/a/{{.ID}}/port", "/a/")},
		{"hostport:/a", "/a/b={{.Port}}", shared("hostport:/a", "/a/b", "/a/b")},
		{"hostport:/abc", "/a{{.Host}}={{.Port}}", shared("hostport:/abc", "/a{{.Host}}", "/abc/")},
		{"hostport:/a", "{{.Host}}={{.Port}}", ""},
		{"hostport:/a", "/{{.Host}}/x={{.Port}}", ""},
		{"hostport:sample-host", "{{.Host}}={{.Port}}", ""},
		{"hostport:sample-host", "{{.Host}}/{{.ID}}={{.Port}}", shared("hostport:sample-host", "{{.Host}}/{{.ID}}", "sample-host/")},
		{"plain", "/{{print `service`}}/web/{{.ID}}={{.Port}}", shared("plain", "/{{print `service`}}/web/{{.ID}}", "/service/web/")},
		{"dns:web.svc.example", `/skydns/example/svc/web/{{.ID}}={"text":"a","ttl":5}`, shared("dns:web.svc.example", "/skydns/example/svc/web/{{.ID}}", "/skydns/example/svc/web/")},
		{"hostport:/a", "/b/{{.ID}}={{.Port}}", ""},

		{"/a/{{.ID}}/ip={{.IP}}", "/a/{{.ID}}/port={{.Port}}", ""},
		{"/a/{{.ID}}={{.IP}}", "/a/{{.ID}}/port={{.Port}}", ""},
		{"/a/{{.ID}}={{.IP}}", "/a/{{ .ID }}={{.Port}}", "two values for the key /a/{{.ID}}; give each a key of its own"},
	} {
		if got := message(Check(mustParse(t, "/unrelated=a", tt.a, "hostport:unrelated", tt.b), nil, 0, "")); got != tt.want {
			t.Errorf("%s and %s: %s\nwant %s", tt.a, tt.b, got, tt.want)
		}
		if got := message(Check(mustParse(t, tt.b, tt.a), nil, 0, "")); (got == "") != (tt.want == "") {
			t.Errorf("%s and %s, the other way around: %s", tt.b, tt.a, got)
		}
	}
}

// message is an error's, and empty if there is none.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestCheckMetaAndWeight: what no kind has a place for would be lost without a word.
func TestCheckMetaAndWeight(t *testing.T) {
	t.Parallel()
	a := map[string]string{"a": "b"}
	const (
		noMeta   = "none of the kinds of record has a place for meta; give grpc:TARGET or KEY=VALUE (with {{.Meta.name}}), or no meta"
		noWeight = "none of the kinds of record has a place for a weight; give grpc:TARGET, dns:NAME or traefik:NAME, or no weight"
		number   = "no such weight; give a number from 1 to 65535"
		name     = "the name of meta is empty, has a control character or is not UTF-8; give a name such as version"
	)
	for _, tt := range []struct {
		kinds  []string
		meta   map[string]string
		weight int
		want   string
	}{
		{[]string{"plain", "hostport:a", "traefik-tcp:a"}, nil, 0, ""},
		{nil, nil, 0, ""},
		{[]string{"plain", "hostport:a", "traefik-tcp:a", "traefik:a", "dns:a.b", "/b={{.IP}}"}, a, 0, noMeta},
		{nil, a, 0, noMeta},
		{[]string{"plain", "grpc:a"}, a, 0, ""},
		{[]string{"plain", "/b={{.Meta.a}}"}, a, 0, ""},
		{[]string{"/b/{{index .Meta \"a\"}}="}, a, 0, ""},
		{[]string{"plain", "hostport:a", "traefik-tcp:a", "/b={{.Meta.a}}"}, a, 1, noWeight},
		{nil, nil, 1, noWeight},
		{[]string{"plain", "grpc:a"}, nil, 1, ""},
		{[]string{"plain", "dns:a.b"}, nil, 65535, ""},
		{[]string{"plain", "traefik:a"}, nil, 1, ""},
		{[]string{"traefik:a"}, nil, -1, number},
		{[]string{"traefik:a"}, nil, 65536, number},
		{[]string{"traefik:a"}, a, 1, noMeta},
		{[]string{"grpc:a"}, map[string]string{"weight": "1"}, 1, "meta has a weight of its own; give one of the two"},
		{[]string{"grpc:a"}, map[string]string{"weight": "1"}, 0, ""},
		{[]string{"traefik:a", "/b={{.Meta.weight}}"}, map[string]string{"weight": "1"}, 1, ""},
		{[]string{"grpc:a"}, map[string]string{"": "b"}, 0, name},
		{[]string{"grpc:a"}, map[string]string{"a\n": "b"}, 0, name},
		{[]string{"grpc:a"}, map[string]string{"a\xff": "b"}, 0, name},
		{[]string{"grpc:a"}, map[string]string{"a": "\xff"}, 0, "the value of meta a is not UTF-8; give plain text"},
	} {
		kinds := mustParseWith(t, Options{Parent: "p", Meta: tt.meta}, tt.kinds...)
		if got := message(Check(kinds, tt.meta, tt.weight, "")); got != tt.want {
			t.Errorf("%q, meta %q, weight %d: %s\nwant %s", tt.kinds, tt.meta, tt.weight, got, tt.want)
		}
	}
}

// TestCheckHost: a name of the host that no template uses would be lost without a word.
func TestCheckHost(t *testing.T) {
	t.Parallel()
	const noHost = "none of the kinds of record has a place for the host's name; give KEY=VALUE with {{.Host}}, or no name"
	for text, want := range map[string]string{
		"grpc:web":                                noHost,
		"/a/x.Host={{.ID}}":                       noHost,
		"/a/{{.Host}}=x":                          "",
		"/a={{with .Host}}{{.}}{{end}}":           "",
		`/a={{if eq .Port "1"}}{{.Host}}{{end}}`:  "",
		`/a={{if eq .Port "1"}}1{{else}}.{{end}}`: noHost,
	} {
		if got := message(Check(mustParse(t, text, "dns:web.svc.example"), nil, 0, "app-1")); got != want {
			t.Errorf("%s: %s\nwant %s", text, got, want)
		}
	}
}

// etcd refuses a transaction of more than some hundred records, again and again.
func TestCheckMany(t *testing.T) {
	t.Parallel()
	var texts []string
	for n := range mostKinds + 1 {
		texts = append(texts, fmt.Sprintf("hostport:/a%d/x", n))
	}
	if err := Check(mustParse(t, texts[:mostKinds]...), nil, 0, ""); err != nil {
		t.Errorf("%d kinds: %v", mostKinds, err)
	}
	if err := Check(mustParse(t, texts...), nil, 0, ""); err == nil || !strings.Contains(err.Error(), "give 50 at the most") {
		t.Errorf("%d kinds: %v", mostKinds+1, err)
	}
	o := options
	o.Meta = map[string]string{"a": strings.Repeat("x", mostTotal/2)}
	if err := Check(mustParseWith(t, o, "grpc:a"), o.Meta, 0, ""); err != nil {
		t.Error(err)
	}
	if err := Check(mustParseWith(t, o, "grpc:a", "grpc:b"), o.Meta, 0, ""); err == nil || !strings.HasPrefix(err.Error(), "the records together are too long for etcd") {
		t.Errorf("1 MiB: %v", err)
	}
}
