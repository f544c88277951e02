package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"dockreg/record"
)

// Records says what consumers read.
type Records struct {
	key, value *Setting[string]
	record     *Setting[[]string]
	meta       *Setting[map[string]string]
	weight     *Setting[int]
	hostName   *Setting[string]

	kinds []record.Kind
}

// records adds the settings of what consumers read.
func (s *Set) records() *Records {
	return &Records{
		record:   addLines(s, define(groupWhat, "record", "KIND", "plain", "what consumers read; may be repeated: plain,\nhostport:PREFIX, grpc:TARGET, dns:NAME, traefik:NAME,\ntraefik-tcp:NAME or KEY=VALUE with fields as in {{.ID}}"), parseRecords),
		key:      add(s, define(groupWhat, "key", "NAME", "service", "parent of the plain record's key; may hold inner slashes:\nservice/web"), parseKey),
		value:    add(s, define(groupWhat, "value", "TEXT", "running", "what is stored under the plain record's key"), anyText),
		meta:     addLines(s, define(groupWhat, "meta", "NAME=TEXT", "", "more about the instance, for grpc and KEY=VALUE; may be\nrepeated"), parseMeta),
		weight:   add(s, define(groupWhat, "weight", "N", "", "the instance's share of the load, for dns, grpc and traefik"), parseCount),
		hostName: add(s, define(groupWhat, "host-name", "NAME", "", "the host's name, for KEY=VALUE with {{.Host}}"), parseHostName),
	}
}

// read makes kinds of records of what was given, and holds them against each other. Of an
// app that has no port, those that need one are a mistake.
func (r *Records) read(noPort bool) {
	if r.record.wrong || r.meta.wrong || r.key.wrong || r.hostName.wrong {
		return
	}
	texts := r.record.Value
	plain := slices.Contains(texts, "plain")
	for _, f := range []*Setting[string]{r.key, r.value} {
		if f.isGiven() && !plain {
			f.blamef("about the plain record, and there is none; give --record plain too, or leave this away")
		}
	}
	options := record.Options{Parent: r.key.Value, Value: r.value.Value, NoPort: noPort, Meta: r.meta.Value, Host: r.hostName.Value}
	for _, text := range texts {
		k, err := record.Parse(text, options)
		if err != nil {
			r.record.blame(quotef(text, "%w", err))
			continue
		}
		r.kinds = append(r.kinds, k)
	}
	if r.record.wrong || r.weight.wrong {
		return
	}
	if err := record.Check(r.kinds, nil, 0, ""); err != nil {
		var all []string
		for _, k := range r.kinds {
			all = append(all, k.Brief())
		}
		r.record.blame(quotef(strings.Join(all, ","), "%w", err))
	} else if err := record.Check(r.kinds, r.meta.Value, 0, ""); err != nil {
		r.meta.blame(err)
	} else if err := record.Check(r.kinds, r.meta.Value, 0, r.hostName.Value); err != nil {
		r.hostName.blame(err)
	} else if err := record.Check(r.kinds, r.meta.Value, r.weight.Value, r.hostName.Value); err != nil {
		r.weight.blame(err)
	}
}

// Of returns the records of an instance at an address.
func (r *Records) of(address netip.AddrPort, container string) (records record.Records, err error) {
	i := record.Instance{Address: address, Host: r.hostName.Value, Container: container, Meta: r.meta.Value, Weight: r.weight.Value}
	for _, k := range r.kinds {
		more, err := k.Records(i)
		if err != nil {
			return nil, fmt.Errorf("--record %s: %w", k.Brief(), err)
		}
		records = append(records, more...)
	}
	return records, record.Verify(records)
}

// drain returns how long consumers may still send after the records are gone, and of which
// of them that is said.
func (r *Records) drain() (longest time.Duration, of string) {
	for _, k := range r.kinds {
		if d := k.Drain(); d > longest {
			longest, of = d, k.String()
		}
	}
	return longest, of
}

// where says which keys are written, for who grants the right to that.
func (r *Records) where() string {
	var all []string
	for _, k := range r.kinds {
		for _, prefix := range k.Prefixes() {
			if strings.Trim(prefix, "/") == "" {
				all = append(all, "the keys "+k.Brief())
			} else {
				all = append(all, "the prefix "+prefix)
			}
		}
	}
	return strings.Join(all, " and on ")
}

// prefixes are what the keys begin with.
func (r *Records) prefixes() (all []string) {
	for _, k := range r.kinds {
		all = append(all, k.Prefixes()...)
	}
	return all
}

// nameOf is what records may call the container: as it was told, as Docker says, or
// by its hostname, which is the beginning of its id unless somebody gave it another one.
func nameOf(told, docker string) string {
	hostname, _ := os.Hostname()
	return cmp.Or(told, docker, hostname)
}

func parseRecords(texts []string) ([]string, error) {
	if isNothing(texts) {
		return nil, errors.New("nothing; give a kind such as plain or dns:web.svc.example, in the environment one in each line")
	}
	return texts, nil
}

// isNothing tells whether nothing is said, or only space.
func isNothing(texts []string) bool {
	return len(texts) == 0 || slices.ContainsFunc(texts, func(text string) bool { return strings.TrimSpace(text) == "" })
}

func parseMeta(lines []string) (map[string]string, error) {
	const fix = "give NAME=TEXT, such as version=2, in the environment one in each line"
	if isNothing(lines) {
		return nil, errors.New("nothing; " + fix)
	}
	meta := map[string]string{}
	for _, line := range lines {
		name, text, ok := strings.Cut(line, "=")
		_, twice := meta[name]
		switch {
		case !ok || name == "":
			return nil, quotef(line, "no name and text; %s", fix)
		case twice:
			return nil, quotef(line, "the name is given twice; give it once")
		}
		meta[name] = text
	}
	return meta, nil
}

func parseHostName(text string) (string, error) {
	if text == "" || !record.IsPlain(text) || strings.ContainsAny(text, "/ ") {
		return "", errors.New("not a name; give the host's, such as app-1.example")
	}
	return text, nil
}
