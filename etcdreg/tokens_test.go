package etcdreg

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"testing"
	"time"

	"dockreg/etcdreg/etcd"
)

// Tokens that run out cost no absence of the key, and no error either.
func TestTokensRunOut(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary, "--auth-token", jwt(t))
		root := secured(t, s)
		r := with(t, s.url, etcd.Config{Username: "dockreg", Password: "secret"})
		register(t, r)
		wantKey(t, root, r)
		events := root.Watch(t.Context(), key)
		lease := r.leases.current
		for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); {
			register(t, r)
			select {
			case resp := <-events:
				t.Fatalf("the key changed: %+v, %v", resp.Events, resp.Err())
			case <-time.After(200 * time.Millisecond):
			}
		}
		wantKey(t, root, r)
		if r.leases.current != lease {
			t.Error("another lease")
		}
		if _, err := root.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		wantDisturbed(t, r, "deleted")
		register(t, r)
		wantKey(t, root, r)
		// Once more with a token that is no longer any good, on the way out.
		select {
		case <-time.After(3 * time.Second):
		case reason := <-r.Disturbed():
			t.Errorf("disturbed: %v", reason)
		}
		if err := tryDeregister(t, r); err != nil {
			t.Errorf("deregister: %v", err)
		}
		wantNoKey(t, root)
	})
}

// jwt makes tokens that last 2 s.
func jwt(t *testing.T) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir+"/pub.pem", "PUBLIC KEY", public)
	write(t, dir+"/priv.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private))
	return "jwt,pub-key=" + dir + "/pub.pem,priv-key=" + dir + "/priv.pem,sign-method=RS256,ttl=2s"
}
