package probe

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	"github.com/kballard/go-shellquote"
	"golang.org/x/sys/unix"
)

// parseExec splits the command's words as a shell does, and shows none but the first.
func parseExec(rest string, _ target, _ string) (*Probe, error) {
	words, err := shellquote.Split(strings.TrimPrefix(rest, ":"))
	if err != nil {
		return nil, errors.New("a quote is not closed; quote as in a shell, such as exec:check 'two words'")
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("no command to run; give exec:command arguments")
	}
	show := "exec:" + words[0]
	if n := len(words) - 1; n > 0 {
		show += fmt.Sprintf(" (arguments: %d)", n) // one may be a password
	}
	return &Probe{show: show, ask: (&execProbe{words}).ask}, nil
}

// execProbe passes if a command exits with 0. It runs without a shell, in a
// process group of its own that is killed after it, with all that is left in it.
// What it prints is dropped: it may hold a secret, and changes from time to time.
type execProbe struct {
	words []string
}

func (p *execProbe) ask(ctx context.Context) error {
	cmd := exec.Command(p.words[0], p.words[1:]...) //nolint:gosec,noctx // running it is what it's for; ctx kills the group, below
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the command: %w", err)
	}

	exited := make(chan struct{})
	go func() {
		defer close(exited)
		// Not reaped yet: until it is, no other process can get its number, and
		// with it the signal that is meant for its group.
		for errors.Is(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		}
	}()
	var late error
	select {
	case <-exited:
	case <-ctx.Done():
		late = commandError{ctx.Err()}
	}
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // fails if nobody is left, or may not be killed
	<-exited
	err := cmd.Wait()
	if late != nil {
		return late
	}
	if err != nil {
		return fmt.Errorf("the command ended with %w", err)
	}
	return nil
}

// commandError is a command that had to be killed.
type commandError struct{ cause error }

func (e commandError) Error() string { return "the command did not end" }
func (e commandError) Unwrap() error { return e.cause }
