package record

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// mostKinds bounds the kinds of one instance: some have two records, and etcd takes 128
// operations at once (its --max-txn-ops).
const mostKinds = 50

// Check fails if the kinds can't be given together, or not with this meta, this weight
// (0: none given) and this name of the host (empty: none given): two kinds that use the same
// part of the key space, more than etcd takes at once, or meta, a weight or a host's name
// that none of the kinds has a place for.
func Check(kinds []Kind, meta map[string]string, weight int, host string) error {
	if len(kinds) > mostKinds {
		return fmt.Errorf("%d kinds of record, and etcd writes some 100 records at once; give %d at the most", len(kinds), mostKinds)
	}
	for n, b := range kinds {
		for _, a := range kinds[:n] {
			if err := conflict(a, b); err != nil {
				return err
			}
		}
	}
	if err := Verify(samples(kinds)); err != nil {
		return err
	}
	if err := checkMeta(kinds, meta); err != nil {
		return err
	}
	if host != "" && !slices.ContainsFunc(kinds, func(k Kind) bool { return k.host }) {
		return errors.New("none of the kinds of record has a place for the host's name; give KEY=VALUE with {{.Host}}, or no name")
	}
	if weight == 0 {
		return nil
	}
	if err := checkWeight(weight); err != nil {
		return err
	}
	if !slices.ContainsFunc(kinds, func(k Kind) bool { return k.weight }) {
		return fmt.Errorf("none of the kinds of record has a place for a weight; give %s, or no weight",
			syntax(func(f format) bool { return f.weight }))
	}
	if _, ok := meta[metaWeight]; ok && slices.ContainsFunc(kinds, func(k Kind) bool { return k.meta && k.weight }) {
		return errTwoWeights
	}
	return nil
}

// samples are the records of an instance that is made up.
func samples(kinds []Kind) (all []Record) {
	for _, k := range kinds {
		all = append(all, k.sample...)
	}
	return all
}

func checkMeta(kinds []Kind, meta map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		switch {
		case name == "" || !IsPlain(name):
			return errors.New("the name of meta is empty, has a control character or is not UTF-8; give a name such as version")
		case !utf8.ValidString(meta[name]):
			return fmt.Errorf("the value of meta %s is not UTF-8; give plain text", name)
		}
	}
	if len(meta) > 0 && !slices.ContainsFunc(kinds, func(k Kind) bool { return k.meta }) {
		return fmt.Errorf("none of the kinds of record has a place for meta; give %s (with {{.Meta.name}}), or no meta",
			syntax(func(f format) bool { return f.meta }))
	}
	return nil
}

// conflict fails if two kinds use the same part of the key space, where the consumers
// of one would find the records of the other. Templates are pieces of one format, and
// may share all but the key itself.
func conflict(a, b Kind) error {
	switch {
	case a.text == b.text:
		return fmt.Errorf("%s is given twice; give it once", a.show)
	case a.template && b.template:
		if a.sample[0].Key == b.sample[0].Key {
			return fmt.Errorf("two values for the key %s; give each a key of its own", a.show)
		}
		return nil
	}
	for _, p := range a.prefixes {
		for _, q := range b.prefixes {
			overlap := strings.HasPrefix(fold(p), fold(q)) || strings.HasPrefix(fold(q), fold(p))
			switch {
			case a.isAnywhere():
				overlap = strings.HasPrefix(fold(a.sample[0].Key), fold(q))
			case b.isAnywhere():
				overlap = strings.HasPrefix(fold(b.sample[0].Key), fold(p))
			}
			if overlap {
				return fmt.Errorf("%s and %s share the keys at %s, where consumers of one would find what is meant for the other; give each its own",
					a.show, b.show, longer(p, q))
			}
		}
	}
	return nil
}

// isAnywhere tells whether the keys have no beginning in common that says anything: those of
// a template that begins with a field. Its own consumers can't look at all that there is, and
// find nothing that is not theirs; but it may be found itself.
func (k Kind) isAnywhere() bool { return k.template && strings.Trim(k.prefixes[0], "/") == "" }

// fold makes prefixes the same that are so to Traefik, which ignores case below its root.
func fold(prefix string) string {
	if strings.HasPrefix(prefix, traefikRoot) {
		return strings.ToLower(prefix)
	}
	return prefix
}

func longer(a, b string) string {
	if len(a) > len(b) {
		return a
	}
	return b
}
