// Package record makes of an instance the keys and values that its consumers read in
// etcd. Each kind of record has a file of its own, which reads its part of what people
// give, too, and a row in the table of formats.
package record

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Record is a key in etcd, and what is stored under it.
type Record struct{ Key, Value string }

// Records are those of one instance, which are written together and vanish together. There
// is at least one, and no two have the same key.
type Records []Record

// Key is the first one's, which stands for all where one is shown.
func (r Records) Key() string { return r[0].Key }

// Options are what a kind needs to know that its text doesn't say.
type Options struct {
	Parent string // of the plain record's key, without slashes around it
	Value  string // of the plain record
	// NoPort says that the instance has no port: a kind that needs one is a mistake.
	NoPort bool
	// Meta and Host are the instance's, so that a template that uses what it lacks is a
	// mistake.
	Meta map[string]string
	Host string
}

// Kind is a kind of record as it was given; Parse makes one. It is safe for
// concurrent use.
type Kind struct {
	text      string
	show      string // the text for errors, with what may be secret left out
	prefixes  []string
	drain     time.Duration
	needsPort bool
	template  bool
	meta      bool // it has a place for meta
	weight    bool // and for a weight
	host      bool // and for the host's name
	sample    []Record

	records func(Instance) ([]Record, error)
	verify  func(Record) error
}

// format is a row of the table: what follows its name is its own.
type format struct {
	name   string
	syntax string // for people: what can be given
	meta   bool   // it has a place for meta; of templates, those that use it
	weight bool   // and for a weight
	// parse reads what follows the name, which is nothing or begins with a colon, a
	// comma or an equals sign.
	parse func(rest string, o Options) (Kind, error)
}

var formats = []format{
	{"plain", "plain", false, false, parsePlain},
	{"hostport", "hostport:PREFIX", false, false, parseHostport},
	{"grpc", "grpc:TARGET", true, true, parseGRPC},
	{"dns", "dns:NAME", false, true, parseDNS},
	{"traefik", "traefik:NAME", false, true, parseTraefik(traefikHTTP)},
	{"traefik-tcp", "traefik-tcp:NAME", false, false, parseTraefik(traefikTCP)},
	{"", "KEY=VALUE", true, false, parseTemplate},
}

// errNoKind is an error of parseTemplate's where no kind of record is meant.
var errNoKind = errors.New("not a kind of record")

// Parse reads a kind of record. It makes the records of an instance that is made up, too:
// what can't work with any shows at once. An error says what would be right.
func Parse(text string, o Options) (Kind, error) {
	f, rest := formatOf(text)
	k, err := f.parse(rest, o)
	if errors.Is(err, errNoKind) {
		return Kind{}, fmt.Errorf("%w; give %s", errNoKind, syntax(func(format) bool { return true }))
	}
	if err != nil {
		return Kind{}, err
	}
	k.text = text
	if f.name != "" { // of a template, parseTemplate knows
		k.show, k.needsPort, k.meta, k.weight = text, true, f.meta, f.weight
	}
	if k.needsPort && o.NoPort {
		return Kind{}, errors.New("needs the address and the port of the app, which has no port; give one, or KEY=VALUE without .IP, .Port, .Address and .ID")
	}
	if k.sample, err = k.Records(sampleOf(o)); err != nil {
		return Kind{}, err
	}
	return k, nil
}

// formatOf returns the format that a text is meant to be, and what follows its name.
func formatOf(text string) (format, string) {
	end := strings.IndexAny(text, ":,=")
	if end < 0 {
		end = len(text)
	}
	for _, f := range formats {
		if f.name != "" && f.name == text[:end] {
			return f, text[end:]
		}
	}
	return formats[len(formats)-1], text
}

// syntax lists what Parse takes, of the formats that fit.
func syntax(fits func(format) bool) string {
	var all []string
	for _, f := range formats {
		if fits(f) {
			all = append(all, f.syntax)
		}
	}
	last := len(all) - 1
	if last == 0 {
		return all[0]
	}
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

// sampleOf is an instance that is made up, at an address for documentation (RFC 5737).
func sampleOf(o Options) Instance {
	i := Instance{Host: o.Host, Container: "sample-container", Meta: o.Meta}
	if !o.NoPort {
		i.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 49155)
	}
	return i
}

// String returns the kind as it was given.
func (k Kind) String() string { return k.text }

// Records returns the records of an instance: the same ones in the same order each
// time, and all of them as Verify wants them. What the kind has no place for, it leaves
// out: Check tells.
func (k Kind) Records(i Instance) (Records, error) {
	if k.needsPort || i.Address.IsValid() {
		if err := i.dialable(); err != nil {
			return nil, err
		}
	}
	if i.Weight != 0 {
		if err := checkWeight(i.Weight); err != nil {
			return nil, err
		}
	}
	records, err := k.records(i)
	if err == nil {
		err = k.Verify(records)
	}
	if err != nil {
		return nil, err
	}
	return records, nil
}

// Drain returns how long after the records are gone a consumer may still send to the
// instance, because it has not seen that yet.
func (k Kind) Drain() time.Duration { return k.drain }

// Brief returns the kind as it was given, for errors: of a template the key's alone, as the
// value may be long, or secret.
func (k Kind) Brief() string { return k.show }

// Prefixes returns what part of the key space the kind uses: its keys begin with one of
// them. All but a template's end with a slash, and a template's may be empty, or a slash
// alone.
func (k Kind) Prefixes() []string { return slices.Clone(k.prefixes) }
