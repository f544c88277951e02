package etcdreg

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"dockreg/sidekick"
)

// soon and ago are when certificates end.
var soon, ago = time.Now().Add(time.Hour), time.Now().Add(-time.Minute)

// trusting is how tests themselves talk to etcd, whatever its certificate is.
func trusting(t *testing.T, certFile, keyFile string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
}

// with returns a Registry of this configuration, for one etcd.
func with(t *testing.T, url string, c Config) *Registry {
	t.Helper()
	c.Endpoints, c.TTL = []string{url}, 20*time.Second
	r := New(c)
	t.Cleanup(r.Close)
	return r
}

// wantReason holds what a call says against the whole of what it should, and the
// next call against that: the same cause has the same words.
func wantReason(t *testing.T, r *Registry, want string) {
	t.Helper()
	for range 2 {
		err := r.Register(t.Context(), sidekick.Record{Key: key, Value: "running"})
		if err == nil || err.Error() != "etcd at "+r.Endpoints[0]+want {
			t.Errorf("Register = %v\nwant etcd at %s%s", err, r.Endpoints[0], want)
		}
	}
}

func TestServersCertificate(t *testing.T) {
	t.Parallel()
	right, other := newAuthority(t), newAuthority(t)
	cert, certKey := right.issue(t, soon, "127.0.0.1", "etcd-1")
	named, namedKey := right.issue(t, soon, "etcd-1", "etcd-1.internal")
	old, oldKey := right.issue(t, ago, "127.0.0.1")
	ended := ago.UTC().Format(time.RFC3339)
	eachVersion(t, func(t *testing.T, binary string) {
		urls := map[string]string{}
		for name, pair := range map[string][2]string{"good": {cert, certKey}, "named": {named, namedKey}, "expired": {old, oldKey}} {
			urls[name] = startServerFor(t, trusting(t, cert, certKey), binary, "--cert-file", pair[0], "--key-file", pair[1]).url
		}
		for name, tt := range map[string]struct {
			etcd string
			c    Config
			want string // empty: it registers
		}{
			"right":                    {"good", Config{CACertFile: right.file}, ""},
			"right, by name":           {"named", Config{CACertFile: right.file, ServerName: "etcd-1.internal"}, ""},
			"signed by another":        {"good", Config{CACertFile: other.file}, " can't be reached: its certificate is not signed by an authority in --etcd-cacert"},
			"not trusted":              {"good", Config{}, " can't be reached: its certificate is not signed by an authority that this system trusts; give the one that did as --etcd-cacert"},
			"another name":             {"named", Config{CACertFile: right.file}, " can't be reached: its certificate is for etcd-1, etcd-1.internal, not for 127.0.0.1; if it is the right etcd, give a name of it as --etcd-server-name"},
			"another name than wanted": {"good", Config{CACertFile: right.file, ServerName: "etcd-2"}, ` can't be reached: its certificate is for etcd-1, 127.0.0.1, not for --etcd-server-name "etcd-2"`},
			"expired":                  {"expired", Config{CACertFile: right.file}, " can't be reached: its certificate expired on " + ended + ", if the clock here is right"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := with(t, urls[tt.etcd], tt.c)
				if tt.want == "" {
					register(t, r)
					return
				}
				wantReason(t, r, tt.want)
			})
		}
		t.Run("in the clear", func(t *testing.T) {
			t.Parallel()
			r := with(t, strings.Replace(urls["good"], "https://", "http://", 1), Config{})
			wantReason(t, r, " can't be reached: it ends the connection at once; if it speaks TLS, give https:// in --etcd")
		})
	})
}

func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	right, other := newAuthority(t), newAuthority(t)
	cert, certKey := right.issue(t, soon, "127.0.0.1")
	own, ownKey := right.issue(t, soon)
	old, oldKey := right.issue(t, ago)
	foreign, foreignKey := other.issue(t, soon)
	ended := ago.UTC().Format(time.RFC3339)
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServerFor(t, trusting(t, own, ownKey), binary, "--cert-file", cert, "--key-file", certKey, "--client-cert-auth", "--trusted-ca-file", right.file)
		for name, tt := range map[string]struct {
			cert, key string
			want      string // empty: it registers
		}{
			"right":             {own, ownKey, ""},
			"none":              {"", "", " can't be reached: it wants to see a certificate; give --etcd-cert and --etcd-key"},
			"expired":           {old, oldKey, " can't be reached: it refuses the certificate in --etcd-cert, which expired on " + ended + ", if the clock here is right"},
			"signed by another": {foreign, foreignKey, " can't be reached: it refuses the certificate in --etcd-cert; etcd's log says why"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := with(t, s.url, Config{CACertFile: right.file, CertFile: tt.cert, KeyFile: tt.key})
				if tt.want == "" {
					register(t, r)
					return
				}
				wantReason(t, r, tt.want)
			})
		}
	})
}

func TestNotReached(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // its system takes connections
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for url, want := range map[string]string{
		"http://127.0.0.1:1":                "connection refused",
		"https://127.0.0.1:1":               "connection refused",
		"http://no-such-host.invalid:2379":  "no such host",
		"http://" + silent.Addr().String():  "it takes connections, but says nothing",
		"https://" + silent.Addr().String(): "it takes connections, but says nothing",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			wantReason(t, with(t, url, Config{Username: "joe", Password: "hunter2"}), " can't be reached: "+want)
		})
	}
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		wantReason(t, with(t, strings.Replace(s.url, "http://", "https://", 1), Config{}), " can't be reached: it ends the connection at once; if it speaks no TLS, give http:// in --etcd")
	})
}

// Certificates that are renewed on disk are used with the next connection; what is
// missing or half-written just then counts as it was.
func TestRenewedCertificates(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	cert, certKey := first.issue(t, soon, "127.0.0.1")
	own, ownKey := first.issue(t, soon)
	cert2, certKey2 := second.issue(t, soon, "127.0.0.1")
	own2, ownKey2 := second.issue(t, soon)
	move := func(t *testing.T, from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	eachVersion(t, func(t *testing.T, binary string) {
		c := Config{CACertFile: t.TempDir() + "/ca", CertFile: t.TempDir() + "/cert", KeyFile: t.TempDir() + "/key"}
		move(t, first.file, c.CACertFile)
		move(t, own, c.CertFile)
		move(t, ownKey, c.KeyFile)
		s := startServerFor(t, trusting(t, own, ownKey), binary, "--cert-file", cert, "--key-file", certKey, "--client-cert-auth", "--trusted-ca-file", first.file)
		r := with(t, s.url, c)
		register(t, r)

		move(t, own2, c.CertFile) // and not its key yet
		if err := os.Truncate(c.CACertFile, 100); err != nil {
			t.Fatal(err)
		}
		r.hangUp()
		register(t, r)

		// Now all of it, and etcd's too.
		move(t, ownKey2, c.KeyFile)
		move(t, second.file, c.CACertFile)
		s.kill()
		s.tls = trusting(t, own2, ownKey2)
		s.args = append(s.args, "--cert-file", cert2, "--key-file", certKey2, "--trusted-ca-file", second.file)
		s.run()
		s.ready()
		registerSoon(t, r, 10*time.Second)
	})
}

// An etcd that was heard without TLS, and ends, is not taken for one with TLS.
func TestEndOfAPlainEtcd(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		r := newRegistry(t, 20*time.Second, s)
		register(t, r)
		if err := newPlain(r.link.next()).reason(nil, io.EOF); !errors.Is(err, io.EOF) {
			t.Errorf("reason = %v, want no word of TLS", err)
		}
	})
	if err := newPlain(&link{}).reason(nil, io.EOF); err == nil || !strings.Contains(err.Error(), "https://") {
		t.Errorf("reason = %v, want a word of TLS", err)
	}
}
