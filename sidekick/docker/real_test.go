package docker

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const (
	realHost  = "unix:///var/run/docker.sock"
	realImage = "debian:bookworm-slim"
)

// command runs docker against the real engine and returns what it prints.
func command(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", append([]string{"--host", realHost}, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}

// mustCommand is command with a test that fails if it does.
func mustCommand(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t.Context(), args...)
	if err != nil {
		t.Fatalf("docker %q: %v", args, err)
	}
	return out
}

// needEngine skips the test where there is no real engine, which CI must have.
func needEngine(t *testing.T) {
	t.Helper()
	missing := t.Skip
	if os.Getenv("CI") == "true" {
		missing = t.Fatal
	}
	if _, err := command(t.Context(), "version"); err != nil {
		missing("no Docker engine at " + realHost + ", or no docker command to reach it with")
	}
	if _, err := command(t.Context(), "image", "inspect", realImage); err != nil {
		missing("the Docker engine at " + realHost + " has no image " + realImage)
	}
}

// start runs a container until the test ends.
func start(t *testing.T, args ...string) (id string) {
	t.Helper()
	id = mustCommand(t, append([]string{"run", "--detach"}, args...)...)
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := command(ctx, "rm", "--force", id); err != nil {
			t.Errorf("remove container %s: %v", id, err)
		}
	})
	return id
}

func TestRealEngine(t *testing.T) {
	t.Parallel()
	needEngine(t)
	id := start(t, "--publish", "127.0.0.1::8000", realImage, "sleep", "600")
	mapped := mustCommand(t, "port", id, "8000/tcp")
	if at, err := netip.ParseAddrPort(mapped); err != nil || at.Addr().String() != "127.0.0.1" {
		t.Fatalf("docker port says %q", mapped)
	}
	l := locator(t, Config{Host: realHost, Container: id}, fstest.MapFS{}, "")
	mustLocate(t, l, mapped)

	// By what the container itself sees in /proc, and in its hostname.
	mountinfo := mustCommand(t, "exec", id, "cat", "/proc/self/mountinfo")
	mustLocate(t, locator(t, Config{Host: realHost}, fstest.MapFS{"self/mountinfo": {Data: []byte(mountinfo)}}, ""), mapped)
	hostname := mustCommand(t, "exec", id, "hostname")
	mustLocate(t, locator(t, Config{Host: realHost}, fstest.MapFS{}, hostname), mapped)

	// A real 404, which no answer of a stand-in could vouch for.
	l = locator(t, Config{Host: realHost, Container: unknownID}, fstest.MapFS{}, "")
	_, err := l.Locate(t.Context())
	mustSay(t, err, ErrNoSuchContainer, unknownID)
}
