package record

import (
	"strings"
	"testing"
)

// TestVerifyTogether is what holds for all records that are written at once.
func TestVerifyTogether(t *testing.T) {
	t.Parallel()
	var all []Record
	for _, k := range mustParse(t, "plain", "hostport:/a", "grpc:a", "dns:web.svc.example", "traefik:web", "traefik-tcp:web", "/b/{{.ID}}={{.Address}}") {
		records, err := k.Records(with(v4, nil, 10))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, records...)
	}
	if err := Verify(all); err != nil || len(all) != 9 {
		t.Errorf("%q: %v", all, err)
	}
	if err := Verify(nil); err != nil {
		t.Error(err)
	}
}

func TestVerifyMistakes(t *testing.T) {
	t.Parallel()
	for want, records := range map[string][]Record{
		`record "/a": two values for one key; give each a key of its own`: {{"/a", "1"}, {"/b", "1"}, {"/a", "1"}},
		`record "": an empty key; `:                                       {{"", "1"}},
		`record "/a/": ends with a slash; `:                               {{"/a/", "1"}},
		`record "/": ends with a slash; `:                                 {{"/", "1"}},
		`record "//a": has a part that is empty, `:                        {{"//a", "1"}},
		`record "a/../b": has a part that is empty, `:                     {{"a/../b", "1"}},
		`record "a\xff": has a control character, or is not UTF-8; `:      {{"a\xff", "1"}},
		`record "a\u0085": has a control character, or is not UTF-8; `:    {{"a\u0085", "1"}},
		`record "/skydns/a": ` + noService:                                {{"/skydns/a", "1"}},
	} {
		if err := Verify(records); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", records, err, want)
		}
	}
}

var (
	label63 = strings.Repeat("a", 63)
	name253 = label63 + "." + label63 + "." + label63 + "." + label63[:61]
)

// TestVerifyNamesThatDNSCanHold: one key that makes no name is the end of answers for others
// above it, too.
func TestVerifyNamesThatDNSCanHold(t *testing.T) {
	t.Parallel()
	for key, fine := range map[string]bool{
		"example/web/10-1-0-101-80":                 true,
		"example/_tcp/_web/web-1":                   true,
		"example/web/10.1.0.101":                    true,
		"example/" + label63:                        true,
		"example/" + label63 + "a":                  false,
		"example/" + label63 + "a/web":              false,
		"example/a." + label63 + "a":                false,
		"example/a..b":                              false,
		"example/.a":                                false,
		"example/a.":                                false,
		`example/a\b`:                               false,
		strings.ReplaceAll(name253, ".", "/"):       true,
		strings.ReplaceAll(name253, ".", "/") + "a": false,
	} {
		if err := Verify([]Record{{skydnsRoot + key, `{"host":"10.1.0.101","ttl":5}`}}); (err == nil) != fine {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestVerifyTotal: etcd refuses what is too long together, again and again.
func TestVerifyTotal(t *testing.T) {
	t.Parallel()
	records := []Record{{"/a", strings.Repeat("x", mostTotal/2)}, {"/b", strings.Repeat("x", mostTotal/2-2*len("/a/b"))}}
	if err := Verify(records); err != nil {
		t.Error(err)
	}
	records[1].Value += "x"
	const want = "the records together are too long for etcd, which takes 1.5 MiB at once; give shorter values, shorter meta or fewer kinds, 1048576 bytes in all at the most, where a key counts twice"
	if err := Verify(records); message(err) != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestVerifyReadsWhatCoreDNSReads: one value that it can't read is the end of answers
// for other apps, too, whatever kind it is of.
func TestVerifyReadsWhatCoreDNSReads(t *testing.T) {
	t.Parallel()
	for value, fine := range map[string]bool{
		`{"host":"10.1.0.101","port":1,"ttl":5,"priority":1,"weight":1,"text":"a","mail":true,"targetstrip":1,"group":"a"}`: true,
		`{"text":"hello","ttl":5}`:                    true,
		`{"host":"app-1.Example","ttl":5,"other":[]}`: true,
		`{"host":"_a.app-1.example.","ttl":5}`:        true,
		`{"host":"2001:db8::1","ttl":4294967295}`:     true,
		`{"host":"` + label63 + `.example","ttl":5}`:  true,
		`{"host":"` + label63 + `a.example","ttl":5}`: false,
		`{"host":"` + name253 + `","ttl":5}`:          true,
		`{"host":"` + name253 + `a","ttl":5}`:         false,
		`{"host":"10.1.0.101"}`:                       false, // without a TTL
		`{"text":"hello"}`:                            false,
		`{"host":"10.1.0.101","ttl":0}`:               false,
		`{"ttl":5}`:                                   false, // without a host
		`{"host":"","ttl":5}`:                         false,
		`{"host":".","ttl":5}`:                        false,
		`{"host":"a..b","ttl":5}`:                     false,
		`{"host":".a","ttl":5}`:                       false,
		`{"host":"\u212Aa","ttl":5}`:                  false,
		`{"host":"a b","ttl":5}`:                      false,
		`{"host":"a\\","ttl":5}`:                      false,
		`{"host":"10.1.0.256","ttl":5}`:               false,
		`{"host":"10.1.0.101:80","ttl":5}`:            false,
		`{"host":"[2001:db8::1]","ttl":5}`:            false,
		`{"host":"fe80::1%eth0","ttl":5}`:             false,
		`{"host":"a..b","text":"hello","ttl":5}`:      false,
		`{}`:                                          false,
		``:                                            false,
		`10.1.0.101`:                                  false,
		`"10.1.0.101"`:                                false,
		`[]`:                                          false,
		`{"host":"10.1.0.101"`:                        false,
		`{"host":"a"} {}`:                             false,
		`{"host":1}`:                                  false,
		`{"port":"80"}`:                               false,
		`{"port":1.5}`:                                false,
		`{"priority":"1"}`:                            false,
		`{"weight":"1"}`:                              false,
		`{"ttl":-1}`:                                  false,
		`{"ttl":4294967296}`:                          false,
		`{"text":1}`:                                  false,
		`{"mail":"true"}`:                             false,
		`{"targetstrip":"true"}`:                      false,
		`{"group":1}`:                                 false,
	} {
		if err := Verify([]Record{{"/skydns/example/a", value}}); (err == nil) != fine {
			t.Errorf("%s: %v", value, err)
		}
	}
}
