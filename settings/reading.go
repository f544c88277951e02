package settings

import (
	"errors"
	"strings"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
)

// Reading says what is to be read of etcd, and how it is to be shown.
type Reading struct {
	etcd     *Etcd
	key      *Setting[string]
	prefixes *Setting[[]string]
	output   *Setting[string]
}

// Reading adds the settings of a command that shows what is registered, in one of these
// forms, if there are any; the first one is the default.
func (s *Set) Reading(outputs ...string) *Reading {
	r := &Reading{
		etcd:     s.Etcd(),
		key:      add(s, define(groupShow, "key", "NAME", "service", "parent of the keys"), parseKey),
		prefixes: addLines(s, define(groupShow, "prefix", "TEXT", "", "what the keys begin with, in place of --key; may be repeated:\n/skydns/example/svc/web/"), parsePrefixes),
	}
	for _, f := range []*setting{r.etcd.urls.setting, r.etcd.domain.setting} {
		f.Category = groupEtcd
	}
	if len(outputs) > 0 {
		r.output = s.output(outputs...)
	}
	return r
}

// Listen adds the setting of the address of a server for people.
func (s *Set) Listen(fallback, usage string) *Setting[string] {
	return add(s, define(groupRuns, "listen", "ADDR", fallback, usage), parseListenAddress)
}

// output adds the setting of the form in which something is shown, the first one of these by
// default.
func (s *Set) output(forms ...string) *Setting[string] {
	names := map[string]string{}
	for _, form := range forms {
		names[form] = form
	}
	last := len(forms) - 1
	all := strings.Join(forms[:last], ", ") + " or " + forms[last]
	return add(s, define(groupRuns, "output", "FORMAT", forms[0], all), oneOf("form of output", all, names))
}

// Etcd returns what package etcd needs, once the settings have been read.
func (r *Reading) Etcd() etcd.Config {
	c := r.etcd.Config()
	if r.key.isGiven() && r.prefixes.isGiven() && r.key.byLine() == r.prefixes.byLine() {
		r.key.blamef("what the keys begin with is given too, in place of it: %s; give one of the two", r.prefixes.label())
	}
	r.etcd.urls.set.advise(etcd.ErrPermission, "grant a role of the user read on the prefix %s", strings.Join(r.Prefixes(), " and on "))
	return c
}

// Prefixes are what the keys begin with: as the command line says, and else the environment,
// which may be a sidekick's, too, that has a key.
func (r *Reading) Prefixes() []string {
	if r.prefixes.isGiven() && (r.prefixes.byLine() || !r.key.byLine()) {
		return r.prefixes.Value
	}
	return []string{"/" + r.key.Value + "/"}
}

// Output is the form.
func (r *Reading) Output() string { return r.output.Value }

func parsePrefixes(prefixes []string) ([]string, error) {
	if isNothing(prefixes) {
		return nil, errors.New("nothing; give what the keys begin with, such as /service/")
	}
	for n, prefix := range prefixes {
		if !record.IsPlain(prefix) {
			return nil, quotef(prefix, "has a control character, or is not UTF-8; give plain text, such as /service/")
		}
		for _, other := range prefixes[:n] {
			if strings.HasPrefix(prefix, other) || strings.HasPrefix(other, prefix) {
				return nil, quotef(prefix, "begins as another one, %q, does; give one of the two", other)
			}
		}
	}
	return prefixes, nil
}
