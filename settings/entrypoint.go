package settings

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/kballard/go-shellquote"
	"github.com/urfave/cli/v2"

	"dockreg/entrypoint"
	"dockreg/sidekick"
)

// Entrypoint says how an app is run.
type Entrypoint struct {
	set          *Set
	registration *Registration
	command      []string

	restart     *Setting[entrypoint.Restart]
	stopTimeout *Setting[time.Duration]
	stopSignal  *Setting[syscall.Signal]
	preStop     *Setting[[]string]
}

// leastDrain is a stop's where the app stops after it, and nobody says another: consumers that
// watch the keys have followed by then.
const leastDrain = 2 * time.Second

// Entrypoint adds the settings of how the app is run that is registered.
func (s *Set) Entrypoint(r *Registration) *Entrypoint {
	e := &Entrypoint{
		set: s, registration: r,
		restart: add(s, define(groupApp, "restart", "WHEN", "never", "when an app that ends by itself is started again: never,\non-failure or always"), oneOf("time to start again", "never, on-failure or always", map[string]entrypoint.Restart{
			"never": entrypoint.Never, "on-failure": entrypoint.OnFailure, "always": entrypoint.Always,
		})),
		stopSignal:  add(s, define(groupApp, "stop-signal", "SIGNAL", "TERM", "what asks for a stop beside TERM, and is sent to the app then;\nas the image's STOPSIGNAL, such as QUIT for nginx"), entrypoint.ParseSignal),
		stopTimeout: add(s, define(groupApp, "stop-timeout", "TIME", "8s", "from being asked to stop to killing the app; less than\nwhat docker stop waits, which is 10s"), parseSpan),
	}
	e.preStop = add(s, define(groupApp, "pre-stop", "COMMAND", "", "a command, run without a shell after the drain and before the\napp is stopped, for at most half of the time that is left"), e.parsePreStop)
	e.preStop.secret, e.preStop.isCommand = true, func(string) bool { return true }
	r.leastDrain = leastDrain
	r.drain.Usage = "on a stop: the wait between deregistering and stopping the app;\nby default 2s, and as long as consumers of the records need"
	s.entrypoint = e
	return e
}

// read takes the app's command from the command line.
func (e *Entrypoint) read(c *cli.Context) {
	if e.command = c.Args().Slice(); len(e.command) == 0 || e.command[0] == "" {
		e.set.mistake("no command to run; give it behind --, such as dockreg run --port 8000 -- node app.js")
	}
}

// Config returns how the app is run, once the settings have been read.
func (e *Entrypoint) Config(drain time.Duration) entrypoint.Entrypoint {
	if needed := drain + sidekick.StopBudget; !e.stopTimeout.wrong && !e.registration.drain.wrong && e.stopTimeout.Value <= needed {
		e.stopTimeout.blame(fmt.Errorf("too short: the drain takes %s, an etcd that does not answer %s before it, and the app has to stop, too; give at least %s, and docker stop a longer --time", drain, sidekick.StopBudget, needed+time.Second))
	}
	return entrypoint.Entrypoint{
		App: e.command, AppEnv: commandEnv(), Restart: e.restart.Value,
		StopSignal: e.stopSignal.Value, StopTimeout: e.stopTimeout.Value, Drain: drain, PreStop: e.preStop.Value,
	}
}

// parsePreStop splits a command's words as a shell does, and shows none but the first: one may
// be a password.
func (e *Entrypoint) parsePreStop(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	words, err := shellquote.Split(text)
	if end := strings.IndexFunc(text, unicode.IsSpace); end >= 0 {
		e.preStop.shown = text[:end] + " …"
	}
	switch {
	case err != nil:
		return nil, errors.New("a quote is not closed; quote as in a shell, such as 'nginx -s quit'")
	case len(words) == 0 || words[0] == "":
		return nil, errors.New("no command; give one, such as 'nginx -s quit', or leave this away")
	}
	return words, nil
}
