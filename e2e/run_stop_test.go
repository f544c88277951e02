package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// P2: a stop deregisters, drains, and then stops the app, which has the time that it needs.
func TestP2RunStopsInOrder(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := enteredAndRegistered(t, []string{"--pre-stop", "echo before"}, "sh", "-c",
		`trap 'echo stopping; kill $!; exit 7' TERM; node /srv/app.js & while :; do wait; done`)
	began := time.Now()
	if _, err := c.Do("stop"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c, 7) // nobody had to be killed
	wantGone(t, keys, key, began, busy)
	logs, err := c.Logs()
	if err != nil {
		t.Fatal(err)
	}
	at := []time.Time{deregisteredAt(t, logs, key), loggedAt(t, logs, "before"), loggedAt(t, logs, "stopping")}
	if !slices.IsSortedFunc(at, time.Time.Compare) || at[1].Sub(at[0]) < time.Second {
		t.Errorf("deregistered, before, stopping: %v\n%s", at, logs)
	}
}

// The signal of --stop-signal asks for a stop, and is what the app gets, as nginx needs it.
func TestRunStopSignal(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := enteredAndRegistered(t, []string{"--stop-signal", "QUIT"}, "nginx", "-c", "/srv/nginx.conf")
	began := time.Now()
	if _, err := c.Do("kill", "--signal", "QUIT"); err != nil {
		t.Fatal(err)
	}
	wantGone(t, keys, key, began, busy)
	wantCode(t, c, 0)
	if logs, err := c.Logs(); err != nil || !strings.Contains(logs, "signal=SIGQUIT") {
		t.Errorf("%v\n%s", err, logs)
	}
}

// What heeds no TERM is killed with all of its group, before docker stop would do that.
func TestRunKillsInTheEnd(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, _, _ := enteredAndRegistered(t, []string{"--drain", "0s", "--stop-timeout", "3s"}, "sh", "-c", `trap '' TERM; node /srv/app.js & sleep 1000 & wait; wait; wait`)
	if _, err := c.Do("stop", "--time", "60"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c, 137)
	if logs, err := c.Logs(); err != nil || !strings.Contains(logs, "did not stop in time") {
		t.Errorf("%v\n%s", err, logs)
	}
}

// A stop comes in any phase: before the app listens, during the drain, and once more.
func TestRunStopsInAllPhases(t *testing.T) {
	needDocker(t)
	t.Parallel()
	t.Run("not registered", func(t *testing.T) {
		t.Parallel()
		c := entered(t, nil, "sleep", "1000")
		awaitLogged(t, c, "waiting for the app", 1)
		if _, err := c.Do("stop"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c, 143)
	})
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		c := entered(t, []string{"--stop-timeout", "30s"}, node...)
		awaitLogged(t, c, "started the app", 1) // before dockreg runs, the kernel drops a TERM for it
		if _, err := c.Do("stop", "--time", "50"); err != nil {
			t.Fatal(err)
		}
		// The code says how far the app had come, and whether somebody had to be killed.
		if out, err := c.Do("wait"); err != nil || out == "137" {
			t.Errorf("exit code %s, %v", out, err)
		}
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		c, _, _ := enteredAndRegistered(t, []string{"--drain", "200s", "--stop-timeout", "300s"}, node...)
		if _, err := c.Do("kill", "--signal", "TERM"); err != nil {
			t.Fatal(err)
		}
		awaitLogged(t, c, "msg=draining", 1)
		if _, err := c.Do("kill", "--signal", "TERM"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c, 0)
	})
	t.Run("the app dies in the drain", func(t *testing.T) {
		t.Parallel()
		c, _, _ := enteredAndRegistered(t, []string{"--drain", "200s", "--stop-timeout", "300s"}, node...)
		if _, err := c.Do("kill", "--signal", "TERM"); err != nil {
			t.Fatal(err)
		}
		awaitLogged(t, c, "msg=draining", 1)
		if _, err := c.Signal("KILL", "node"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c, 137)
	})
}
