package port

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
)

// Both ways to ask the kernel say the same of every kind of listener.
func TestListeners(t *testing.T) {
	t.Parallel()
	for on, dial := range map[string]string{
		"127.0.0.1": "127.0.0.1", "127.0.0.2": "127.0.0.2", "0.0.0.0": "127.0.0.1", "[::1]": "::1", "[::]": "::1",
	} {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			l, port := listen(t, on+":0")
			conn, err := net.Dial("tcp", net.JoinHostPort(dial, strconv.Itoa(port))) // which is no listener
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			want := Listener{netip.AddrPortFrom(netip.MustParseAddr(dial), uint16(port)), on != "0.0.0.0" && on != "[::]", inode(t, l)}
			if on == "0.0.0.0" { // to which Go listens with an IPv6 socket, if it can
				if got, _ := diagnose(port); len(got) == 1 && got[0].Addr.Addr().Is6() {
					want.Addr = netip.AddrPortFrom(netip.IPv6Loopback(), uint16(port))
				}
			}
			for name, ask := range map[string]func(int) ([]Listener, error){"diagnose": diagnose, "readProc": readProc, "Listeners": Listeners} {
				got, err := ask(port)
				// Others may have the port on another address.
				if !slices.Contains(got, want) || err != nil {
					t.Errorf("%s = %v, %v; want %v", name, got, err, want)
				}
			}
			_ = l.Close()
			for name, ask := range map[string]func(int) ([]Listener, error){"diagnose": diagnose, "readProc": readProc} {
				if got, err := ask(port); slices.Contains(got, want) || err != nil {
					t.Errorf("%s = %v, %v after it was closed", name, got, err)
				}
			}
		})
	}
}
