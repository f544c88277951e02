package probe

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// command is a process that a probe has started.
type command struct {
	*exec.Cmd
	ended chan struct{} // closed when it has ended, and not been reaped yet
}

// children is read-locked by each command until it has been reaped, and locked by
// ReapOrphans, which must not take a command's end away.
var children sync.RWMutex

// freed tells ReapOrphans that a command has been reaped.
var freed = make(chan struct{}, 1)

// start starts a command. If this process is killed the command is, too, but not what it
// has started itself.
func start(words, env []string) (*command, error) {
	c := &command{Cmd: exec.Command(words[0], words[1:]...), ended: make(chan struct{})} //nolint:gosec,noctx // running it is what it's for; kill ends it
	c.Env = env
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	children.RLock()
	go func() {
		// What Pdeathsig waits for is the end of the thread that starts the command.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Start()
		started <- err
		if err != nil {
			return
		}
		// Not reaped yet: until it is, no other process can get its number, and
		// with it the signal that is meant for its group.
		for errors.Is(unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		}
		close(c.ended)
	}()
	if err := <-started; err != nil {
		children.RUnlock()
		return nil, err
	}
	return c, nil
}

// kill kills all of the command's group. That fails if nobody is left, or may not be
// killed.
func (c *command) kill() { _ = unix.Kill(-c.Process.Pid, unix.SIGKILL) }

// clear reaps the command, which has ended, and kills what is left of its group. It returns
// how the command ended, as exec.Cmd's Wait does.
func (c *command) clear() error {
	c.kill()
	err := c.Wait()
	children.RUnlock()
	select {
	case freed <- struct{}{}:
	default:
	}
	return err
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
