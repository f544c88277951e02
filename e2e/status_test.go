package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// told is what dockreg status --output json tells in a container.
type told struct {
	Registered      bool
	App, Key, Lease string
	Member, Version string
	ProbeError      string  `json:"probe_error"`
	LastFault       string  `json:"last_fault"`
	Renewed         float64 `json:"renewed_ago_seconds"`
	For             float64 `json:"for_seconds"`
}

func statusIn(t *testing.T, c *testbed.Container) (s told) {
	t.Helper()
	out, err := c.Exec("sh", "-c", "dockreg status --output json || true") // its exit code says whether it is registered
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return s
}

// dockreg status tells in a container what goes on, and its exit code whether the app is
// registered: the image's HEALTHCHECK is that.
func TestStatus(t *testing.T) {
	needDocker(t)
	t.Parallel()
	start := time.Now()
	keys := follow(t)
	c := keep(t)(docker.RunApp(image, etcd.URL, "--health-interval", "1s"))
	key := keyOf(t, c)
	wantPut(t, keys, key, start, time.Minute)
	if err := poll(t, 20*time.Second, func() error { // etcd tells of the key before it tells dockreg
		if s := statusIn(t, c); !s.Registered || s.App != "up" || s.Key != key || s.Lease == "" || s.Member != etcd.URL || s.ProbeError != "" || s.Renewed > 20 {
			return fmt.Errorf("registered: %+v", s)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if out, err := c.Exec("dockreg", "status"); err != nil || !strings.HasPrefix(out, "registered for ") || !strings.Contains(out, "key         "+key) {
		t.Errorf("%v\n%s", err, out)
	}
	health := func(want string) {
		t.Helper()
		if err := poll(t, time.Minute, func() error {
			if is, err := c.Do("inspect", "--format", "{{.State.Health.Status}}"); err != nil || is != want {
				return fmt.Errorf("the container is %q, want %q: %w", is, want, err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	health("healthy")

	if _, err := c.Signal("STOP", "node"); err != nil { // it hangs
		t.Fatal(err)
	}
	if err := poll(t, 30*time.Second, func() error {
		if s := statusIn(t, c); s.Registered || s.App != "down" || s.ProbeError == "" || s.Lease != "" {
			return fmt.Errorf("the app is down: %+v", s)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if out, err := c.Exec("sh", "-c", "! dockreg status"); err != nil || !strings.HasPrefix(out, "not registered for ") || !strings.Contains(out, ": the app is down\n") {
		t.Errorf("%v\n%s", err, out)
	}
	health("unhealthy")
}

// Where no dockreg runs, status says so.
func TestStatusOfNone(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c := keep(t)(docker.Run("--no-healthcheck", "--entrypoint", "sleep", image, "600"))
	if out, err := c.Exec("dockreg", "status"); err == nil || !strings.Contains(err.Error()+out, "no dockreg tells of itself here") {
		t.Errorf("%v\n%s", err, out)
	}
}

// P9: a socket that was wanted, and can't be, is told of. Nobody wanted one of the usual ones.
func TestP9StatusSocketThatCantBe(t *testing.T) {
	t.Parallel()
	const refusal = "can't listen at --status-socket; dockreg status can't ask here"
	port := startApp(t)
	besideApp(t, etcd.URL, port, "--status-socket", "/proc/dockreg.sock").awaitLogged(t, refusal)
}
