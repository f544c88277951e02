package probe

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFindsTheApp is the app that listens where Docker reaches it but 127.0.0.1
// does not.
func TestFindsTheApp(t *testing.T) {
	t.Parallel()
	for name, host := range map[string]string{
		"127.0.0.1":     "127.0.0.1",
		"127.0.0.2":     "127.0.0.2",
		"IPv6 loopback": "::1",
		"IPv4 wildcard": "0.0.0.0",
		"IPv6 wildcard": "::",
		"own IPv4":      ownAddr(t, netip.Addr.Is4),
		"own IPv6":      ownAddr(t, netip.Addr.Is6),
	} {
		for kind, check := range checks {
			t.Run(kind+" on "+name, func(t *testing.T) {
				t.Parallel()
				if host == "" {
					t.Skip("this machine has none")
				}
				l, port := listen(t, host)
				serveHealthy(t, kind, l)
				mustPass(t, parse(t, check, port))
			})
		}
	}
}

// ownAddr returns an address of one of this machine's interfaces, or nothing.
func ownAddr(t *testing.T, ofFamily func(netip.Addr) bool) string {
	t.Helper()
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range own {
		if p, err := netip.ParsePrefix(addr.String()); err == nil && p.Addr().IsGlobalUnicast() && ofFamily(p.Addr()) {
			return p.Addr().String()
		}
	}
	return ""
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for kind, check := range checks {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			_, port := reserve(t)
			p := parse(t, check, port)
			if took, err := askQuick(t, p); err == nil || took > atOnce {
				t.Errorf("%v after %s, want it to fail at once", err, took)
			}
			mustFail(t, p, "connection refused: nothing listens on the port")
		})
	}
}

// TestRestarted is one probe that outlives the app it asks. It doesn't run beside
// the tests of exec: a process that they start holds this app's port open, too,
// from its fork to its exec.
func TestRestarted(t *testing.T) {
	for kind, check := range checks {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l, port := listen(t, "127.0.0.1")
			p := parse(t, check, port)
			stop := serveHealthy(t, kind, l)
			mustPass(t, p)
			stop()
			stop = serveHealthy(t, kind, relisten(t, port))
			mustPass(t, p)
			stop()
			mustFail(t, p, errRefused.Error())
			serveHealthy(t, kind, relisten(t, port))
			mustPass(t, p)
		})
	}
}

// TestSilent is an app that accepts and then says nothing, and what a probe
// leaves behind at such an app, every few seconds: no connection.
func TestSilent(t *testing.T) {
	t.Parallel()
	for kind, check := range checks {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{})
			port := serveConns(t, func(conn net.Conn) {
				_, _ = io.Copy(io.Discard, conn)
				close(left)
			})
			if p := parse(t, check, port); kind == "tcp" {
				mustPass(t, p) // all it asks for
			} else {
				took, err := ask(t, p)
				mustFailLate(t, took, err, "no answer")
			}
			select {
			case <-left:
			case <-time.After(budget):
				t.Error("the connection is still open")
			}
		})
	}
}

func TestTCPNeverAccepted(t *testing.T) {
	t.Parallel()
	fd, port := reserve(t)
	if err := unix.Listen(fd, 16); err != nil {
		t.Fatal(err)
	}
	mustPass(t, parse(t, "tcp", port)) // its system accepts for it
}

func TestTCPFullBacklog(t *testing.T) {
	t.Parallel()
	port := fullBacklog(t)
	took, err := ask(t, parse(t, "tcp", port))
	mustFailLate(t, took, err, "no answer")
}

// TestParseListeners reads lines as proc_pid_net(5) shows them on a machine that
// writes the lowest byte first. Port 8000 is 1F40.
func TestParseListeners(t *testing.T) {
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
			var want []netip.AddrPort
			for _, addr := range tt.want {
				want = append(want, netip.MustParseAddrPort(addr))
			}
			if got := parseListeners(strings.NewReader(tt.text), 8000); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}
