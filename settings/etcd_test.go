package settings

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Files to name in settings, and a key that belongs to no certificate.
var (
	certDir                                       = mustCertDir()
	certFile, keyFile, strangerFile, passwordFile = certDir + "/cert", certDir + "/key", certDir + "/stranger", certDir + "/password"
)

// mustCertDir makes them in a folder that TestMain removes.
func mustCertDir() string {
	dir, err := os.MkdirTemp("", "dockreg")
	if err != nil {
		panic(err)
	}
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	stranger, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err1 := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	raw, err2 := x509.MarshalPKCS8PrivateKey(key)
	other, err3 := x509.MarshalPKCS8PrivateKey(stranger)
	save := func(name, kind string, raw []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600)
	}
	err = errors.Join(err1, err2, err3, save("cert", "CERTIFICATE", cert), save("key", "PRIVATE KEY", raw), save("stranger", "PRIVATE KEY", other),
		os.WriteFile(filepath.Join(dir, "password"), []byte("hunter2\n"), 0o600))
	if err != nil {
		panic(err)
	}
	return dir
}

// P9: what is wrong with the files and the user shows at once, all of it.
func TestP9EtcdMistakes(t *testing.T) {
	empty, text, half := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "text"), filepath.Join(t.TempDir(), "half")
	whole, err := os.ReadFile(certFile)
	err = errors.Join(err, os.WriteFile(empty, []byte("\n"), 0o600), os.WriteFile(text, []byte("hello"), 0o600), os.WriteFile(half, slices.Concat(whole, whole[:100]), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	password := map[string]string{passwordEnv: "hunter2"}
	inURL := map[string]string{"DOCKREG_ETCD": "http://joe:hunter2@a:1"}
	both := map[string]string{"DOCKREG_ETCD": "http://joe:hunter2@a:1", passwordEnv: "hunter2"}
	for name, tt := range map[string]struct {
		env  map[string]string
		args string
		want []string
	}{
		"files that are not there": {nil, "--etcd a:1 --etcd-cacert /proc/no/ca --etcd-cert /proc/no/cert --etcd-key /proc/no/key --etcd-user joe --etcd-password-file /proc/no/password", []string{
			`--etcd-cacert "/proc/no/ca": no such file; give`, `--etcd-cert "/proc/no/cert": no such file; give`, `--etcd-key "/proc/no/key": no such file; give`,
			`--etcd-password-file "/proc/no/password": no such file; give`,
		}},
		"folders": {nil, "--etcd a:1 --etcd-cacert /etc --etcd-cert /etc --etcd-key /etc", []string{
			`--etcd-cacert "/etc": a folder, not a file`, `--etcd-cert "/etc": a folder, not a file`, `--etcd-key "/etc": a folder, not a file`,
		}},
		"not PEM": {nil, "--etcd a:1 --etcd-cacert " + text + " --etcd-cert " + text + " --etcd-key " + text, []string{
			`--etcd-cacert "` + text + `": no certificate in PEM in it`, `--etcd-cert "` + text + `": no certificate in PEM in it`, `--etcd-key "` + text + `": no private key in PEM in it`,
		}},
		"a key alone as authority": {nil, "--etcd a:1 --etcd-cacert " + keyFile, []string{`--etcd-cacert "` + keyFile + `": no certificate in PEM in it`}},
		"half of an authority":     {nil, "--etcd a:1 --etcd-cacert " + half, []string{`--etcd-cacert "` + half + `": a certificate in it is broken or cut off`}},
		"cert alone":               {nil, "--etcd a:1 --etcd-cert " + certFile, []string{`--etcd-cert "` + certFile + `": a certificate without its key; give --etcd-key too`}},
		"key alone":                {nil, "--etcd a:1 --etcd-key " + keyFile, []string{`--etcd-key "` + keyFile + `": a key without a certificate; give --etcd-cert too`}},
		"another one's key":        {nil, "--etcd a:1 --etcd-cert " + certFile + " --etcd-key " + strangerFile, []string{`--etcd-key "` + strangerFile + `": a broken key, or one that doesn't belong to`}},
		"the password itself":      {nil, "--etcd a:1 --etcd-user joe --etcd-password-file hunter2", []string{`--etcd-password-file "…": no such file; give`}},
		"a pipe":                   {nil, "--etcd a:1 --etcd-user joe --etcd-password-file /dev/null", []string{`--etcd-password-file "/dev/null": not a regular file`}},
		"http with TLS":            {nil, "--etcd http://a:1 --etcd-cacert " + certFile, []string{`--etcd "http://a:1": http is without TLS, which --etcd-cacert is for; give https://`}},
		"http with a name":         {nil, "--etcd http://a:1 --etcd-server-name b", []string{`--etcd "http://a:1": http is without TLS, which --etcd-server-name is for`}},
		"a domain beside URLs":     {nil, "--etcd a:1 --etcd-discovery-srv example.org", []string{`--etcd-discovery-srv "example.org": a second way to find etcd, beside --etcd`}},
		"a domain that is an IP":   {nil, "--etcd-discovery-srv 10.1.0.101", []string{`--etcd-discovery-srv "10.1.0.101": not a domain`}},
		"a domain with a port":     {nil, "--etcd-discovery-srv example.org:2379", []string{`--etcd-discovery-srv "example.org:2379": not a domain`}},
		"neither":                  {nil, "", []string{"--etcd: required; give etcd's address"}},
		"a name with a port":       {nil, "--etcd a:1 --etcd-server-name b:1", []string{`--etcd-server-name "b:1": not a host's name or IP`}},
		"user alone":               {nil, "--etcd a:1 --etcd-user joe", []string{`--etcd-user "joe": a user without a password`}},
		"no user":                  {nil, "--etcd a:1 --etcd-user=", []string{`--etcd-user "": empty`}},
		"file alone":               {nil, "--etcd a:1 --etcd-password-file " + passwordFile, []string{`--etcd-password-file "` + passwordFile + `": a password without a user`}},
		"a password like a path":   {nil, "--etcd a:1 --etcd-user joe --etcd-password-file hunter2/aB==", []string{`--etcd-password-file "…": no such file; give`}},
		"a key in place of its file": {map[string]string{"DOCKREG_ETCD_KEY": "-----BEGIN PRIVATE KEY-----\nhunter2/aB==\n-----END PRIVATE KEY-----\n"}, "--etcd https://a:1 --etcd-cert " + certFile, []string{
			`DOCKREG_ETCD_KEY "…": `,
		}},
		"a key on one line, alone":  {nil, "--etcd https://a:1 --etcd-key " + strings.Repeat("hunter2/aB", 30), []string{`--etcd-key "…": a key without a certificate`}},
		"a short key on one line":   {nil, "--etcd https://a:1 --etcd-cert " + certFile + " --etcd-key MC4CAQAwBQYDK2VwBCIEIhunter2/NmJ5ZDJ6VjI5bXN2d2RlZmdoaWprbG1ub3A", []string{`--etcd-key "…": no such file`}},
		"a key's path, mistyped":    {nil, "--etcd https://a:1 --etcd-cert " + certFile + " --etcd-key tls/client.key", []string{`--etcd-key "tls/client.key": no such file`}},
		"both in place of a file":   {map[string]string{"DOCKREG_ETCD_CERT": "-----BEGIN CERTIFICATE-----\nhunter2\n"}, "--etcd https://a:1 --etcd-key " + keyFile, []string{`DOCKREG_ETCD_CERT "…": no such file`}},
		"a password like a folder":  {nil, "--etcd a:1 --etcd-user joe --etcd-password-file /hunter2==", []string{`--etcd-password-file "…": no such file; give`}},
		"a password's path":         {nil, "--etcd a:1 --etcd-user joe --etcd-password-file /proc/nowhere/etcd", []string{`--etcd-password-file "/proc/nowhere/etcd": no such file; give`}},
		"no UTF-8":                  {nil, "--etcd http://a\xff:1", []string{`--etcd "http://a\xff:1": not a URL; give`}},
		"the password, and no user": {nil, "--etcd a:1 --etcd-password-file hunter2", []string{`--etcd-password-file "…": a password without a user`, `--etcd-password-file "…": no such file`}},
		"two, one in a flag":        {nil, "--etcd http://joe:hunter2@a:1 --etcd-cacert " + certFile, []string{`--etcd "http://…@a:1": the process list shows a password in a flag`}},
		"user twice":                {nil, "--etcd a:1 --etcd-user= --etcd-user joe:hunter2", []string{`--etcd-user "": empty`, "--etcd-user: given twice"}},
		"variable alone":            {password, "--etcd a:1", []string{passwordEnv + ": a password without a user"}},
		"two passwords":             {password, "--etcd a:1 --etcd-user joe --etcd-password-file " + passwordFile, []string{`--etcd-password-file "` + passwordFile + `": a second password, beside ` + passwordEnv}},
		"empty file":                {nil, "--etcd a:1 --etcd-user joe --etcd-password-file " + empty, []string{`--etcd-password-file "` + empty + `": empty`}},
		"two users":                 {inURL, "--etcd-user jim --etcd-password-file " + passwordFile, []string{`--etcd-user "jim": a second user, beside the one in DOCKREG_ETCD`}},
		"file beside the URL":       {inURL, "--etcd-password-file " + passwordFile, []string{`--etcd-password-file "` + passwordFile + `": a second password, beside the one in DOCKREG_ETCD`}},
		"variable beside the URL":   {both, "", []string{passwordEnv + `: a second password, beside the one in DOCKREG_ETCD`}},
		"user with its password":    {nil, "--etcd a:1 --etcd-user joe:hunter2", []string{`--etcd-user "joe:…": a colon in the user's name`}},
		"a password in a flag":      {nil, "--etcd a:1 --etcd-password hunter2", []string{"--etcd-password: no such flag; the process list would show the password; give --etcd-password-file, or DOCKREG_ETCD_PASSWORD"}},
		"one with a dash":           {nil, "--etcd a:1 --etcd-password -hunter2", []string{"--etcd-password: no such flag; the process list"}},
		"one behind an =":           {nil, "--etcd a:1 --etcd-password=hunter2", []string{"--etcd-password: no such flag; the process list"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, lines := configOf(t, tt.env, append(strings.Fields(tt.args), "--port", "1")...)
			slices.Sort(lines)
			slices.Sort(tt.want)
			if !slices.EqualFunc(lines, tt.want, strings.HasPrefix) || strings.Contains(strings.Join(lines, ""), "hunter2") {
				t.Errorf("%s\n got %q\nwant %q, and no password", tt.args, lines, tt.want)
			}
		})
	}
}

// A flag about TLS makes https of an endpoint that doesn't say.
func TestTLSFlagsMeanTLS(t *testing.T) {
	for _, flags := range []string{"--etcd-cacert " + certFile, "--etcd-cert " + certFile + " --etcd-key " + keyFile, "--etcd-server-name etcd-1", "--etcd-server-name ::1"} {
		conf := mustConfig(t, nil, append(strings.Fields(flags), "--port", "1", "--etcd", "a:1,https://b:2")...)
		if got := strings.Join(conf.etcd.Endpoints, " "); got != "https://a:1 https://b:2" {
			t.Errorf("%s: endpoints %s", flags, got)
		}
	}
}

// They leave records of members without TLS unused, too.
func TestDiscovery(t *testing.T) {
	for flags, want := range map[string]bool{"": false, "--etcd-cacert " + certFile: true, "--etcd-server-name example.org": true} {
		conf := mustConfig(t, nil, append(strings.Fields(flags), "--port", "1", "--etcd-discovery-srv", "example.org.")...)
		if c := conf.etcd; c.DiscoverySRV != "example.org." || c.DiscoveryTLS != want || len(c.Endpoints) != 0 {
			t.Errorf("%s: %+v", flags, c)
		}
	}
}
