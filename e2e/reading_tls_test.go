package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tlsEtcd is an etcd that speaks TLS, with a certificate that it signs itself.
type tlsEtcd struct {
	t          *testing.T
	cmd        *exec.Cmd
	url, peers string
	data, ca   string
}

// startTLS starts one with this program, which ends with the test.
func startTLS(t *testing.T, binary string) *tlsEtcd {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	e := &tlsEtcd{
		t: t, url: "https://127.0.0.1:" + lowPort(t, "127.0.0.1"), peers: "http://127.0.0.1:" + lowPort(t, "127.0.0.1"),
		data: data, ca: filepath.Join(data, "fixtures", "client", "cert.pem"),
	}
	e.start(binary)
	t.Cleanup(e.kill)
	return e
}

func (e *tlsEtcd) start(binary string) {
	e.t.Helper()
	e.cmd = exec.Command(binary, "--data-dir", e.data, "--auto-tls", "--bcrypt-cost", "4", "--listen-client-urls", e.url, "--advertise-client-urls", e.url,
		"--listen-peer-urls", e.peers, "--initial-advertise-peer-urls", e.peers, "--initial-cluster", "default="+e.peers)
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
}

func (e *tlsEtcd) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

// ctl runs etcdctl commands until they succeed.
func (e *tlsEtcd) ctl(commands string) {
	e.t.Helper()
	if err := poll(e.t, 30*time.Second, func() error {
		cmd := exec.Command("sh", "-e", "-c", commands)
		cmd.Env = append(os.Environ(), "ETCDCTL_API=3", "ETCDCTL_COMMAND_TIMEOUT=1m", "ETCDCTL_CACERT="+e.ca, "ETCD="+e.url, "PASSWORD=secret", "ROOT_PASSWORD=root-secret")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}); err != nil {
		e.t.Fatal(err)
	}
}

// What reads etcd does so over TLS, too, and not with a certificate that nobody signed. All of
// it, and a sidekick, get by with the rights of the role that docs/security.md shows; the
// sidekick tells what goes on while etcd is away, and when it has come back empty.
func TestReadersOverTLS(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t, "../docs/security.md")
	i := slices.IndexFunc(blocks, func(block string) bool { return strings.HasPrefix(block, "etcdctl --endpoints $ETCD role add ") })
	if i < 0 {
		t.Fatal("docs/security.md has no commands that add a role")
	}
	eachEtcd(t, func(t *testing.T, binary string) {
		e := startTLS(t, binary)
		e.ctl("etcdctl --endpoints $ETCD put /service/10.1.0.101:1 running")
		e.ctl(blocks[i])
		login := strings.Replace(e.url, "https://", "https://dockreg:secret@", 1)
		if code, out, errs := readEtcd(t, login, "ls", "--etcd-cacert", e.ca); code != 0 || !strings.Contains(out, "\n10.1.0.101:1  ") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		if code, out, errs := readEtcd(t, login, "ls"); code != 1 || out != "" || !strings.Contains(errs, "not signed by an authority that is trusted") || !strings.Contains(errs, "--etcd-cacert") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		if code, out, errs := readEtcd(t, e.url, "ls", "--etcd-cacert", e.ca); code != 1 || out != "" || !strings.Contains(errs, "--etcd-user") {
			t.Errorf("without a user: exit code %d\n%s%s", code, out, errs)
		}
		w := startWatch(t, login, "--etcd-cacert", e.ca)
		w.want(t, "listed")

		port, folder := startApp(t), t.TempDir()
		socket, password := filepath.Join(folder, "status.sock"), filepath.Join(folder, "password")
		if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := besideApp(t, e.url, port, "--etcd-cacert", e.ca, "--etcd-user", "dockreg", "--etcd-password-file", password, "--status-socket", socket)
		key := "/service/127.0.0.1:" + port
		wantStatus(t, socket, func(s told) bool {
			return s.Registered && s.Key == key && s.Member == e.url && s.Lease != "" && s.Renewed <= 20 && s.LastFault == ""
		})
		w.want(t, "came "+key)

		e.kill()
		wantStatus(t, socket, func(s told) bool { return s.LastFault != "" && s.App == "up" && s.Key == key })
		if err := os.RemoveAll(e.data); err != nil { // and its certificate with it
			t.Fatal(err)
		}
		e.start(binary)
		wantStatus(t, socket, func(s told) bool { return s.Registered && s.Renewed < 5 && s.Member == e.url })
		e.ctl("etcdctl --endpoints $ETCD get " + key + " | grep running")
		p.terminate(t)
		if strings.Contains(p.stderr.String(), "secret") {
			t.Errorf("it logs the password:\n%s", p.stderr.String())
		}
	})
}

// wantStatus asks a sidekick on this machine, at its socket, until it tells what is wanted.
func wantStatus(t *testing.T, socket string, want func(told) bool) {
	t.Helper()
	if err := poll(t, time.Minute, func() error {
		cmd := dockreg("status", "--output", "json", "--status-socket", socket)
		cmd.Stderr = nil
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return err
		}
		var s told
		if err := json.Unmarshal(out, &s); err != nil {
			return fmt.Errorf("%w in %s", err, out)
		}
		if !want(s) || (err == nil) != s.Registered {
			return fmt.Errorf("%s, %w", out, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
