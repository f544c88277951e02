package docker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// New speaks TCP as well, and TLS as the docker command is told to; without a proxy, which
// Go asks for whatever has another name than localhost, in this very spelling.
func TestTCP(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("specific", "app")
	listener, stop := e.serve("tcp", "127.0.0.1:0")
	at := "LOCALHOST:" + strconv.Itoa(listener.(*net.TCPAddr).Port)
	l := locator(t, Config{Host: "tcp://" + at}, procWith(id), "app-1")
	mustLocate(t, l, "127.0.0.1:18000")
	stop()
	_, err := l.Locate(t.Context())
	mustSay(t, err, nil, "docker at tcp://"+at, "does not answer")
}

func TestTLS(t *testing.T) { // not parallel: it sets the environment
	e := newFakeEngine(t)
	id := e.add("specific", "app")
	folder, certificate, pool := certify(t)
	s := httptest.NewUnstartedServer(e)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.StartTLS()
	t.Cleanup(s.Close)
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	t.Setenv("DOCKER_CERT_PATH", folder)
	l := locator(t, Config{Host: "tcp://" + s.Listener.Addr().String()}, procWith(id), "app-1")
	mustLocate(t, l, "127.0.0.1:18000")

	t.Setenv("DOCKER_CERT_PATH", filepath.Join(folder, "none"))
	if _, err := New(Config{Host: "tcp://" + s.Listener.Addr().String()}); err == nil {
		t.Error("New without the certificates it was told to use: want an error")
	}
	t.Setenv("DOCKER_CERT_PATH", "")
	if _, err := New(Config{Host: "tcp://" + s.Listener.Addr().String()}); err == nil || !strings.Contains(err.Error(), "DOCKER_CERT_PATH") {
		t.Errorf("New with TLS asked for, and no certificates: %v, want an error that names DOCKER_CERT_PATH", err)
	}
	// They are for tcp:// alone.
	if _, err := New(Config{Host: "unix:///var/run/docker.sock"}); err != nil {
		t.Error(err)
	}
}

// certify makes the folder that DOCKER_CERT_PATH wants, with one certificate for
// all three parts.
func certify(t *testing.T) (folder string, certificate tls.Certificate, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	folder = t.TempDir()
	for name, content := range map[string][]byte{"ca.pem": public, "cert.pem": public, "key.pem": secret} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if certificate, err = tls.X509KeyPair(public, secret); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return folder, certificate, pool
}
