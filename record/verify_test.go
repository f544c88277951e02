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

// TestVerifyReadsWhatCoreDNSReads: one value that it can't read is the end of answers
// for other apps, too, whatever kind it is of.
func TestVerifyReadsWhatCoreDNSReads(t *testing.T) {
	t.Parallel()
	for value, fine := range map[string]bool{
		`{"host":"10.1.0.101","port":1,"ttl":5,"priority":1,"weight":1,"text":"a","mail":true,"targetstrip":1,"group":"a"}`: true,
		`{"text":"hello"}`:       true,
		`{"other":[]}`:           true,
		`{}`:                     true,
		``:                       false,
		`10.1.0.101`:             false,
		`"10.1.0.101"`:           false,
		`[]`:                     false,
		`{"host":"10.1.0.101"`:   false,
		`{"host":"a"} {}`:        false,
		`{"host":1}`:             false,
		`{"port":"80"}`:          false,
		`{"port":1.5}`:           false,
		`{"priority":"1"}`:       false,
		`{"weight":"1"}`:         false,
		`{"ttl":-1}`:             false,
		`{"ttl":4294967296}`:     false,
		`{"text":1}`:             false,
		`{"mail":"true"}`:        false,
		`{"targetstrip":"true"}`: false,
		`{"group":1}`:            false,
	} {
		if err := Verify([]Record{{"/skydns/example/a", value}}); (err == nil) != fine {
			t.Errorf("%s: %v", value, err)
		}
	}
}
