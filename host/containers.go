package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"dockreg/probe/pidfd"
)

// Engine is what is asked of Docker.
type Engine interface {
	Running(ctx context.Context) (ids []string, err error)
	Inspect(ctx context.Context, id string) (container.InspectResponse, error)
}

// listEvery bounds how often Docker is asked for what runs, whoever asks here.
const listEvery = 200 * time.Millisecond

var (
	errNoContainer = errors.New("the caller runs in no container of this engine")
	errSeveral     = errors.New("the caller's cgroups are those of several containers")
)

// containers knows which cgroups are which container's: those that its first process is
// in, as Docker names that. The names in their paths say nothing: who may make cgroups
// may call them anything.
type containers struct {
	engine    Engine
	cgroupsOf func(pid int) (cgroups, error)

	turn   chan struct{} // to ask Docker; holds a token
	listed time.Time     // when it was asked last
	failed error         // and what came of it

	mu      sync.Mutex
	running map[string]*firstProcess // by the container's id
}

// firstProcess is a container's. When it ends, so do all others in its pid namespace.
type firstProcess struct {
	container string
	pid       int
	process   *pidfd.Process
	cgroups   cgroups
	name      string // the container's, as it was when it was found
}

func newContainers(e Engine) *containers {
	c := &containers{engine: e, cgroupsOf: cgroupsOf, turn: make(chan struct{}, 1), running: map[string]*firstProcess{}}
	c.turn <- struct{}{}
	return c
}

// close lets go of all first processes.
func (c *containers) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, f := range c.running {
		f.process.Close()
		delete(c.running, id)
	}
}

// find returns the first process of the container that a process in these cgroups is in.
func (c *containers) find(ctx context.Context, in cgroups) (first *firstProcess, err error) {
	if first, err = c.known(in); err == nil {
		return first, nil
	}
	came := time.Now()
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("list containers: %w", ctx.Err())
	}
	defer func() { c.turn <- struct{}{} }()
	// Docker was asked for the one before, after this one had come: it need not be again.
	if first, err = c.known(in); err == nil || c.failed == nil && c.listed.After(came) {
		return first, err
	}
	select {
	case <-time.After(listEvery - time.Since(c.listed)):
	case <-ctx.Done():
		return nil, fmt.Errorf("list containers: %w", ctx.Err())
	}
	c.listed = time.Now()
	c.failed = c.list(ctx)
	if first, err = c.known(in); err == nil || c.failed == nil {
		return first, err
	}
	return nil, c.failed
}

// known is find without a question to Docker.
func (c *containers) known(in cgroups) (outermost *firstProcess, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The outermost: an engine inside a container makes groups further in.
	for _, f := range c.running {
		switch {
		case !f.cgroups.contain(in) || f.process.Ended():
		case outermost == nil, f.cgroups.contain(outermost.cgroups) && !outermost.cgroups.contain(f.cgroups):
			outermost = f
		case !outermost.cgroups.contain(f.cgroups) || f.cgroups.contain(outermost.cgroups):
			return nil, fmt.Errorf("%w, %.12s and %.12s", errSeveral, outermost.container, f.container)
		}
	}
	if outermost == nil {
		return nil, errNoContainer
	}
	return outermost, nil
}

// ended says whether a container has, or whether it was found anew since.
func (c *containers) ended(first *firstProcess) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running[first.container] != first || first.process.Ended()
}

// list asks Docker for what runs, and for the first process of what is new. What it has
// found is kept, even if there was no time for the rest.
func (c *containers) list(ctx context.Context) error {
	ids, err := c.engine.Running(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	for id, f := range c.running {
		if f.process.Ended() || !slices.Contains(ids, id) {
			f.process.Close()
			delete(c.running, id)
		}
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return c.running[id] != nil })
	c.mu.Unlock()
	var failed error
	for _, id := range ids {
		answer, err := c.engine.Inspect(ctx, id)
		if ctx.Err() != nil {
			return cmp.Or(err, ctx.Err())
		}
		if err != nil && !cerrdefs.IsNotFound(err) {
			failed = err // it may be the one that is looked for
		}
		if err != nil || answer.State == nil || !answer.State.Running {
			continue // it has ended meanwhile
		}
		// Of one whose first process has just ended, too, this is the end.
		f, err := c.holdFirst(ctx, id, answer.State.Pid)
		if errors.Is(err, errHidden) {
			return err
		}
		if err == nil {
			f.name = nameOf(answer)
			c.mu.Lock()
			c.running[id] = f
			c.mu.Unlock()
			c.goesBy(ctx, id, f.name)
		}
	}
	return failed
}

// goesBy takes note of a container's name. Whoever had it before has been renamed, and is
// another one then for what was told by that name.
func (c *containers) goesBy(ctx context.Context, id, name string) {
	var others []string
	c.mu.Lock()
	for other, f := range c.running {
		switch {
		case f.name == name && other != id:
			others = append(others, other)
		case f.name != name && other == id:
			renamed := *f
			renamed.name = name
			c.running[id] = &renamed
		}
	}
	c.mu.Unlock()
	for _, other := range others {
		next := other[:12] // until Docker tells
		if answer, err := c.engine.Inspect(ctx, other); err == nil {
			next = nameOf(answer)
		}
		if next != name {
			c.goesBy(ctx, other, next)
		}
	}
}

func nameOf(c container.InspectResponse) string { return strings.TrimPrefix(c.Name, "/") }

// hold takes hold anew of a container's first process.
func (c *containers) hold(id string) (*firstProcess, error) {
	c.mu.Lock()
	known := c.running[id]
	c.mu.Unlock()
	if known == nil {
		return nil, errNoContainer
	}
	process, err := pidfd.Hold(known.pid)
	if err != nil {
		return nil, err
	}
	// The number can't have gone to another process while this one had not ended.
	if known.process.Ended() {
		process.Close()
		return nil, errNoContainer
	}
	return &firstProcess{id, known.pid, process, known.cgroups, known.name}, nil
}

// holdFirst takes hold of a container's first process. Its number may have gone to a
// process in another container since Docker learned it. But then that one's parent is in
// the same cgroups, as not with a first process; or it was started from outside, as by
// docker exec, and Docker, which has had the time to take note, names another by now.
func (c *containers) holdFirst(ctx context.Context, id string, pid int) (*firstProcess, error) {
	process, err := pidfd.Hold(pid)
	if err != nil {
		return nil, err
	}
	f := &firstProcess{container: id, pid: pid, process: process}
	if f.cgroups, err = c.cgroupsOf(pid); err == nil {
		var parent int
		var around cgroups
		if parent, err = parentOf(pid); err == nil {
			around, err = c.cgroupsOf(parent)
		}
		if err == nil && f.cgroups.contain(around) {
			err = fmt.Errorf("process %d is not the first one of its container", pid)
		}
	}
	if err == nil {
		var now container.InspectResponse
		if now, err = c.engine.Inspect(ctx, id); err == nil && (now.State == nil || !now.State.Running || now.State.Pid != pid) {
			err = fmt.Errorf("process %d is the first one of its container no more", pid)
		}
	}
	if err == nil && process.Ended() {
		err = fmt.Errorf("process %d has ended", pid)
	}
	if err != nil {
		process.Close()
		return nil, err
	}
	return f, nil
}

// parentOf reads the number of a process's parent.
func parentOf(pid int) (int, error) {
	stat, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(stat[1])
}

// statOf returns the fields of /proc/<pid>/stat from the third one on, the state: the
// second is a name that may hold anything.
func statOf(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("not the state of a process: %.100q", text)
	}
	return fields, nil
}
