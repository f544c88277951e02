package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"
)

// IsCommand says whether a check runs a command, the words of which stand behind spaces.
func IsCommand(check string) bool { return strings.HasPrefix(check, "exec:") }

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
	p := &Probe{show: show}
	p.ask = (&execProbe{words: words, probe: p}).ask
	return p, nil
}

// execProbe passes if a command exits with 0. It runs without a shell, in a
// process group of its own that is killed after it, with all that is left in it.
// What it prints is dropped: it may hold a secret, and changes from time to time.
type execProbe struct {
	words []string
	probe *Probe   // whose Env it is
	left  *command // that a probe had to give up, or nil
}

// killTimeout is how long a command that was killed may take to end. One that runs as
// another user, or that waits for a device, can't be killed at all.
const killTimeout = time.Second

func (p *execProbe) ask(ctx context.Context) error {
	if p.left != nil {
		select {
		case <-p.left.ended:
			_ = p.left.clear()
			p.left = nil
		default:
			return errUnkillable
		}
	}
	c := start(p.words, p.probe.Env)
	var late error
	select {
	case <-c.ended:
	case <-ctx.Done():
		late = commandError{ctx.Err()}
		c.kill()
		select {
		case <-c.ended:
		case <-time.After(killTimeout):
			p.left = c
			return errUnkillable
		}
	}
	if err := c.clear(); late == nil {
		return err
	}
	return late
}

var errUnkillable = errors.New("the command did not end in time, and can't be killed; it is not run again before it has ended")

// commandError is a command that had to be killed.
type commandError struct{ cause error }

func (e commandError) Error() string { return "the command did not end" }
func (e commandError) Unwrap() error { return e.cause }
