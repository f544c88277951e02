package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"dockreg/entrypoint/control"
)

// sidekickName is what the sidekick's process of an entrypoint is called. The rest of its
// command line is the entrypoint's own.
const sidekickName = "dockreg-sidekick"

// ignoreTerminal keeps a terminal with stty tostop from suspending the sidekick, which logs there
// beside the app that has it: nobody would wake it. Ignored, as a handler would have the write
// tried again for ever. The commands of probes inherit that, and write nothing there.
func ignoreTerminal() { signal.Ignore(syscall.SIGTTOU) }

// exitError is the app's exit code. There is nothing to say about it.
type exitError int

func (exitError) Error() string { return "" }

// runCommand is an entrypoint: it starts an app, and registers it, until that ends.
func runCommand(stdout, stderr io.Writer) *cli.Command {
	r := newRegistration(stdout, stderr)
	r.how = r.set.Entrypoint(r.what)
	return &cli.Command{
		Name:               "run",
		Usage:              "start an app, and register it, as a container's entrypoint",
		ArgsUsage:          "command…",
		CustomHelpTemplate: runHelp,
		Flags:              r.set.Flags(),
		OnUsageError:       r.set.OnUsageError,
		Action: func(c *cli.Context) error {
			if err := r.set.Read(c); err != nil {
				return err
			}
			if os.Args[0] == sidekickName {
				return r.live(c.Context, control.Follow(os.NewFile(control.Descriptor, "control")))
			}
			if r.what.DryRun() {
				return r.live(c.Context, nil)
			}
			return r.enter()
		},
	}
}

// enter starts the app, once all settings have been found right. The sidekick reads them for
// itself.
func (r *registration) enter() error {
	config, prober := r.what.Config(), r.what.Prober()
	r.where.Config()
	e := r.how.Config(config.Drain)
	if err := r.set.Err(); err != nil {
		return err
	}
	log, flush := startLog(r.logs, r.stderr)
	defer flush()
	if _, _, err := r.what.Locator(prober, log); err != nil {
		return err
	}
	e.Log, e.Sidekick, e.Env = log, append([]string{sidekickName}, os.Args[1:]...), os.Environ()
	return exitError(e.Run())
}
