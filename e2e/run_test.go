package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// entered starts a container of the image with many apps, in which dockreg runs this command
// as the first process, with these flags.
func entered(t *testing.T, flags []string, command ...string) *testbed.Container {
	t.Helper()
	return enteredIn(t, []string{apps}, flags, command...)
}

// enteredIn is entered, with further arguments of docker run, of which the last is the image.
func enteredIn(t *testing.T, image, flags []string, command ...string) *testbed.Container {
	t.Helper()
	args, last := image[:len(image)-1], image[len(image)-1]
	return keep(t)(docker.RunEntered(last, etcd.URL, args, slices.Concat(flags, []string{"--"}, command)...))
}

// node is an app that answers.
var node = []string{"node", "/srv/app.js"}

// lateStart has an app take two seconds to listen. One that is started again listens after a
// fifth of a second else, and then nobody takes its key away any more if etcd was no faster.
const lateStart = "START_DELAY=2"

// enteredAndRegistered is entered, and waits for the key.
func enteredAndRegistered(t *testing.T, flags []string, command ...string) (c *testbed.Container, keys *testbed.Keys, key string) {
	t.Helper()
	return registeredIn(t, []string{apps}, flags, command...)
}

// registeredIn is enteredIn, and waits for the key.
func registeredIn(t *testing.T, image, flags []string, command ...string) (c *testbed.Container, keys *testbed.Keys, key string) {
	t.Helper()
	start := time.Now()
	keys = follow(t)
	c = enteredIn(t, image, flags, command...)
	key = keyOf(t, c)
	wantPut(t, keys, key, start, time.Minute)
	return c, keys, key
}

// wantCode waits for the container's end, and wants this exit code.
func wantCode(t *testing.T, c *testbed.Container, want int) {
	t.Helper()
	if out, err := c.Do("wait"); err != nil || out != fmt.Sprint(want) {
		logs, _ := c.Logs()
		t.Errorf("exit code %s, %v, want %d\n%s", out, err, want, logs)
	}
}

// An app that dies takes its key with it, without a probe and however many failures are
// tolerated, and its exit code is the container's.
func TestRunSeesACrash(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := enteredAndRegistered(t, []string{"--fall", "3", "--ttl", "30s"}, node...)
	killed, err := c.Signal("KILL", "node")
	if err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, keys, key, killed, busy)
	t.Logf("figure: killed to key gone: %s", gone.At.Sub(killed))
	wantCode(t, c, 137)
}

// With --restart the app is started again, and registered again; the container lives on.
func TestRunRestarts(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := registeredIn(t, []string{"-e", lateStart, apps}, []string{"--restart", "on-failure"}, node...)
	for range 3 {
		killed, err := c.Signal("KILL", "node")
		if err != nil {
			t.Fatal(err)
		}
		gone := wantGone(t, keys, key, killed, busy)
		wantPut(t, keys, key, gone.At, time.Minute)
	}
	if _, err := c.Do("stop"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c, 0)
}

// What is wrong is told before the app is started; what can't be run has a shell's exit code.
func TestRunsExitCodes(t *testing.T) {
	needDocker(t)
	t.Parallel()
	for _, c := range []struct {
		want    int
		flags   []string
		command []string
	}{
		{0, nil, []string{"true"}},
		{7, nil, []string{"sh", "-c", "exit 7"}},
		{129, nil, []string{"sh", "-c", "kill -HUP $$"}},
		{127, nil, []string{"no-such-command"}},
		{126, nil, []string{"/etc/passwd"}},
		{2, []string{"--interval", "never"}, []string{"sh", "-c", "echo the app was started"}},
		{2, []string{"--drain", "7s"}, []string{"sh", "-c", "echo the app was started"}},
		{2, nil, nil},
	} {
		t.Run(fmt.Sprint(c.want, c.flags, c.command), func(t *testing.T) {
			t.Parallel()
			container := entered(t, c.flags, c.command...)
			wantCode(t, container, c.want)
			if logs, err := container.Logs(); err != nil || strings.Contains(logs, "the app was started") {
				t.Errorf("%v\n%s", err, logs)
			}
		})
	}
}

// All signals that can be are handed on to the app, and end nothing by themselves.
func TestRunHandsSignalsOn(t *testing.T) {
	needDocker(t)
	t.Parallel()
	const script = `
import signal
own = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGPROF, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
signals = signal.valid_signals() - own
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while True: print("got", int(signal.sigwait(signals)), flush=True)
`
	c := entered(t, nil, "python3", "-c", script)
	awaitLogged(t, c, "ready", 1)
	for number := 1; number <= 64; number++ {
		switch number {
		case 9, 19, 13, 17, 23, 27, 15, 20, 21, 22, 32, 33, 34:
			continue
		}
		if _, err := c.Do("kill", "--signal", fmt.Sprint(number)); err != nil {
			t.Fatal(err)
		}
		awaitLogged(t, c, fmt.Sprintf("got %d\n", number), 1)
	}
	if _, err := c.Do("kill", "--signal", "TERM"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c, 143)
}

// A thousand processes whose parents end before them, and a hundred daemons, leave nothing in the
// process table.
func TestRunReapsOrphans(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c := entered(t, nil, "sh", "-c", `for i in $(seq 1000); do (true &); done; for i in $(seq 100); do (setsid sh -c "true & exit" &); done; echo orphaned; sleep 1000`)
	awaitLogged(t, c, "orphaned", 1)
	err := poll(t, time.Minute, func() error {
		out, err := c.Exec("sh", "-c", `grep -l '^State:.*Z' /proc/[0-9]*/status | wc -l`)
		if err == nil && out != "0" {
			err = fmt.Errorf("%s zombies", out)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// P10: what may be secret in dockreg's environment is not in the app's; the rest of it, its
// folder, its limits and its standard input are as they were.
func TestP10RunsEnvironment(t *testing.T) {
	needDocker(t)
	t.Parallel()
	args := []string{
		"-e", "DOCKREG_ETCD=http://joe:hunter2@192.0.2.1:2379", "-e", "DOCKREG_ETCD_PASSWORD=", "-e", "DOCKREG_IP=192.0.2.1", "-e", "COLOR=red",
		"--ulimit", "nofile=1000:2000", "--workdir", "/srv", "--user", "1000:1000", "--entrypoint", "dockreg", apps,
	}
	c := keep(t)(docker.Run(append(args, "run", "--port", "8000", "--", "sh", "-c", "env; pwd; ulimit -n; id -u; umask; grep ^Sig /proc/self/status")...))
	wantCode(t, c, 0)
	logs, err := c.Logs()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" COLOR=red\n", " /srv\n", " 1000\n", " DOCKREG_IP=192.0.2.1\n", "SigIgn:\t0000000000000000\n"} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %q in\n%s", want, logs)
		}
	}
	if strings.Contains(logs, "hunter2") {
		t.Errorf("the app has the password:\n%s", logs)
	}
}
