package record

import "testing"

func TestPlain(t *testing.T) {
	t.Parallel()
	k := mustParse(t, "plain")[0]
	mustMake(t, k, v4, Record{"/service/web/10.1.0.101:49155", "hello"})
	mustMake(t, k, v6, Record{"/service/web/[2001:db8::1]:49155", "hello"})
	empty := mustParseWith(t, Options{Parent: "web"}, "plain")[0]
	mustMake(t, empty, v4, Record{"/web/10.1.0.101:49155", ""})
}

func TestPlainHasNoPlaceForMetaAndWeight(t *testing.T) {
	t.Parallel()
	mustMake(t, mustParse(t, "plain")[0], with(v4, map[string]string{"a": "b"}, 10), Record{"/service/web/10.1.0.101:49155", "hello"})
}

func TestPlainMistakes(t *testing.T) {
	t.Parallel()
	const rest = "plain has nothing after it; give plain"
	mustRefuse(t, options, map[string]string{"plain:": rest, "plain:/web": rest, "plain=web": rest, "plain,ttl=5": rest})
	const slash = "the parent of plain's key starts or ends with a slash, which is added; give it without, such as service/web"
	const part = "the parent of plain's key: has a part that is empty, . or ..; give names with a slash between, such as service/web"
	for parent, want := range map[string]string{
		"":         "plain has no parent of its key; give one, such as service/web",
		"/web":     slash,
		"web/":     slash,
		"/":        slash,
		"a//b":     part,
		"a/../b":   part,
		"a\nb":     "the parent of plain's key: has a control character, or is not UTF-8; give plain text, such as service/web",
		"a\xffb":   "the parent of plain's key: has a control character, or is not UTF-8; give plain text, such as service/web",
		"skydns/a": `record "/skydns/a/192.0.2.1:49155": ` + noService,
	} {
		mustRefuse(t, Options{Parent: parent, Value: "hello"}, map[string]string{"plain": want})
	}
}

func TestPlainVerifies(t *testing.T) {
	t.Parallel()
	const want = "not an address; give one such as 10.1.0.101:49155 or [2001:db8::1]:49155"
	mustNotVerify(t, mustParse(t, "plain")[0], map[Record]string{
		{"/service/web/2001:db8::1:49155", ""}: want,
		{"/service/web/10.1.0.101", ""}:        want,
		{"/service/web/a/10.1.0.101:1", ""}:    want,
		{"/service/api/10.1.0.101:1", ""}:      "the key is not below /service/web/",
	})
}
