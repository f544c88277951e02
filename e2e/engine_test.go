package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// engineTTL is short enough for a test to wait for its end, and more, and long enough for
// an app that is late on a busy machine.
const engineTTL = 14 * time.Second

var engineTurn sync.Mutex

// startEngine runs a Docker engine of the test's own, which it may stop, with the
// image in it. One test at a time has one.
func startEngine(t *testing.T, liveRestore bool) *testbed.Engine {
	t.Helper()
	missing := t.Skip
	if os.Getenv("CI") == "true" {
		missing = t.Fatal
	}
	engineTurn.Lock()
	t.Cleanup(engineTurn.Unlock)
	e, err := testbed.NewEngine(liveRestore)
	if e != nil {
		t.Cleanup(func() {
			if err := e.Remove(); err != nil {
				t.Errorf("remove the engine: %v", err)
			}
		})
	}
	if err != nil {
		missing("no second Docker engine to stop and start: ", err)
	}
	start := time.Now()
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if err := e.Load(image); err != nil {
		t.Fatal(err)
	}
	t.Logf("the engine started in %s, and loaded the image in %s", started.Sub(start), time.Since(started))
	return e
}

// A Docker engine that restarts under its containers, with live-restore, costs no
// key: what it doesn't say while it is away changes nothing. Started meanwhile, dockreg says
// so once, and registers when the engine is back.
func TestDockerEngineRestarts(t *testing.T) {
	needDocker(t)
	t.Parallel()
	e := startEngine(t, true)
	start := time.Now()
	keys := testbed.FollowKeys(t.Context(), etcd.Client, "/engine/")
	c := keep(t)(e.Run("-p", "8000", "-v", e.Folder+":/run/host", "-e", "DOCKREG_DOCKER=/run/host/docker.sock",
		"-e", "IP="+e.Gateway, "-e", "ETCD="+etcd.URL, "-e", "DOCKREG_KEY=engine",
		"-e", "DOCKREG_TTL="+engineTTL.String(), "-e", "DOCKREG_INTERVAL=3s", "-e", "DOCKREG_FALL=2", image))
	t.Cleanup(func() { _ = e.Start() }) // or nobody could show what the container logged
	address, err := e.Address(c)
	if err != nil {
		t.Fatal(err)
	}
	key := "/engine/" + address
	wantPut(t, keys, key, start, time.Minute)
	t.Logf("container to key: %s", time.Since(start))
	first := strconv.Itoa(firstOf(t, c))

	// Away for longer than the TTL, and back.
	stop := time.Now()
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), engineTTL+4*time.Second)
	defer cancel()
	if gone, err := keys.Await(ctx, key, true, start); err == nil {
		t.Errorf("the key was gone %s after the engine", gone.At.Sub(stop))
	}
	if _, err := get(t, address); err != nil {
		t.Errorf("the app does not answer while the engine is away: %v", err)
	}
	restart := time.Now()
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the engine was away for %s, %s of it to start", time.Since(stop), time.Since(restart))
	if history := keys.History(); len(history) != 1 {
		t.Errorf("the key was written again: %v", history)
	}

	// Away again, and dockreg is killed meanwhile: no docker exec reaches it, but a
	// signal does, and supervisord starts it again.
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	pid := childOf(t, first, "dockreg")
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, keys, key, killed, engineTTL+1500*time.Millisecond+busy)
	t.Logf("dockreg killed to key gone: %s", gone.At.Sub(killed))
	if again := childOf(t, first, "dockreg"); again == pid {
		t.Errorf("process %d was not started again", pid)
	}
	restart = time.Now()
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	answers := time.Now()
	back := wantPut(t, keys, key, gone.At, time.Minute)
	t.Logf("engine started to key back: %s, %s after it answered", back.At.Sub(restart), back.At.Sub(answers))
	logs := awaitLogged(t, c, "msg=registered", 2)
	const words = `msg="can't find the address yet; trying again" err="docker at unix:///run/host/docker.sock does not answer; `
	if n := strings.Count(logs, words); n != 1 {
		t.Errorf("%q is there %d times, want once, in\n%s", words, n, logs)
	}
	if _, err := get(t, address); err != nil {
		t.Errorf("the key is there, and the app does not answer: %v", err)
	}
}

// childOf returns the process of that name that the container's first one, by its
// number outside, has started, once it is there.
func childOf(t *testing.T, first, name string) (pid int) {
	t.Helper()
	err := poll(t, 20*time.Second, func() error {
		children, err := os.ReadFile(filepath.Join("/proc", first, "task", first, "children"))
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range strings.Fields(string(children)) {
			comm, _ := os.ReadFile(filepath.Join("/proc", child, "comm"))
			if _, err := fmt.Sscan(child, &pid); err == nil && strings.TrimSpace(string(comm)) == name {
				return nil
			}
		}
		return fmt.Errorf("no %s is there", name)
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
