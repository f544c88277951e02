package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// startHost starts dockreg host with these flags on this machine, with its socket, which
// is called docker.sock, in a folder of its own. It ends with the test, and shows what it
// logged if the test failed.
func startHost(t *testing.T, flags ...string) (folder string, p *process) {
	t.Helper()
	folder, err := os.MkdirTemp("", "host") // a test's own folder has too long a name for a socket's
	if err == nil {
		err = os.Chmod(folder, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	p = dockreg(append([]string{"host", "--listen", filepath.Join(folder, "docker.sock")}, flags...)...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Signal(syscall.SIGTERM)
			late := time.AfterFunc(10*time.Second, func() { _ = p.Process.Kill() })
			defer late.Stop()
			if err := p.Wait(); err != nil {
				t.Errorf("dockreg host: %v", err)
			}
		}
		if t.Failed() {
			t.Logf("dockreg host logged\n%s", p.stderr.String())
		}
		_ = os.RemoveAll(folder)
	})
	p.awaitLogged(t, "msg=starting") // which it says when it listens
	return folder, p
}

// Through it, a container that doesn't see Docker's own socket registers where its app is
// reachable.
func TestHostAnswersForDocker(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t)
	keys := testbed.FollowKeys(t.Context(), etcd.Client, "/host/")
	start := time.Now()
	c := keep(t)(docker.Run("-p", "8000", "-v", folder+":/run/dockreg:ro", "-e", "DOCKREG_DOCKER=/run/dockreg/docker.sock",
		"-e", "IP="+docker.Gateway, "-e", "ETCD="+etcd.URL, "-e", "DOCKREG_KEY=host", image))
	address, err := docker.Address(c)
	if err != nil {
		t.Fatal(err)
	}
	wantPut(t, keys, "/host/"+address, start, time.Minute)
}
