package e2e

import (
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// signalSidekick sends a signal to the sidekick, and not to the process that has started it.
func signalSidekick(t *testing.T, c *testbed.Container, signal string) {
	t.Helper()
	if _, err := c.Exec("sh", "-c", "kill -"+signal+" $(grep -l ^dockreg-sidekick /proc/[0-9]*/cmdline | cut -d / -f 3)"); err != nil {
		t.Fatal(err)
	}
}

// Whatever becomes of the sidekick, the app does not notice, and the key is kept. A panic ends
// with ABRT, and with what Go has to say about that, which takes some seconds.
func TestRunOutlivesItsSidekick(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := enteredAndRegistered(t, []string{"--ttl", "1m"}, node...)
	const find = "grep -lx node /proc/[0-9]*/comm"
	pid, err := c.Exec("sh", "-c", find)
	if err != nil {
		t.Fatal(err)
	}
	for n, signal := range []string{"KILL", "ABRT", "KILL"} {
		signalSidekick(t, c, signal)
		awaitLogged(t, c, "msg=registered", n+2)
	}
	if again, err := c.Exec("sh", "-c", find); again != pid {
		t.Errorf("the app is %s, and was %s, %v", again, pid, err)
	}
	for _, e := range keys.History() {
		if e.Key == key && e.Gone {
			t.Errorf("the key was gone: %+v", e)
		}
	}
}

// P2: a sidekick that hangs does not keep the app from being stopped in time, nor the container
// from ending; the key lapses.
func TestP2RunStopsBesideAHungSidekick(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := enteredAndRegistered(t, []string{"--ttl", "12s"}, node...)
	hangs := time.Now() // the key may lapse before Docker says that the signal was sent
	signalSidekick(t, c, "STOP")
	began := time.Now()
	if _, err := c.Do("stop", "--time", "60"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("figure: the stop took %s", took)
	wantCode(t, c, 0)
	logs, err := c.Logs()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logs, "the sidekick is late to deregister") || !strings.Contains(logs, "the app stops") || took > 7500*time.Millisecond+busy {
		t.Errorf("it took %s\n%s", took, logs)
	}
	wantGone(t, keys, key, hangs, 13*time.Second+500*time.Millisecond+busy)
}

// A sidekick that has no etcd, or no Docker, tries on beside the app, which does not notice.
func TestRunWithoutEtcdAndDocker(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c := enteredIn(t, []string{"-e", "DOCKREG_ETCD=http://192.0.2.1:2379", "-e", "DOCKREG_DOCKER=/no/such.sock", apps}, []string{"--stop-timeout", "60s"}, node...)
	awaitLogged(t, c, "the app listens", 1)
	awaitLogged(t, c, "/no/such.sock", 1)
	if _, err := get(t, strings.TrimPrefix(keyOf(t, c), "/service/")); err != nil {
		t.Errorf("the app does not answer: %v", err)
	}
	began := time.Now()
	if _, err := c.Do("stop", "--time", "120"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c, 0)
	if took := time.Since(began); took > 30*time.Second { // half the time to be killed in
		t.Errorf("the stop took %s", took)
	}
}

// P9: what Docker alone knows to be wrong comes to light when the app runs: it is told once, and
// the app goes on.
func TestP9RunGoesOnUnregistered(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c := enteredIn(t, []string{"-e", "DOCKREG_PORT=9000", apps}, nil, node...) // which is not published
	awaitLogged(t, c, "the app listens", 1)
	logs := awaitLogged(t, c, "The app goes on without", 1)
	if n := strings.Count(logs, "port 9000"); n != 1 {
		t.Errorf("the port is named %d times, want once, in\n%s", n, logs)
	}
	if _, err := get(t, strings.TrimPrefix(keyOf(t, c), "/service/")); err != nil {
		t.Errorf("the app does not answer: %v", err)
	}
	if _, err := c.Do("stop"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c, 0)
}
