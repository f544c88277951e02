package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// startHost starts a host's service, whose socket is docker.sock in the folder, with these
// further flags. It ends with the test, and shows what it logged if the test failed.
func startHost(t *testing.T, flags ...string) (folder string, p *process) {
	t.Helper()
	folder, err := os.MkdirTemp("", "host") // short: a socket's path has 107 bytes at the most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder, restartHost(t, folder, flags...)
}

// restartHost starts a host's service again, for the same folder.
func restartHost(t *testing.T, folder string, flags ...string) *process {
	t.Helper()
	p := dockreg(append([]string{"host", "--listen", filepath.Join(folder, "docker.sock"), "--log-level", "debug"}, flags...)...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Signal(syscall.SIGTERM)
			late := time.AfterFunc(10*time.Second, func() { _ = p.Process.Kill() })
			defer late.Stop()
			if err := p.Wait(); err != nil {
				t.Errorf("the host's service did not stop as asked: %v", err)
			}
		}
		if t.Failed() {
			t.Logf("the host's service logged\n%s", p.stderr.String())
		}
	})
	p.awaitLogged(t, "msg=starting")
	return p
}

// asked is how a container is started whose sidekick asks a host's service, and has no
// docker.sock.
func asked(folder string) []string {
	return []string{"-p", "8000", "-v", folder + ":/run/dockreg:ro", "-e", "DOCKREG_DOCKER=/run/dockreg/docker.sock", "-e", "DOCKREG_LOG_LEVEL=debug"}
}

// Who has mounted the service's socket, and not said so, is told how.
func TestTellsOfTheHostsSocket(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t)
	c := keep(t)(docker.Run("-p", "8000", "-v", folder+":/run/dockreg:ro", "-e", "IP="+docker.Gateway, "-e", "ETCD="+etcd.URL, image))
	awaitLogged(t, c, "give --docker /run/dockreg/docker.sock, or set DOCKREG_DOCKER", 1)
}

// runAsked runs a container with the sample app that asks a host's service, and waits for
// its key and for its last will.
func runAsked(t *testing.T, folder string, args ...string) (c *testbed.Container, keys *testbed.Keys, key string) {
	t.Helper()
	start := time.Now()
	keys = follow(t)
	args = append(append(asked(folder), "-e", "IP="+docker.Gateway, "-e", "ETCD="+etcd.URL), args...)
	c = keep(t)(docker.Run(append(args, image)...))
	key = keyOf(t, c)
	wantPut(t, keys, key, start, time.Minute)
	awaitLogged(t, c, `msg="the host's service has the last will"`, 1)
	return c, keys, key
}

// P11: with a host's service an app is registered as with Docker's own socket, which is not
// in the container; so it is while the service is away, which is heard once.
func TestP11NoDockerSocketInTheContainer(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, host := startHost(t, "--etcd", etcd.URL)
	c, keys, key := runAsked(t, folder, "-e", "DOCKREG_FALL=2") // not that a single probe is late
	wantDryRun := func(command string, want ...string) {
		t.Helper()
		if err := poll(t, time.Minute, func() error { // again, where a busy Docker was late
			out, err := c.Exec("sh", "-c", command)
			for _, words := range want {
				if !strings.Contains(out, words) {
					return errors.Join(err, fmt.Errorf("no %q in\n%s", words, out))
				}
			}
			return err
		}); err != nil {
			t.Errorf("the dry run: %v", err)
		}
	}
	wantDryRun("ls /var/run/docker.sock 2>&1 || dockreg --dry-run --port 8000 --etcd $ETCD --ip $IP --log-level info",
		"would be registered: "+key, "dockreg host takes it")
	wantDryRun("dockreg --dry-run --port 8000 --etcd $ETCD --ip 192.0.2.1", "192.0.2.1:", "given with --ip") // a will that would be refused

	host.terminate(t)
	awaitLogged(t, c, "gets the last will again when it is back", 1)
	host = restartHost(t, folder, "--etcd", etcd.URL)
	awaitLogged(t, c, "has the last will again", 1)
	if history := keys.History(); countOf(history, key) != 1 {
		t.Errorf("the restart of the service is seen at the key: %v", history)
	}
	// Its last will was told anew.
	killed := time.Now()
	if _, err := c.Do("kill"); err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, keys, key, killed, busy)
	t.Logf("docker kill typed to key gone: %s", gone.At.Sub(killed))
	host.awaitLogged(t, "its keys are gone")
}

// P11: with --network container:X the address is X's, and the last will the container's own:
// X lives on, and the key goes with who registered it.
func TestP11NetworkOfAnotherContainer(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t, "--etcd", etcd.URL)
	start := time.Now()
	keys := follow(t)
	x := keep(t)(docker.Run("-p", "8000", "--entrypoint", "sleep", image, "600"))
	c := keep(t)(docker.Run("--network", "container:"+x.ID, "-v", folder+":/run/dockreg:ro", "-e", "DOCKREG_DOCKER=/run/dockreg/docker.sock",
		"-e", "DOCKREG_LOG_LEVEL=debug", "-e", "IP="+docker.Gateway, "-e", "ETCD="+etcd.URL, image))
	key := keyOf(t, x)
	wantPut(t, keys, key, start, time.Minute)
	awaitLogged(t, c, `msg="the host's service has the last will"`, 1)
	killed := time.Now()
	if _, err := c.Do("kill"); err != nil {
		t.Fatal(err)
	}
	wantGone(t, keys, key, killed, busy)
}

// countOf counts what happened to a key.
func countOf(history []testbed.Event, key string) (n int) {
	for _, e := range history {
		if e.Key == key {
			n++
		}
	}
	return n
}
