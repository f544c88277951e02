package record

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// parsePlain makes dockreg's own record: /<parent>/<ip>:<port> with a value that people
// choose. Who reads it is up to them; an IPv6 address is in brackets, as in every address
// that has a port (RFC 3986, section 3.2.2). It has no place for anything else.
func parsePlain(rest string, o Options) (Kind, error) {
	switch {
	case rest != "":
		return Kind{}, errors.New("plain has nothing after it; give plain")
	case o.Parent == "":
		return Kind{}, errors.New("plain has no parent of its key; give one, such as service/web")
	case strings.HasPrefix(o.Parent, "/") || strings.HasSuffix(o.Parent, "/"):
		return Kind{}, errors.New("the parent of plain's key starts or ends with a slash, which is added; give it without, such as service/web")
	}
	if err := CheckKey(o.Parent); err != nil {
		return Kind{}, fmt.Errorf("the parent of plain's key: %w", err)
	}
	prefix := "/" + o.Parent + "/"
	return Kind{
		prefixes: []string{prefix},
		records: func(i Instance) ([]Record, error) {
			return []Record{{prefix + i.Address.String(), o.Value}}, nil
		},
		verify: func(r Record) error {
			_, err := parseAddress(strings.TrimPrefix(r.Key, prefix))
			return err
		},
	}, nil
}

// parseAddress reads what consumers dial.
func parseAddress(text string) (netip.AddrPort, error) {
	address, err := netip.ParseAddrPort(text)
	if err == nil {
		err = Instance{Address: address}.dialable()
	}
	if err != nil || address.String() != text {
		return netip.AddrPort{}, errors.New("not an address; give one such as 10.1.0.101:49155 or [2001:db8::1]:49155")
	}
	return address, nil
}
