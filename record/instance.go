package record

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Instance is one running app, as its consumers see it.
type Instance struct {
	Address   netip.AddrPort // that consumers dial; invalid: an instance without a port
	Host      string         // empty: not known
	Container string         // its name; empty: not known
	Meta      map[string]string
	Weight    int // its share of the load, next to that of others; 0: none given
}

// ID returns a name that no instance at another address has: one lower-case DNS label
// (RFC 1035, section 2.3.1) of at most 45 characters. It is the IP and the port, with a
// dash for each dot and colon, and with an IPv6 address written out in full:
// 10-1-0-101-49155, and 2001-0db8-0000-0000-0000-0000-0000-0001-49155. In short, ::1
// would begin with a dash, and fd::1 would read as fd--1, which DNS reserves (RFC 5890,
// section 2.3.1). A zone, with which there are no records, is left out. Without an address,
// there is no ID.
func (i Instance) ID() string {
	if !i.Address.IsValid() {
		return ""
	}
	ip := i.Address.Addr().WithZone("").StringExpanded()
	return strings.NewReplacer(".", "-", ":", "-").Replace(ip) + "-" + strconv.Itoa(int(i.Address.Port()))
}

// ParseID returns the address of which a text is the ID.
func ParseID(text string) (netip.AddrPort, bool) {
	cut := strings.LastIndexByte(text, '-')
	if cut < 0 {
		return netip.AddrPort{}, false
	}
	for _, separator := range []string{".", ":"} {
		ip, _ := netip.ParseAddr(strings.ReplaceAll(text[:cut], "-", separator))
		port, _ := strconv.ParseUint(text[cut+1:], 10, 16)
		at := netip.AddrPortFrom(ip, uint16(port))
		if (Instance{Address: at}).ID() == text {
			return at, ip.IsValid()
		}
	}
	return netip.AddrPort{}, false
}

// AddressesIn returns the addresses that a key is of: the one behind its last slash, and any
// of which a part of it is the ID.
func AddressesIn(key string) (all []netip.AddrPort) {
	parts := strings.Split(key, "/")
	if at, err := netip.ParseAddrPort(parts[len(parts)-1]); err == nil {
		all = append(all, at)
	}
	for _, part := range parts {
		if at, ok := ParseID(part); ok {
			all = append(all, at)
		}
	}
	return all
}

// dialable fails unless another host can dial the address.
func (i Instance) dialable() error {
	ip := i.Address.Addr()
	switch {
	case !i.Address.IsValid():
		return errors.New("the instance has no address; give the IP and the port that consumers dial")
	case i.Address.Port() == 0:
		return errors.New("nobody can dial port 0; give a port from 1 to 65535")
	case ip.Zone() != "":
		return errors.New("the address has a zone, which means nothing on other hosts; give one that they can dial")
	case ip.Is4In6():
		return fmt.Errorf("the address is an IPv4 address written as IPv6; give %s", ip.Unmap())
	}
	return nil
}

// mostWeight is what the 16 bits of an SRV record hold (RFC 2782).
const mostWeight = 65535

func checkWeight(weight int) error {
	if weight < 1 || weight > mostWeight {
		return fmt.Errorf("no such weight; give a number from 1 to %d", mostWeight)
	}
	return nil
}
