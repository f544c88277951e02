package etcdreg

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"dockreg/etcdreg/etcd"
)

// distant returns the URL at which a server is reached, each way taking so long.
func distant(t *testing.T, s *server, way time.Duration) (url string) {
	t.Helper()
	l := silent(t, "127.0.0.1:0")
	scheme, at, _ := strings.Cut(s.url, "://")
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", at)
			if err != nil {
				_ = here.Close()
				continue
			}
			go carry(there, here, way)
			go carry(here, there, way)
		}
	}()
	return scheme + "://" + l.Addr().String()
}

// carry delivers later, and in order, what it reads.
func carry(to io.WriteCloser, from io.Reader, later time.Duration) {
	type parcel struct {
		bytes []byte
		due   time.Time
	}
	parcels := make(chan parcel, 1000)
	go func() {
		defer close(parcels)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			parcels <- parcel{b[:n], time.Now().Add(later)}
			if err != nil {
				return
			}
		}
	}()
	defer func() { _ = to.Close() }()
	for p := range parcels {
		<-time.After(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			for range parcels { // its reader has the other connection's end to wait for
			}
			return
		}
	}
}

// P2: to take the key away over a new connection, with TLS and a login, takes one call
// also where etcd is far: no less time is left for a connection than the last one took.
func TestP2DeregisterFromADistance(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, certKey := a.issue(t, soon, "127.0.0.1")
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServerFor(t, trusting(t, cert, certKey), binary, "--cert-file", cert, "--key-file", certKey)
		authenticate(t, s)
		url := distant(t, s, 125*time.Millisecond)
		var err error
		for try := range 5 { // on a quiet machine the first does it
			r := with(t, url, etcd.Config{CACertFile: a.file, Username: "root", Password: "secret"})
			registerSoon(t, r)
			r.client.Close()
			start := time.Now()
			if err = r.Deregister(t.Context()); err == nil {
				t.Logf("figure: deregistered after %s, by call %d", time.Since(start).Round(time.Millisecond), try+1)
				return
			}
			if err := unhurried(func() error { return r.Deregister(t.Context()) }); err != nil {
				t.Fatal(err)
			}
		}
		t.Errorf("never deregistered by the first call: %v", err)
	})
}
