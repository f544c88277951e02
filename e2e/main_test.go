package e2e

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

var (
	image  = envOr("DOCKREG_IMAGE", "dockreg") // built by make image
	binary string                              // built by make build
	etcd   *testbed.Etcd
	docker *testbed.Docker // nil: there is none
)

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		log.Print(err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (int, error) {
	var err error
	binary, err = filepath.Abs(fmt.Sprintf("../dist/dockreg-linux-%s", runtime.GOARCH))
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(binary); err != nil {
		return 0, fmt.Errorf("make build comes first: %w", err)
	}

	if commands, err = os.MkdirTemp("", "commands"); err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(commands) }()

	host := "127.0.0.1"
	docker, err = testbed.FindDocker()
	switch {
	case err == nil:
		host = docker.Gateway
	case os.Getenv("CI") == "true":
		return 0, err
	default:
		fmt.Printf("e2e: every test with containers is skipped: %v\n", err)
	}
	if etcd, err = testbed.StartVolatileEtcd(host); err != nil {
		return 0, err
	}
	defer etcd.Stop()
	return m.Run(), nil
}

func needDocker(t *testing.T) {
	t.Helper()
	if docker == nil {
		t.Skip("no Docker engine answers here")
	}
}

// runApp starts a container with the sample app. It is gone at the test's end,
// and shows what it logged if the test failed.
func runApp(t *testing.T, args ...string) *testbed.Container {
	t.Helper()
	return keep(t)(docker.RunApp(image, etcd.URL, args...))
}

// registered runs a container with the sample app, with these arguments of docker run,
// and waits for its key.
func registered(t *testing.T, args ...string) (c *testbed.Container, keys *testbed.Keys, key string) {
	t.Helper()
	start := time.Now()
	keys = follow(t)
	c = runApp(t, args...)
	key = keyOf(t, c)
	wantPut(t, keys, key, start, time.Minute)
	return c, keys, key
}

// keep sees to it that a container ends with the test.
func keep(t *testing.T) func(*testbed.Container, error) *testbed.Container {
	return func(c *testbed.Container, err error) *testbed.Container {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if t.Failed() {
				logs, _ := c.Logs()
				t.Logf("the container %.12s logged\n%s", c.ID, logs)
			}
			if err := c.Remove(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
}

// awaitLogged waits until the container has logged these words n times, and returns
// all that it has logged.
func awaitLogged(t *testing.T, c *testbed.Container, words string, n int) (logs string) {
	t.Helper()
	err := poll(t, 2*time.Minute, func() (err error) {
		if logs, err = c.Logs(); err == nil && strings.Count(logs, words) < n {
			err = fmt.Errorf("%q is not there %d times", words, n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return logs
}

func follow(t *testing.T) *testbed.Keys {
	t.Helper()
	return testbed.FollowKeys(t.Context(), etcd.Client, "/")
}

func keyOf(t *testing.T, c *testbed.Container) string {
	t.Helper()
	address, err := docker.Address(c)
	if err != nil {
		t.Fatal(err)
	}
	return "/service/" + address
}

func wantPut(t *testing.T, keys *testbed.Keys, key string, since time.Time, within time.Duration) testbed.Event {
	t.Helper()
	return await(t, keys, key, false, since, within)
}

func wantGone(t *testing.T, keys *testbed.Keys, key string, since time.Time, within time.Duration) testbed.Event {
	t.Helper()
	return await(t, keys, key, true, since, within)
}

func await(t *testing.T, keys *testbed.Keys, key string, gone bool, since time.Time, within time.Duration) testbed.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	e, err := keys.Await(ctx, key, gone, since)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
