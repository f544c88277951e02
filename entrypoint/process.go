package entrypoint

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes of a command that can't be run, as shells and Docker have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // and the signal's number
)

// kernel has the processes.
type kernel struct{}

// start makes the system call, where package os would wait for the process itself: here one
// place takes note of every end. Package syscall gives the child the limit of open files with
// which this process was started, and of the signals that were blocked those that Go left so.
func (kernel) start(path string, words, env []string, files []uintptr) (pid int, err error) {
	return syscall.ForkExec(path, words, &syscall.ProcAttr{Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}}) //nolint:gosec // running it is what it is for
}

func (kernel) signal(pid int, s syscall.Signal) { _ = unix.Kill(pid, s) }

// codeOfStart is the exit code for what could not be started.
func codeOfStart(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitNotFound
	}
	return exitNotExecutable
}

// codeOf is the exit code that says how a process has ended.
func codeOf(status syscall.WaitStatus) int {
	if status.Signaled() {
		return exitSignal + int(status.Signal())
	}
	return status.ExitStatus()
}

func (kernel) reap(ended func(pid int, status syscall.WaitStatus)) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || pid <= 0:
			return
		default:
			ended(pid, status)
		}
	}
}

// terminal is the one that dockreg was started at, if it is in its foreground.
type terminal struct{ fd int }

// ownTerminal returns nil if there is none.
func ownTerminal() *terminal {
	t := &terminal{0} // and not Stdin.Fd, which would change its mode
	if !t.isOwn() {
		return nil
	}
	return t
}

// isOwn says whether this process, and not the app, is in the foreground.
func (t *terminal) isOwn() bool {
	if t == nil {
		return false
	}
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// giveTo makes a process group the foreground one. One that had asked the terminal before it
// was that has been stopped, and goes on. A process in the background may do that only while
// it ignores TTOU (tcsetpgrp(3)), which signals has the rest of the time.
func (t *terminal) giveTo(group int, signals chan<- os.Signal) {
	if t == nil {
		return
	}
	signal.Ignore(unix.SIGTTOU)
	_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group)
	signal.Notify(signals, unix.SIGTTOU)
	_ = unix.Kill(-group, unix.SIGCONT)
}
