package port

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestParseProc reads lines as proc_pid_net(5) shows them on a machine that
// writes the lowest byte first. Port 8000 is 1F40.
func TestParseProc(t *testing.T) {
	t.Parallel()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the lines below are of a machine with another byte order")
	}
	const (
		head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
		rest = " 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0\n"
		any4 = " 00000000:0000"
		any6 = " 00000000000000000000000000000000:0000"
	)
	line4 := func(local, st string) string { return "   0: " + local + any4 + " " + st + rest }
	line6 := func(local, st string) string { return "   0: " + local + any6 + " " + st + rest }
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"nothing":            {"", nil},
		"nobody":             {head, nil},
		"127.0.0.1":          {head + line4("0100007F:1F40", "0A"), []string{"127.0.0.1:8000"}},
		"own address":        {head + line4("0200110A:1F40", "0A"), []string{"10.17.0.2:8000"}},
		"wildcard":           {head + line4("00000000:1F40", "0A"), []string{"127.0.0.1:8000"}},
		"::1":                {head + line6("00000000000000000000000001000000:1F40", "0A"), []string{"[::1]:8000"}},
		"own IPv6 address":   {head + line6("B80D0120000000000000000042000001:1F40", "0A"), []string{"[2001:db8::100:42]:8000"}},
		"IPv6 wildcard":      {head + line6("00000000000000000000000000000000:1F40", "0A"), []string{"[::1]:8000"}},
		"v4-mapped":          {head + line6("0000000000000000FFFF00000200007F:1F40", "0A"), []string{"127.0.0.2:8000"}},
		"v4-mapped wildcard": {head + line6("0000000000000000FFFF000000000000:1F40", "0A"), []string{"127.0.0.1:8000"}},
		"several in order": {
			head + line4("0200007F:1F40", "0A") + line4("0100007F:1F41", "0A") + line4("0100007F:1F40", "0A"),
			[]string{"127.0.0.2:8000", "127.0.0.1:8000"},
		},
		"connected, not listening": {head + line4("0100007F:1F40", "01") + line6("00000000000000000000000001000000:1F40", "06"), nil},
		"another port":             {head + line4("0100007F:1F41", "0A") + line4("0100007F:401F", "0A"), nil},
		"the peer's port":          {"   0: 0100007F:1F41 0100007F:1F40 0A" + rest, nil},
		"cut off before the inode": {head + strings.TrimSuffix(line4("0100007F:1F40", "0A"), " 12345 1 0000000000000000 100 0 0 10 0\n"), nil},
		"a line cut off":           {head + "   0: 0100007F:1F40 00000000:0000", nil},
		"no newline at the end":    {head + strings.TrimSpace(line4("0100007F:1F40", "0A")), []string{"127.0.0.1:8000"}},
		"garbage before a good line": {
			"\n\x00\xff\n1 2 3 0A\n1 : 3 0A\n1 :1F40 3 0A\n1 0100007F 3 0A\n1 0100007F: 3 0A\n1 0100007F:1F40:1F40 3 0A\n" +
				"1 0100007F:11F40 3 0A\n1 0100007F:-1F40 3 0A\n1 01007F:1F40 3 0A\n1 0100007F0100007F:1F40 3 0A\n1 xyz0007F:1F40 3 0A\n" +
				line4("0300007F:1F40", "0A"),
			[]string{"127.0.0.3:8000"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []Listener
			for _, addr := range tt.want {
				at := netip.MustParseAddrPort(addr)
				want = append(want, Listener{at, at.Addr().IsLoopback() && !strings.Contains(name, "wildcard"), 12345})
			}
			if got, err := parseProc(strings.NewReader(tt.text), 8000); !slices.Equal(got, want) || err != nil {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
		})
	}
}
