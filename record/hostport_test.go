package record

import "testing"

func TestHostport(t *testing.T) {
	t.Parallel()
	goZero, confd := mustParse(t, "hostport:web.rpc")[0], mustParse(t, "hostport:/services/web")[0]
	mustMake(t, goZero, v4, Record{"web.rpc/10-1-0-101-49155", "10.1.0.101:49155"})
	mustMake(t, goZero, v6, Record{"web.rpc/2001-0db8-0000-0000-0000-0000-0000-0001-49155", "[2001:db8::1]:49155"})
	mustMake(t, confd, v4, Record{"/services/web/10-1-0-101-49155", "10.1.0.101:49155"})
}

// TestHostportValueIsDialed: go-zero dials the value, whatever else is in it.
func TestHostportValueIsDialed(t *testing.T) {
	t.Parallel()
	k := mustParse(t, "hostport:web")[0]
	mustMake(t, k, with(v4, map[string]string{"a": "b"}, 10), Record{"web/10-1-0-101-49155", "10.1.0.101:49155"})
	const want = "not an address; give one such as 10.1.0.101:49155 or [2001:db8::1]:49155"
	mustNotVerify(t, k, map[Record]string{
		{"web/10-1-0-101-49155", "http://10.1.0.101:49155"}: want,
		{"web/10-1-0-101-49155", "10.1.0.101:49155\n"}:      want,
		{"web/10-1-0-101-49155", "10.1.0.101:049155"}:       want,
		{"web/10-1-0-101-49155", "10.1.0.101:0"}:            want,
		{"web/10-1-0-101-49155", "web:49155"}:               want,
		{"web/10-1-0-101-49155", ""}:                        want,
		{"web/10-1-0-102-49155", "10.1.0.101:49155"}:        "not the key of its address",
		{"webs/10-1-0-101-49155", "10.1.0.101:49155"}:       "the key is not below web/",
	})
}

func TestHostportMistakes(t *testing.T) {
	t.Parallel()
	const none = "hostport has no prefix; give one, such as hostport:service/web"
	const slash = "the prefix ends with a slash; give it without"
	const part = "the prefix has a part that is empty, . or ..; give names with a slash between, such as service/web"
	mustRefuse(t, options, map[string]string{
		"hostport":       none,
		"hostport:":      none,
		"hostport=/web":  none,
		"hostport:/":     slash,
		"hostport:/web/": slash,
		"hostport://web": part,
		"hostport:a/./b": part,
		"hostport:a\x00": "the prefix has a control character, or is not UTF-8; give plain text, such as service/web",
	})
}

// TestForeignFormatsStayOut: a value of another format where CoreDNS or Traefik reads
// would harm more than this instance.
func TestForeignFormatsStayOut(t *testing.T) {
	t.Parallel()
	const traefik = " is where Traefik reads, which may take no change any more with a key of another format there; give traefik:NAME, or another "
	mustRefuse(t, options, map[string]string{
		"hostport:traefik":             "the prefix" + traefik + "prefix",
		"hostport:traefik/http":        "the prefix" + traefik + "prefix",
		"grpc:traefik/web":             "the target" + traefik + "target",
		"hostport:/skydns/example/web": `record "/skydns/example/web/192-0-2-1-49155": ` + noService,
		"hostport:/skydns":             `record "/skydns/192-0-2-1-49155": ` + noService,
	})
	mustParse(t, "hostport:/traefik", "hostport:traefiks", "hostport:/skydnsx", "hostport:skydns")
}
