package record

import (
	"strings"
	"testing"
)

// metaOptions are those of instances with meta.
var metaOptions = Options{Host: "sample-host", Meta: map[string]string{"version": "2", "a-b": `"c"`}}

func TestTemplate(t *testing.T) {
	t.Parallel()
	i4, i6 := with(v4, metaOptions.Meta, 0), with(v6, metaOptions.Meta, 0)
	for text, want := range map[string][2]Record{
		"/web/{{.ID}}={{.Address}}": {
			{"/web/10-1-0-101-49155", "10.1.0.101:49155"},
			{"/web/2001-0db8-0000-0000-0000-0000-0000-0001-49155", "[2001:db8::1]:49155"},
		},
		"web/{{.Host}}/{{.Container}}={{.IP}} {{.Port}}": {
			{"web/node1/web-1", "10.1.0.101 49155"}, {"web/node1/web-1", "2001:db8::1 49155"},
		},
		`/web={"v":{{printf "%q" .Meta.version}},"c":{{index .Meta "a-b" | printf "%q"}}}`: {
			{"/web", `{"v":"2","c":"\"c\""}`}, {"/web", `{"v":"2","c":"\"c\""}`},
		},
		`/web/{{if eq .Port "49155"}}a{{else}}b{{end}}{{with .Host}}/{{.}}{{end}}=`: {
			{"/web/a/node1", ""}, {"/web/a/node1", ""},
		},
	} {
		k := mustParseWith(t, metaOptions, text)[0]
		mustMake(t, k, i4, want[0])
		mustMake(t, k, i6, want[1])
	}
}

// TestTemplateIsCutAtTheFirstEquals outside of {{ }}: the rest are the value's.
func TestTemplateIsCutAtTheFirstEquals(t *testing.T) {
	t.Parallel()
	mustMake(t, mustParse(t, "/web=a=b={{.Port}}")[0], v4, Record{"/web", "a=b=49155"})
	mustMake(t, mustParse(t, "/web/{{$port := .Port}}{{$port}}={{$host := .Host}}{{$host}}=c")[0], v4, Record{"/web/49155", "node1=c"})
	mustMake(t, mustParse(t, "/web=plain:a")[0], v4, Record{"/web", "plain:a"})
	mustMake(t, mustParse(t, "/web:a={{.Port}}")[0], v4, Record{"/web:a", "49155"})
}

// TestTemplateOfAnInstanceWithoutAPort uses what such an instance has.
func TestTemplateOfAnInstanceWithoutAPort(t *testing.T) {
	t.Parallel()
	o := Options{NoPort: true, Host: "sample-host", Meta: map[string]string{"a": "b"}}
	mustMake(t, mustParseWith(t, o, "/batch/{{.Container}}={{.Host}} {{.Meta.a}}")[0], with(portless, o.Meta, 0), Record{"/batch/web-1", "node1 b"})
}

// TestTemplateShowsAMistakeAtStart: a field that is not there is no <no value> in etcd.
func TestTemplateShowsAMistakeAtStart(t *testing.T) {
	t.Parallel()
	const fields = ", which the instance has not; give .IP, .Port, .Address, .ID, .Container, .Host if the host's name is given, or .Meta.name of a name that meta has"
	const loop = " has a loop or another template in it; give fields as in {{.ID}}, functions, if and with"
	mustRefuse(t, metaOptions, map[string]string{
		"traefik/http/services/web/loadbalancer/servers/{{.ID}}/wieght=1": "one field that Traefik doesn't know, and it takes no change any more, from nobody; give traefik:NAME or traefik-tcp:NAME",
		`{{"Traefik"}}/http/{{.ID}}=1`:                                    "one field that Traefik doesn't know, and it takes no change any more, from nobody; give traefik:NAME or traefik-tcp:NAME",
		"=a":                                                              "no key before the =; give KEY=VALUE, such as /web/{{.ID}}={{.Address}}",
		"/web={{.Ip}}":                                                    "the value uses Ip" + fields,
		"/{{.Addr}}=a":                                                    "the key uses Addr" + fields,
		"/web={{.Meta.zone}}":                                             "the value uses zone" + fields,
		`/web={{index .Meta "zone"}}`:                                     "the value uses zone" + fields,
		"/web={{.Weight}}":                                                "the value uses Weight" + fields,
		"/web={{.Host.Name}}":                                             "the value can't be filled in: can't evaluate field Name in type interface {}; give .IP, .Port, .Address, .ID, .Container, .Host if the host's name is given, or .Meta.name of a name that meta has",
		"/web={{IP}}":                                                     `the value is no template: 1: function "IP" not defined; give fields as in {{.ID}}`,
		"/web={{.IP":                                                      "the value is no template: 1: unclosed action; give fields as in {{.ID}}",
		"/web={{}}":                                                       "the value is no template: 1: missing value for command; give fields as in {{.ID}}",
		"/{{if}}=":                                                        "the key is no template: 1: missing value for if; give fields as in {{.ID}}",
		"/web={{range 9}}{{end}}":                                         "the value" + loop,
		"/web={{if 1}}{{range 9}}{{end}}{{end}}":                          "the value" + loop,
		`/web={{template "value"}}`:                                       "the value" + loop,
		`/web={{block "a" .}}a{{end}}`:                                    "the value" + loop,
		`/web={{printf "%99999d" 1}}`:                                     "the value is too long; give at most 65536 bytes",
		"/web/{{with .Port}}{{end}}=":                                     `record "/web/": ends with a slash; give it without`,
		"/web//{{.ID}}=":                                                  `record "/web//192-0-2-1-49155": has a part that is empty, . or ..; give names with a slash between, such as service/web`,
		"/web/..=":                                                        `record "/web/..": has a part that is empty, . or ..; give names with a slash between, such as service/web`,
		"/web\x01=":                                                       `record "/web\x01": has a control character, or is not UTF-8; give plain text, such as service/web`,
		"{{with .Meta.none}}{{end}}=a":                                    "the key uses none" + fields,
		`{{print ""}}=a`:                                                  `record "": an empty key; give names with a slash between, such as service/web`,
		"/skydns/example/web/{{.ID}}={{.IP}}":                             `record "/skydns/example/web/192-0-2-1-49155": ` + noService,
	})
	mustParse(t, `/skydns/example/web/{{.ID}}={"text":"hello","ttl":5}`)
}

// TestTemplateLacksWhatIsEmpty: at the sample's all is there, and at an instance not.
func TestTemplateLacksWhatIsEmpty(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/a/{{.Host}}=":      "the key uses Host, which the instance has not; give ",
		"/a={{.Container}}":  "the value uses Container, which the instance has not; give ",
		"/a={{.Meta.a}}":     "the value uses a, which the instance has not; give ",
		"/a/{{.Meta.b}}/c=d": `record "/a//c": has a part that is empty, . or ..; give names`,
	} {
		k := mustParseWith(t, Options{Host: "sample-host", Meta: map[string]string{"a": "1", "b": "2"}}, text)[0]
		i := Instance{Address: v4.Address, Meta: map[string]string{"b": ""}}
		if got, err := k.Records(i); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %q, %v\nwant %s", text, got, err, want)
		}
	}
}
