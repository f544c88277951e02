package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// What reads etcd does so over TLS, too, and not with a certificate that nobody signed.
func TestReadersOverTLS(t *testing.T) {
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		port := make([]int, 2)
		for i := range port {
			var err error
			if port[i], err = testbed.LowPort("127.0.0.1"); err != nil {
				t.Fatal(err)
			}
		}
		data := t.TempDir()
		url := fmt.Sprintf("https://127.0.0.1:%d", port[0])
		server := exec.Command(binary, "--data-dir", data, "--auto-tls", "--listen-client-urls", url, "--advertise-client-urls", url,
			"--listen-peer-urls", fmt.Sprintf("http://127.0.0.1:%d", port[1]))
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = server.Process.Kill()
			_ = server.Wait()
		})
		ca := filepath.Join(data, "fixtures", "client", "cert.pem") // it signs itself
		if err := poll(t, 30*time.Second, func() error {
			put := exec.Command("etcdctl", "--endpoints", url, "--cacert", ca, "put", "/service/10.1.0.101:1", "running")
			put.Env = append(os.Environ(), "ETCDCTL_API=3")
			out, err := put.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if code, out, errs := readEtcd(t, url, "ls", "--etcd-cacert", ca); code != 0 || !strings.Contains(out, "\n10.1.0.101:1  ") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		if code, out, errs := readEtcd(t, url, "ls"); code != 1 || out != "" || !strings.Contains(errs, "not signed by an authority that is trusted") || !strings.Contains(errs, "--etcd-cacert") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		w := startWatch(t, url, "--etcd-cacert", ca)
		w.want(t, "listed")
	})
}
