package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// P11: a container that is killed, in whichever way, has no key any more at once, long
// before its lease ends. make bench measures how long that takes.
func TestP11KilledContainer(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t, "--etcd", etcd.URL)
	for name, kill := range map[string]func(c *testbed.Container) error{
		"docker kill":  func(c *testbed.Container) error { _, err := c.Do("kill"); return err },
		"docker rm -f": func(c *testbed.Container) error { return c.Remove() },
		// As the kernel does when there is no memory left: nobody asked Docker.
		"its first process alone": func(c *testbed.Container) error { return syscall.Kill(firstOf(t, c), syscall.SIGKILL) },
		"a stop that it does not heed": func(c *testbed.Container) error {
			if err := syscall.Kill(firstOf(t, c), syscall.SIGSTOP); err != nil {
				return err
			}
			_, err := c.Do("stop", "--time", "1")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, keys, key := runAsked(t, folder)
			died := awaitDeath(t, firstOf(t, c))
			start := time.Now()
			if err := kill(c); err != nil {
				t.Fatal(err)
			}
			gone := wantGone(t, keys, key, start, busy)
			t.Logf("key gone %s after the first process died", gone.At.Sub(<-died))
		})
	}
}

// P11: so does one whose first process the kernel kills, for its lack of memory.
func TestP11OutOfMemory(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t, "--etcd", etcd.URL)
	c, keys, key := runAsked(t, folder, "--memory", "192m")
	first := firstOf(t, c)
	// What is killed first is what this says.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", first), []byte("1000"), 0o600); err != nil {
		t.Skip("who is to be killed first can't be said here: ", err)
	}
	died := awaitDeath(t, first)
	start := time.Now()
	_, _ = c.Exec("node", "-e", "const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))")
	gone := wantGone(t, keys, key, start, 30*time.Second)
	t.Logf("key gone %s after the first process died", gone.At.Sub(<-died))
	// Docker takes note later than the key goes, and doesn't always hear why.
	if err := poll(t, time.Minute, func() error {
		if how, err := c.Do("inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}"); err != nil || how != "false 137" {
			return fmt.Errorf("docker says of its end: %q, %w", how, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// P11: many at once, as when a host's engine goes down: none waits for its turn.
func TestP11ManyKilledAtOnce(t *testing.T) {
	needDocker(t)
	n := either(30, 12)
	folder, _ := startHost(t, "--etcd", etcd.URL)
	start := time.Now()
	keys := follow(t)
	// An app and a sidekick take little; supervisord for each would take long.
	var group sync.WaitGroup
	turns := make(chan struct{}, 4)
	containers, errs := make([]*testbed.Container, n), make([]error, n)
	for i := range n {
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			args := append(asked(folder), "--network", "bridge", "--no-healthcheck", "--entrypoint", "sh", image, "-c",
				"dockreg --check tcp --port 8000 --etcd "+etcd.URL+" --ip "+docker.Gateway+" --key many & exec node -e 'require(\"net\").createServer().listen(8000)'")
			containers[i], errs[i] = docker.Run(args...)
		})
	}
	group.Wait()
	for i, c := range containers {
		keep(t)(c, errs[i])
	}
	all := make([]string, n)
	for i, c := range containers {
		address, err := docker.Address(c)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = "/many/" + address
		wantPut(t, keys, all[i], start, 3*time.Minute)
		awaitLogged(t, c, `msg="the host's service has the last will"`, 1)
	}

	var firsts []int
	var deaths []<-chan time.Time
	for _, c := range containers {
		firsts = append(firsts, firstOf(t, c))
		deaths = append(deaths, awaitDeath(t, firsts[len(firsts)-1]))
	}
	killed := time.Now()
	for _, first := range firsts {
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	var took, lag []time.Duration
	for i, key := range all {
		gone := wantGone(t, keys, key, killed, busy).At
		took, lag = append(took, gone.Sub(killed)), append(lag, gone.Sub(<-deaths[i]))
	}
	slices.Sort(took)
	slices.Sort(lag)
	t.Logf("%d containers killed at once: the keys were gone after %s in the middle, %s at the last; %s and %s after the first processes ended",
		n, took[n/2], took[n-1], lag[n/2], lag[n-1])
}

// P11: what is no end of the container executes no last will: its sidekick is killed and
// started again, and it is paused.
func TestP11AliveContainer(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, host := startHost(t, "--etcd", etcd.URL)
	// A pause that meets a probe is no reason for it to fail.
	c, keys, key := runAsked(t, folder, "-e", "DOCKREG_INTERVAL=1m", "-e", "DOCKREG_TTL=2m")
	if _, err := c.Signal("KILL", "dockreg"); err != nil {
		t.Fatal(err)
	}
	awaitLogged(t, c, `msg="the host's service has the last will"`, 2)
	if _, err := c.Do("pause"); err != nil {
		t.Fatal(err)
	}
	lasts(t, 2*time.Second)
	if _, err := c.Do("unpause"); err != nil {
		t.Fatal(err)
	}
	for _, e := range keys.History() {
		if e.Key == key && e.Gone {
			t.Errorf("the key was absent: %v", keys.History())
		}
	}
	// Only what the second sidekick registered is left to be revoked.
	killed := time.Now()
	if _, err := c.Do("kill"); err != nil {
		t.Fatal(err)
	}
	wantGone(t, keys, key, killed, busy)
	host.awaitLogged(t, "its keys are gone")
}

// P11: an engine without live-restore that was killed takes its containers down when it
// starts again: one that doesn't heed its TERM it kills.
func TestP11EngineDies(t *testing.T) {
	needDocker(t)
	t.Parallel()
	e := startEngine(t, false)
	folder, _ := startHost(t, "--etcd", etcd.URL, "--docker", filepath.Join(e.Folder, "docker.sock"), "--ip", e.Gateway)
	start := time.Now()
	keys := testbed.FollowKeys(t.Context(), etcd.Client, "/engine-dies/")
	c := keep(t)(e.Run(append(asked(folder), "-e", "IP="+e.Gateway, "-e", "ETCD="+etcd.URL, "-e", "DOCKREG_KEY=engine-dies", image)...))
	address, err := e.Address(c)
	if err != nil {
		t.Fatal(err)
	}
	key := "/engine-dies/" + address
	wantPut(t, keys, key, start, time.Minute)
	awaitLogged(t, c, `msg="the host's service has the last will"`, 1)
	first := firstOf(t, c)
	died := awaitDeath(t, first)
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, keys, key, start, 30*time.Second)
	if late := gone.At.Sub(<-died); late > busy {
		t.Errorf("the key was gone %s after the first process", late)
	} else {
		t.Logf("key gone %s after the first process died", late)
	}
}

// P11: the key of a container that was killed while etcd was away is gone when it is back.
func TestP11KilledWhileEtcdIsAway(t *testing.T) {
	needDocker(t)
	t.Parallel()
	cluster := stopWith(t)(testbed.StartAlone(mustBuild(t, "etcd")))
	member := cluster.Members[0]
	relay := testbed.NewRelay(docker.Gateway)
	t.Cleanup(relay.Close)
	at, err := relay.Listen(strings.TrimPrefix(member.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	folder, host := startHost(t, "--etcd", cluster.URLs())
	start := time.Now()
	keys := testbed.FollowKeys(t.Context(), member.Client, "/")
	// A lease that lapses while etcd hangs, and Docker is slow to kill, is nobody's will.
	c := keep(t)(docker.Run(append(asked(folder), "-e", "IP="+docker.Gateway, "-e", "ETCD="+at, "-e", "DOCKREG_TTL=2m", image)...))
	key := keyOf(t, c)
	wantPut(t, keys, key, start, time.Minute)
	awaitLogged(t, c, `msg="the host's service has the last will"`, 1)
	if err := member.Hang(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do("kill"); err != nil {
		t.Fatal(err)
	}
	lasts(t, 3*time.Second)
	if err := member.Resume(); err != nil {
		t.Fatal(err)
	}
	resumed := time.Now()
	gone := wantGone(t, keys, key, start, 10*time.Second+busy)
	t.Logf("key gone %s after etcd was back", gone.At.Sub(resumed))
	host.awaitLogged(t, "its keys are gone")
}

// firstOf returns the container's first process, by its number on this machine.
func firstOf(t *testing.T, c *testbed.Container) int {
	t.Helper()
	pid, err := c.First()
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// awaitDeath delivers when a process ended.
func awaitDeath(t *testing.T, pid int) <-chan time.Time {
	t.Helper()
	died, err := testbed.AwaitDeath(pid)
	if err != nil {
		t.Fatal(err)
	}
	return died
}
