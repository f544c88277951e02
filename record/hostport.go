package record

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// parseHostport makes PREFIX/<id> with the value ip:port, in brackets if it is IPv6.
//
// go-zero reads it (core/discov/internal/registry.go and core/discov/subscriber.go: each
// value below its Key and a slash is an address to dial), and so do confd's getvs and
// most loops over a prefix. The names of keys mean nothing to them, so an ID is fine.
//
// The traps: go-zero cuts slashes off its Key (zrpc/resolver/internal/targets), so it
// finds a PREFIX without a leading slash alone, while confd puts one before each key of
// its own (resource/template), so it finds a PREFIX with one alone: both can be given.
// go-zero has no place for a weight: whatever else the value held would be dialed, too.
func parseHostport(rest string, _ Options) (Kind, error) {
	prefix, err := parsePrefix("hostport", "prefix", rest)
	if err != nil {
		return Kind{}, err
	}
	prefix += "/"
	return Kind{
		prefixes: []string{prefix},
		drain:    time.Second,
		records: func(i Instance) ([]Record, error) {
			return []Record{{prefix + i.ID(), i.Address.String()}}, nil
		},
		verify: func(r Record) error {
			address, err := parseAddress(r.Value)
			if err == nil && r.Key != prefix+(Instance{Address: address}).ID() {
				err = errors.New("not the key of its address")
			}
			return err
		},
	}, nil
}

// parsePrefix reads the part of the key space that follows a kind's name and a colon.
func parsePrefix(name, what, rest string) (string, error) {
	prefix, ok := strings.CutPrefix(rest, ":")
	if !ok || prefix == "" {
		return "", fmt.Errorf("%s has no %s; give one, such as %s:service/web", name, what, name)
	}
	if strings.HasPrefix(prefix+"/", traefikRoot) {
		return "", fmt.Errorf("the %s is where Traefik reads, which may take no change any more with a key of another format there; give traefik:NAME, or another %s",
			what, what)
	}
	if err := CheckKey(prefix); err != nil {
		return "", fmt.Errorf("the %s %w", what, err)
	}
	return prefix, nil
}
