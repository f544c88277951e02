package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// command is a process that a probe has started.
type command struct {
	*exec.Cmd
	err      error         // why it could not be started
	started  chan struct{} // closed when it has been
	unwanted atomic.Bool   // it is to be killed
	ended    chan struct{} // closed when it has ended, and not been reaped yet, or could not be started
}

// children is read-locked by each command until it has been reaped, and locked by
// ReapOrphans, which must not take a command's end away.
var children sync.RWMutex

// freed tells ReapOrphans that a command has been reaped.
var freed = make(chan struct{}, 1)

// start starts a command, and doesn't wait for that: a program may be read from a disk that
// hangs. If this process is killed the command is, too, but not what it has started itself.
func start(words, env []string) *command {
	c := &command{Cmd: exec.Command(words[0], words[1:]...), started: make(chan struct{}), ended: make(chan struct{})} //nolint:gosec,noctx // running it is what it's for; kill ends it
	c.Env = env
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	children.RLock()
	go func() {
		defer close(c.ended)
		// What Pdeathsig waits for is the end of the thread that starts the command.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if c.err = c.Start(); c.err != nil {
			return
		}
		close(c.started)
		if c.unwanted.Load() {
			c.kill()
		}
		// Not reaped yet: until it is, no other process can get its number, and
		// with it the signal that is meant for its group.
		for errors.Is(unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		}
	}()
	return c
}

// kill kills the command, and all of its group; as soon as it has been started, if it is not
// yet. That fails if nobody is left, or may not be killed.
func (c *command) kill() {
	c.unwanted.Store(true)
	select {
	case <-c.started:
		_ = unix.Kill(-c.Process.Pid, unix.SIGKILL)
		_ = unix.Kill(c.Process.Pid, unix.SIGKILL) // it may have left its group
	default:
	}
}

// clear reaps the command, which has ended, and kills what is left of its group. It returns
// why it could not be started, or did not end with 0.
func (c *command) clear() error {
	defer func() {
		children.RUnlock()
		select {
		case freed <- struct{}{}:
		default:
		}
	}()
	if c.err != nil {
		return fmt.Errorf("start the command: %w", c.err)
	}
	c.kill()
	if err := c.Wait(); err != nil {
		return fmt.Errorf("the command ended with %w", err)
	}
	return nil
}

// ReapOrphans takes note of the end of processes whose parents have ended before them,
// until ctx ends. That is for a container's first process: whoever is left of a command
// that a probe has run, or of docker exec, would stay in the process table otherwise.
func ReapOrphans(ctx context.Context) {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGCHLD)
	defer signal.Stop(ends)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ends:
		case <-freed:
		}
		if !children.TryLock() {
			continue // freed follows
		}
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 && !errors.Is(err, unix.EINTR) {
				break
			}
		}
		children.Unlock()
	}
}
