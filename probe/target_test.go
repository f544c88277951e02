package probe

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/sidekick"
)

// TestFindsTheApp is the app that listens where Docker reaches it and 127.0.0.1
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
			mustFail(t, p, "connection refused: nothing listens on the port")
			if _, err := askWithin(t, p, patience); !errors.Is(err, sidekick.ErrNotListening) {
				t.Errorf("%v, want sidekick.ErrNotListening", err)
			}
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
				mustBeLate(t, p, "no answer")
			}
			select {
			case <-left:
			case <-time.After(patience):
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
	mustBeLate(t, parse(t, "tcp", port), "no answer")
}
