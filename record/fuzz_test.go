package record

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzRecords: whatever is given, what is taken makes records that consumers can read,
// or none; and what is refused is so with what would be right.
func FuzzRecords(f *testing.F) {
	for _, text := range []string{
		"plain", "hostport:/a/b", "grpc:a.b/c", "dns:web.svc.example", "dns:a.b,ttl=30,priority=1", "traefik:web", "traefik-tcp:db-1",
		"/a/{{.ID}}={{.Address}}", `/a/{{.Host}}/{{.Container}}={"ip":{{printf "%q" .IP}},"m":{{.Meta.a}}}`, "/skydns/a/b={}", "a{{/* b */}}={{.}}",
		`{{index .Meta "a"}}={{if .Port}}{{.IP}}{{else}}{{slice .Host 1 2}}{{end}}`, "/a={{range 9}}{{end}}", "hostport:traefik/a", "grpc:/a", "dns:any.a", "",
	} {
		f.Add(text, "service/web", "hello", "b", []byte{10, 1, 0, 101}, uint16(49155), 10)
		f.Add(text, "a", "", "/", []byte("0123456789abcdef"), uint16(1), 0)
	}
	f.Fuzz(func(t *testing.T, text, parent, value, meta string, address []byte, port uint16, weight int) {
		t.Parallel()
		ip, ok := netip.AddrFromSlice(address)
		i := Instance{Host: value, Container: meta, Meta: map[string]string{"a": meta, meta: value}, Weight: weight}
		if ok {
			i.Address = netip.AddrPortFrom(ip, port)
		}
		k, err := Parse(text, Options{Parent: parent, Value: value, NoPort: !ok, Meta: i.Meta, Host: i.Host})
		if err != nil {
			mustBeAnError(t, err)
			return
		}
		if k.String() != text || !ok && k.needsPort || k.Drain() < 0 {
			t.Errorf("Parse(%q) is %q", text, k)
		}
		_ = Check([]Kind{k}, i.Meta, weight, i.Host)
		records, err := k.Records(i)
		if err != nil {
			mustBeAnError(t, err)
			return
		}
		for _, r := range records {
			mustBeReadable(t, k, r)
		}
		if err := Verify(records); err != nil || len(records) == 0 {
			t.Errorf("%q: %q, %v", text, records, err)
		}
	})
}

// mustBeAnError: an error says something, and ends as errors do.
func mustBeAnError(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if text == "" || strings.HasSuffix(text, ".") || strings.Contains(text, "%!") {
		t.Errorf("an error of %q", text)
	}
}

func mustBeReadable(t *testing.T, k Kind, r Record) {
	t.Helper()
	if r.Key == "" || strings.Contains(r.Key, "//") || !utf8.ValidString(r.Key) || strings.ContainsFunc(r.Key, unicode.IsControl) {
		t.Errorf("%q has the key %q", k, r.Key)
	}
	isJSON := strings.HasPrefix(k.String(), "grpc:") || strings.HasPrefix(r.Key, "/skydns/")
	if isJSON && !json.Valid([]byte(r.Value)) {
		t.Errorf("%q has the value %q", k, r.Value)
	}
	below := false
	for _, prefix := range k.Prefixes() {
		below = below || strings.HasPrefix(r.Key, prefix)
	}
	if !below {
		t.Errorf("%q has the key %q, which is not at %q", k, r.Key, k.Prefixes())
	}
}

// FuzzCheck: two kinds that are taken together never write one key.
func FuzzCheck(f *testing.F) {
	f.Add("plain", "hostport:/service")
	f.Add("dns:web.svc.example", "dns:svc.example")
	f.Add("traefik:web", "traefik/http/services/web/loadbalancer/servers/{{.ID}}/url=a")
	f.Add("/a/{{.ID}}=", "/a/{{ .ID }}=")
	f.Add("grpc:a", "hostport:a/b")
	f.Fuzz(func(t *testing.T, a, b string) {
		t.Parallel()
		first, err1 := Parse(a, options)
		second, err2 := Parse(b, options)
		if err1 != nil || err2 != nil || Check([]Kind{first, second}, nil, 0, "") != nil {
			t.Skip()
		}
		sample := sampleOf(options)
		one, err1 := first.Records(sample)
		two, err2 := second.Records(sample)
		if err1 != nil || err2 != nil || Verify(append(one, two...)) != nil {
			t.Errorf("%q and %q: %q, %v, %q, %v", a, b, one, err1, two, err2)
		}
	})
}
