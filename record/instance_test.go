package record

import (
	"net/netip"
	"regexp"
	"testing"
)

func TestID(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"10.1.0.101:49155":           "10-1-0-101-49155",
		"255.255.255.255:65535":      "255-255-255-255-65535",
		"[2001:db8::1]:49155":        "2001-0db8-0000-0000-0000-0000-0000-0001-49155",
		"[::1]:80":                   "0000-0000-0000-0000-0000-0000-0000-0001-80",
		"[fd::]:80":                  "00fd-0000-0000-0000-0000-0000-0000-0000-80",
		"[::ffff:10.1.0.101]:49155":  "0000-0000-0000-0000-0000-ffff-0a01-0065-49155",
		"[ffff:ffff:ffff:ffff::]:80": "ffff-ffff-ffff-ffff-0000-0000-0000-0000-80",
	} {
		if got := (Instance{Address: netip.MustParseAddrPort(address)}).ID(); got != want {
			t.Errorf("ID of %s: %s, want %s", address, got, want)
		}
	}
	for _, text := range []string{"", "-", "-80", "web", "10-1-0-101", "10-1-0-101-", "10-1-0-101-49155x", "010-1-0-101-49155", "10-1-0-101-65536", "10-1-0-101-080", "10.1.0.101-80", "2001-db8-0-0-0-0-0-1-80"} {
		if at, ok := ParseID(text); ok {
			t.Errorf("%q is taken for the ID of %s", text, at)
		}
	}
	if got := portless.ID(); got != "" {
		t.Errorf("ID without an address: %s", got)
	}
}

// oneLabel is a label that no consumer minds, without what DNS reserves (RFC 5890).
var oneLabel = regexp.MustCompile(`^[0-9a-f]+(-[0-9a-f]+)+$`)

// FuzzID: an ID is a label, and two addresses never share one.
func FuzzID(f *testing.F) {
	f.Add([]byte{10, 1, 0, 101}, []byte{10, 1, 0, 10}, uint16(1), uint16(11))
	f.Add(make([]byte, 16), make([]byte, 4), uint16(0), uint16(65535))
	f.Add([]byte("0123456789abcdef"), []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xffabcd"), uint16(80), uint16(80))
	f.Fuzz(func(t *testing.T, a, b []byte, p, q uint16) {
		t.Parallel()
		first, ok := netip.AddrFromSlice(a)
		second, too := netip.AddrFromSlice(b)
		if !ok || !too {
			t.Skip()
		}
		i, j := Instance{Address: netip.AddrPortFrom(first, p)}, Instance{Address: netip.AddrPortFrom(second, q)}
		for _, id := range []string{i.ID(), j.ID()} {
			if len(id) > 45 || !isLabel(id) || !oneLabel.MatchString(id) {
				t.Errorf("%s is no label", id)
			}
			if at, ok := ParseID(id); !ok || at != i.Address && at != j.Address {
				t.Errorf("%s is read as %s, %v", id, at, ok)
			}
		}
		if (i.ID() == j.ID()) != (i.Address == j.Address) {
			t.Errorf("%s and %s are %s and %s", i.Address, j.Address, i.ID(), j.ID())
		}
	})
}
