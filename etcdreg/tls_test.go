package etcdreg

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"dockreg/etcdreg/etcd"
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
func with(t *testing.T, url string, c etcd.Config) *registration {
	t.Helper()
	c.Endpoints = []string{url}
	return registryOf(t, c, 20*time.Second)
}

// wantReason holds what a call says against the whole of what it should, and the
// next call against that: the same cause has the same words. advice is what somebody
// has to act upon, or nil.
func wantReason(t *testing.T, r *registration, want string, advice error) {
	t.Helper()
	at := r.client.Member()
	for range 2 {
		var err error
		for range 20 {
			err = r.Register(t.Context(), running)
			if !isLate(err) || strings.HasSuffix(err.Error(), want) {
				break
			}
		}
		if err == nil || err.Error() != "etcd at "+at+want || advice != nil && !errors.Is(err, advice) {
			t.Errorf("Register = %v\nwant etcd at %s%s, with %v", err, at, want, advice)
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
			etcd   string
			c      etcd.Config
			want   string // empty: it registers
			advice error
		}{
			"right":                    {"good", etcd.Config{CACertFile: right.file}, "", nil},
			"right, by name":           {"named", etcd.Config{CACertFile: right.file, ServerName: "etcd-1.internal"}, "", nil},
			"signed by another":        {"good", etcd.Config{CACertFile: other.file}, " can't be reached: its certificate is not signed by an authority that is trusted", etcd.ErrAuthority},
			"not trusted":              {"good", etcd.Config{}, " can't be reached: its certificate is not signed by an authority that is trusted", etcd.ErrAuthority},
			"another name":             {"named", etcd.Config{CACertFile: right.file}, " can't be reached: its certificate is for etcd-1, etcd-1.internal, not for 127.0.0.1", etcd.ErrName},
			"another name than wanted": {"good", etcd.Config{CACertFile: right.file, ServerName: "etcd-2"}, ` can't be reached: its certificate is for etcd-1, 127.0.0.1, not for etcd-2`, etcd.ErrName},
			"expired":                  {"expired", etcd.Config{CACertFile: right.file}, " can't be reached: its certificate expired on " + ended + ", if the clock here is right", nil},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := with(t, urls[tt.etcd], tt.c)
				if tt.want == "" {
					register(t, r)
					return
				}
				wantReason(t, r, tt.want, tt.advice)
			})
		}
		t.Run("in the clear", func(t *testing.T) {
			t.Parallel()
			r := with(t, strings.Replace(urls["good"], "https://", "http://", 1), etcd.Config{})
			wantReason(t, r, " can't be reached: it ends the connection at once", etcd.ErrMaybeTLS)
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
			advice    error
		}{
			"right":             {own, ownKey, "", nil},
			"none":              {"", "", " can't be reached: it wants to see a certificate", etcd.ErrNoCertificate},
			"expired":           {old, oldKey, " can't be reached: it refuses the certificate that it was shown, which expired on " + ended + ", if the clock here is right", etcd.ErrCertificate},
			"signed by another": {foreign, foreignKey, " can't be reached: it refuses the certificate that it was shown", etcd.ErrCertificate},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := with(t, s.url, etcd.Config{CACertFile: right.file, CertFile: tt.cert, KeyFile: tt.key})
				if tt.want == "" {
					register(t, r)
					return
				}
				wantReason(t, r, tt.want, tt.advice)
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
			wantReason(t, with(t, url, etcd.Config{Username: "joe", Password: "hunter2"}), " can't be reached: "+want, nil)
		})
	}
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		wantReason(t, with(t, strings.Replace(s.url, "http://", "https://", 1), etcd.Config{}), " can't be reached: it ends the connection at once, in place of a word of TLS", etcd.ErrMaybePlain)
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
		c := etcd.Config{CACertFile: t.TempDir() + "/ca", CertFile: t.TempDir() + "/cert", KeyFile: t.TempDir() + "/key"}
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
		r.client.Close()
		register(t, r)

		// Now all of it, and etcd's too.
		move(t, ownKey2, c.KeyFile)
		move(t, second.file, c.CACertFile)
		s.kill()
		s.tls = trusting(t, own2, ownKey2)
		s.args = append(s.args, "--cert-file", cert2, "--key-file", certKey2, "--trusted-ca-file", second.file)
		s.run()
		s.ready()
		registerSoon(t, r)
	})
}

// An etcd that was heard without TLS, and ends, is not taken for one with TLS; what was
// never heard may be one.
func TestEndOfAPlainEtcd(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		heard, unheard := newRegistry(t, 20*time.Second, s), newRegistry(t, 20*time.Second, s)
		register(t, heard)
		s.kill()
		l, err := net.Listen("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_ = conn.Close()
			}
		}()
		wantReason(t, unheard, " can't be reached: it ends the connection at once", etcd.ErrMaybeTLS)
		// Its client may still say that there was nobody, for a moment.
		for deadline := time.Now().Add(time.Minute); ; {
			err := heard.Register(t.Context(), running)
			if err == nil || errors.Is(err, etcd.ErrMaybeTLS) || time.Now().After(deadline) {
				t.Fatalf("Register = %v, want that it ends the connection, and no word of TLS", err)
			}
			if strings.HasSuffix(err.Error(), "can't be reached: it ends the connection") {
				break
			}
		}
	})
}
