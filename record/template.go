package record

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
)

// fieldNames is what a template can use of an instance.
const fieldNames = ".IP, .Port, .Address, .ID, .Container, .Host if the host's name is given, or .Meta.name of a name that meta has"

// mostValue bounds what a template makes; etcd takes 1.5 MiB at once.
const mostValue = 64 << 10

// parseTemplate reads KEY=VALUE, for consumers that have no kind of their own: both sides
// are templates of text/template, cut at the first = outside of {{ }}. A value of JSON
// quotes what it can't know with {{printf "%q" .Meta.name}}.
//
// The traps: text/template writes <no value> for what is missing, and that would be in
// etcd for good; here it is an error, with {{index .Meta "name"}}, too. A text that begins
// like name: is taken for a kind's with a mistake in it, and not for a key. Loops are no
// use to one value, and may have no end.
func parseTemplate(text string, o Options) (Kind, error) {
	keyText, valueText, ok := cutSides(text)
	start, _, _ := strings.Cut(keyText, "/")
	start, _, _ = strings.Cut(start, "{{")
	if !ok || strings.Contains(start, ":") {
		return Kind{}, errNoKind
	}
	if keyText == "" {
		return Kind{}, errors.New("no key before the =; give KEY=VALUE, such as /web/{{.ID}}={{.Address}}")
	}
	key, err := parseSide("key", keyText)
	if err != nil {
		return Kind{}, err
	}
	value, err := parseSide("value", valueText)
	if err != nil {
		return Kind{}, err
	}
	fill := func(fields map[string]any) ([]Record, error) {
		k, err := execute(key, fields)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(strings.ToLower(k), traefikRoot) {
			return nil, errors.New("one field that Traefik doesn't know, and it takes no change any more, from nobody; give traefik:NAME or traefik-tcp:NAME")
		}
		v, err := execute(value, fields)
		if err != nil {
			return nil, err
		}
		return []Record{{k, v}}, nil
	}
	// lacks tells whether the templates can do without some fields.
	lacks := func(names ...string) bool {
		o.NoPort = false
		fields := sampleOf(o).fields()
		for _, name := range names {
			delete(fields, name)
		}
		_, err := fill(fields)
		return err != nil
	}
	if _, err := fill(sampleOf(Options{Meta: o.Meta, Host: o.Host}).fields()); err != nil {
		return Kind{}, err
	}
	return Kind{
		show:      keyText,
		template:  true,
		prefixes:  []string{prefixOf(key)},
		needsPort: lacks("IP", "Port", "Address", "ID"),
		meta:      mentions(key, ".Meta") || mentions(value, ".Meta"),
		host:      mentions(key, ".Host") || mentions(value, ".Host"),
		records:   func(i Instance) ([]Record, error) { return fill(i.fields()) },
		verify:    func(Record) error { return nil },
	}, nil
}

// cutSides cuts at the first = outside of {{ }}.
func cutSides(text string) (key, value string, ok bool) {
	for at := 0; at < len(text); at++ {
		if strings.HasPrefix(text[at:], "{{") {
			end := strings.Index(text[at:], "}}")
			if end < 0 {
				return "", "", false
			}
			at += end + 1
		} else if text[at] == '=' {
			return text[:at], text[at+1:], true
		}
	}
	return "", "", false
}

func parseSide(name, text string) (*template.Template, error) {
	t, err := template.New(name).Option("missingkey=error").
		Funcs(template.FuncMap{"index": indexMeta}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the %s is no template: %s; give fields as in {{.ID}}", name, strings.TrimPrefix(err.Error(), "template: "+name+":"))
	}
	if t.Tree == nil || !isSimple(t.Root) {
		return nil, fmt.Errorf("the %s has a loop or another template in it; give fields as in {{.ID}}, functions, if and with", name)
	}
	return t, nil
}

// indexMeta is {{index .Meta "a name"}}, which otherwise would be empty without such a
// name.
func indexMeta(meta map[string]string, name string) (string, error) {
	value, ok := meta[name]
	if !ok {
		return "", fmt.Errorf("map has no entry for key %q", name)
	}
	return value, nil
}

// isSimple tells whether templates come to an end.
func isSimple(list *parse.ListNode) bool {
	if list == nil {
		return true
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.TextNode, *parse.ActionNode:
		case *parse.IfNode:
			if !isSimple(n.List) || !isSimple(n.ElseList) {
				return false
			}
		case *parse.WithNode:
			if !isSimple(n.List) || !isSimple(n.ElseList) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// mentions tells whether a template has a place for a field, be it in a part that is not for
// every instance.
func mentions(t *template.Template, field string) bool {
	return slices.ContainsFunc(t.Root.Nodes, func(n parse.Node) bool {
		return n.Type() != parse.NodeText && strings.Contains(n.String(), field)
	})
}

// prefixOf is the text with which each key begins.
func prefixOf(key *template.Template) string {
	if len(key.Root.Nodes) > 0 {
		if text, ok := key.Root.Nodes[0].(*parse.TextNode); ok {
			return string(text.Text)
		}
	}
	return ""
}

// fields is what templates see of an instance: what it hasn't isn't there.
func (i Instance) fields() map[string]any {
	meta := i.Meta
	if meta == nil {
		meta = map[string]string{}
	}
	all := map[string]any{"Meta": meta}
	if i.Address.IsValid() {
		all["IP"], all["Port"] = i.Address.Addr().String(), strconv.Itoa(int(i.Address.Port()))
		all["Address"], all["ID"] = i.Address.String(), i.ID()
	}
	if i.Host != "" {
		all["Host"] = i.Host
	}
	if i.Container != "" {
		all["Container"] = i.Container
	}
	return all
}

// execute fills a template in.
func execute(t *template.Template, fields map[string]any) (string, error) {
	var out strings.Builder
	if err := t.Execute(&out, fields); err != nil {
		text := err.Error()
		if _, name, ok := strings.Cut(text, "map has no entry for key "); ok {
			return "", fmt.Errorf("the %s uses %s, which the instance has not; give %s", t.Name(), strings.Trim(name, `"`), fieldNames)
		}
		if _, detail, ok := strings.Cut(text, ">: "); ok {
			text = detail
		}
		return "", fmt.Errorf("the %s can't be filled in: %s; give %s", t.Name(), text, fieldNames)
	}
	if out.Len() > mostValue {
		return "", fmt.Errorf("the %s is too long; give at most %d bytes", t.Name(), mostValue)
	}
	return out.String(), nil
}
