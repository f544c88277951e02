package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"dockreg/probe/pidfd"
)

// start runs a process until the test ends, and returns its number and what ends it.
func start(t *testing.T) (pid int, end func()) {
	t.Helper()
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	t.Cleanup(end)
	return c.Process.Pid, end
}

// known returns containers that know these first processes, by their ids.
func known(t *testing.T, all map[string]cgroups) *containers {
	t.Helper()
	c := newContainers(&fakeEngine{})
	for id, in := range all {
		process, err := pidfd.Hold(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		c.running[id] = &firstProcess{container: id, pid: os.Getpid(), process: process, cgroups: in}
	}
	t.Cleanup(c.close)
	return c
}

// P11: what counts is in which container's first process's groups a process is, the
// outermost first, and not what names are in the path.
func TestP11OutermostContainer(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	c := known(t, map[string]cgroups{
		a: {"": "/docker/" + a}, b: {"": "/docker/" + b},
		"inner": {"": "/docker/" + a + "/docker/inner"}, "innermost": {"": "/docker/" + a + "/docker/inner/docker/innermost"},
	})
	for path, want := range map[string]string{
		"/docker/" + a:                                         a,
		"/docker/" + a + "/docker/" + b:                        a, // named like another
		"/docker/" + a + "/docker/inner":                       a,
		"/docker/" + a + "/docker/inner/docker/innermost/more": a,
		"/docker/" + b + "/x":                                  b,
		"/docker":                                              "",
		"/docker/" + a + "b":                                   "",
		"/elsewhere/" + a:                                      "",
	} {
		for range 5 { // a map's order is at random
			id := ""
			first, err := c.known(cgroups{"": path})
			if first != nil {
				id = first.container
			}
			if id != want || (want == "") != errors.Is(err, errNoContainer) {
				t.Errorf("%s: %s, %v, want %s", path, id, err, want)
			}
		}
	}
}

// P11: of two containers that can't both be it, it is neither.
func TestP11SeveralContainers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*containers{
		"the same groups": known(t, map[string]cgroups{"a": {"": "/docker/a"}, "b": {"": "/docker/a"}}),
		"crosswise":       known(t, map[string]cgroups{"a": {"cpu": "/x/y", "pids": "/x"}, "b": {"cpu": "/x", "pids": "/x/y"}}),
	} {
		for range 5 {
			if first, err := c.known(cgroups{"": "/docker/a", "cpu": "/x/y", "pids": "/x/y"}); !errors.Is(err, errSeveral) {
				t.Errorf("%s: %v, %v", name, first, err)
			}
		}
	}
}

// P11: a first process that has ended stands for nothing, even while Docker lists its
// container, and one that took its number does not stand for that container either: its
// parent is in the same groups.
func TestP11FirstProcess(t *testing.T) {
	t.Parallel()
	pid, end := start(t)
	engine := &fakeEngine{knows: map[string]container.InspectResponse{}}
	c := inspected(ownID, "web", "bridge", "null")
	c.State.Pid = pid
	engine.set(c)
	all := newContainers(engine)
	t.Cleanup(all.close)
	all.cgroupsOf = func(of int) (cgroups, error) {
		if of == pid {
			return cgroups{"": "/docker/" + ownID}, nil
		}
		return cgroups{"": "/system.slice"}, nil
	}
	if first, err := all.find(t.Context(), cgroups{"": "/docker/" + ownID}); err != nil || first.container != ownID || first.name != "web" {
		t.Fatalf("%v, %v", first, err)
	}
	end()
	if first, err := all.find(t.Context(), cgroups{"": "/docker/" + ownID}); !errors.Is(err, errNoContainer) {
		t.Errorf("of one that has ended: %v, %v", first, err)
	}

	// The number is another's now.
	c.State.Pid, _ = start(t)
	engine.set(c)
	all.cgroupsOf = func(int) (cgroups, error) { return cgroups{"": "/docker/" + otherID}, nil }
	if first, err := all.find(t.Context(), cgroups{"": "/docker/" + otherID}); !errors.Is(err, errNoContainer) {
		t.Errorf("of one whose number is another's: %v, %v", first, err)
	}
	// It was started from outside, and so its parent is in other groups; but Docker has
	// taken note by now.
	all.cgroupsOf = func(of int) (cgroups, error) {
		if of == c.State.Pid {
			return cgroups{"": "/docker/" + otherID}, nil
		}
		return cgroups{"": "/system.slice"}, nil
	}
	engine.inspected = func() { engine.knows[ownID] = inspected(ownID, "web", "bridge", "null") }
	if first, err := all.find(t.Context(), cgroups{"": "/docker/" + otherID}); !errors.Is(err, errNoContainer) {
		t.Errorf("of one whose number has just become another's: %v, %v", first, err)
	}
}

// A container that was renamed does not go by the name that another one has now: Prometheus
// would take what both tell for the same.
func TestRenamedContainer(t *testing.T) {
	t.Parallel()
	engine := &fakeEngine{knows: map[string]container.InspectResponse{}}
	all := newContainers(engine)
	t.Cleanup(all.close)
	groups := map[int]cgroups{}
	all.cgroupsOf = func(of int) (cgroups, error) {
		if in, ok := groups[of]; ok {
			return in, nil
		}
		return cgroups{"": "/system.slice"}, nil
	}
	run := func(id, name string) *firstProcess {
		c := inspected(id, name, "bridge", "null")
		if known := all.running[id]; known != nil {
			c.State.Pid = known.pid
		} else {
			c.State.Pid, _ = start(t)
		}
		groups[c.State.Pid] = cgroups{"": "/docker/" + id}
		engine.set(c)
		first, err := all.find(t.Context(), groups[c.State.Pid])
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	thirdID := strings.Repeat("c", 64)
	first := run(ownID, "web")
	run(otherID, "next")
	run(ownID, "old")    // docker rename web old
	run(otherID, "web")  // docker rename next web
	run(thirdID, "next") // docker run --name next
	for id, want := range map[string]string{ownID: "old", otherID: "web", thirdID: "next"} {
		if name := all.running[id].name; name != want {
			t.Errorf("%.1s is %q, want %q", id, name, want)
		}
	}
	if !all.ended(first) || all.running[ownID].process.Ended() {
		t.Error("what it told by its earlier name is still its")
	}
}

// However many ask, Docker is asked for what runs five times a second at the most.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	engine := &fakeEngine{}
	c := newContainers(engine)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	ended := make(chan struct{})
	for range 50 {
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				_, _ = c.find(ctx, cgroups{"": "/x"})
			}
		}()
	}
	for range 50 {
		<-ended
	}
	if took := time.Since(began); engine.lists > 2+int(took/(200*time.Millisecond)) {
		t.Errorf("asked %d times within %s", engine.lists, took)
	}
}

// Without the host's cgroup namespace nothing is known, and that is said.
func TestHiddenCgroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pid, _ := start(t)
	c := inspected(strings.Repeat("e", 64), "hidden", "bridge", "null")
	c.State.Pid = pid
	w.engine.set(c)
	all := newContainers(w.engine)
	all.cgroupsOf = func(int) (cgroups, error) { return nil, errHidden }
	if _, err := all.find(t.Context(), cgroups{"": "/x"}); !errors.Is(err, errHidden) {
		t.Errorf("%v", err)
	}
}

func TestStatOf(t *testing.T) {
	t.Parallel()
	parent, err := parentOf(os.Getpid())
	if err != nil || parent != os.Getppid() {
		t.Errorf("%d, %v, want %d", parent, err, os.Getppid())
	}
	stat, err := statOf(os.Getpid())
	if err != nil || !slices.Contains([]string{"R", "S", "D"}, stat[0]) {
		t.Errorf("%v, %v", stat, err)
	}
}
