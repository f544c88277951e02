// Dockreg runs beside an app in a Docker container, and keeps one leased key in
// etcd, /service/<host ip>:<host port>, while the app answers. Each command has a file
// here, with its wiring; what its flags may say is in settings.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"dockreg/entrypoint"
	"dockreg/probe"
	"dockreg/settings"
	"dockreg/sidekick"
)

// Set when linking; see the Makefile.
var (
	version = "1.0.0-dev"
	commit  = "unknown"
)

// Exit codes: 0 is "asked to stop, and done".
const (
	exitFault = 1 // anything but the next
	exitUsage = 2 // wrong usage or configuration
)

func main() {
	prepare(os.Args)
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// prepare does to this process what no command does.
func prepare(args []string) {
	// A panic ends with SIGABRT then, and not with 2, which tells supervisord that
	// starting again won't help.
	debug.SetTraceback("crash")
	isSidekick := args[0] == sidekickName
	isEntrypoint := len(args) > 1 && args[1] == "run" && !isSidekick
	if !isEntrypoint { // whose limits are the app's
		// Of this end there is no core file, which would hold etcd's password.
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	}
	if isSidekick {
		ignoreTerminal()
	}
	// These are notified, and not ignored, which a command that a probe runs would inherit:
	// PIPE would make a closed stderr deadly. HUP means nothing, except to dockreg watch: whoever
	// looked on has gone, and there may be nothing to write, and so to fail at, for days.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if len(args) < 2 || args[1] != "watch" {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	// As a container's first process, it is the parent of all whose own has ended. An
	// entrypoint does more.
	if os.Getpid() == 1 && !isEntrypoint {
		go probe.ReapOrphans(context.Background()) // until the process ends
	}
	// Where net/http writes what an app said without being asked.
	stdlog.SetOutput(io.Discard)
	cli.VersionPrinter = func(c *cli.Context) {
		_, _ = fmt.Fprintf(c.App.Writer, "dockreg %s (commit %s, %s)\n", version, commit, runtime.Version())
	}
}

// versionCommand is --version as a word.
func versionCommand() *cli.Command {
	return &cli.Command{
		Name:         "version",
		Usage:        "print the version",
		HideHelp:     true,
		OnUsageError: (&settings.Set{}).OnUsageError,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return settings.Mistakes{fmt.Sprintf("version %q: a stray argument; nothing stands behind it", strings.Join(c.Args().Slice(), " "))}
			}
			cli.ShowVersion(c)
			return nil
		},
	}
}

// run builds the command tree and runs it. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	usage := exitUsage
	if args[0] == sidekickName {
		usage = entrypoint.ExitUsage
	}
	app := registerCommand(stdout, stderr)
	app.Commands = []*cli.Command{runCommand(stdout, stderr), hostCommand(stderr), lsCommand(stdout, stderr), watchCommand(stdout, stderr), statusCommand(stdout), webCommand(stderr), completionCommand(), versionCommand()}
	own := ownArgs(app, args)
	if err := unquoted(own); err != nil {
		complain(stderr, err)
		return usage
	}
	err := app.Run(args)
	if code, ok := err.(exitError); ok { //nolint:errorlint // nothing wraps it
		return int(code)
	}
	var (
		mistakes  settings.Mistakes
		permanent *sidekick.PermanentError
	)
	_, library := err.(cli.ExitCoder) //nolint:errorlint // its own, such as that there is no help on something; a command's end has an exit code, too
	switch {
	case errors.As(err, &mistakes) && asksForHelp(app, own):
		err = showHelp(app, args)
	case errors.As(err, &mistakes), errors.As(err, &permanent), library:
		complain(stderr, err)
		return usage
	}
	if err != nil {
		complain(stderr, err)
		return exitFault
	}
	return 0
}

// What the parser takes for a wish, wherever it stands.
var (
	helpFlags    = []string{"--help", "-help", "-h", "--h"}
	versionFlags = []string{"--version", "-version", "-v", "--v"}
)

// ownArgs leaves out an app's command, which stands behind -- or else behind all flags.
func ownArgs(app *cli.App, args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	command := commandOf(app, args)
	if command == nil || command.Name != "run" {
		return args
	}
	for i := 2; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") && !takesValue(command.Flags, args[i-1]) {
			return args[:i]
		}
	}
	return args
}

// takesValue says whether a flag's value is the next argument.
func takesValue(flags []cli.Flag, arg string) bool {
	return strings.HasPrefix(arg, "-") && slices.ContainsFunc(flags, func(f cli.Flag) bool {
		takes, ok := f.(cli.DocGenerationFlag)
		return ok && takes.TakesValue() && strings.TrimLeft(arg, "-") == f.Names()[0]
	})
}

// unquoted is for a command that a probe is to run, and the rest of which the parser would
// take for a wish of its own, such as -v or --help.
func unquoted(args []string) error {
	for i, arg := range args[1:] {
		value, inOne := strings.CutPrefix(strings.TrimLeft(args[i], "-"), "check=")
		if !inOne && i > 0 && strings.TrimLeft(args[i-1], "-") == "check" && strings.HasPrefix(args[i-1], "-") {
			value = args[i]
		}
		if probe.IsCommand(value) && (slices.Contains(helpFlags, arg) || slices.Contains(versionFlags, arg)) {
			return settings.Mistakes{settings.Unquoted("check")}
		}
	}
	return nil
}

// commandOf returns the command that a line names, or nil: it is dockreg itself.
func commandOf(app *cli.App, args []string) *cli.Command {
	if len(args) < 2 {
		return nil
	}
	return app.Command(args[1])
}

func showHelp(app *cli.App, args []string) error {
	c := cli.NewContext(app, nil, nil)
	if command := commandOf(app, args); command != nil && command.CustomHelpTemplate != "" {
		return cli.ShowCommandHelp(c, command.Name)
	}
	return cli.ShowAppHelp(c)
}

// asksForHelp is for what the parser did not get to. What stands behind a flag is its
// value.
func asksForHelp(app *cli.App, args []string) bool {
	flags := app.Flags
	if command := commandOf(app, args); command != nil {
		flags = command.Flags
	}
	for i, arg := range args {
		if isValue := i > 0 && takesValue(flags, args[i-1]); !isValue && slices.Contains(helpFlags, arg) {
			return true
		}
	}
	return false
}

func complain(stderr io.Writer, err error) {
	if errors.As(err, &toldError{}) {
		return
	}
	until := time.Now().Add(flushTimeout)
	for line := range strings.Lines(err.Error()) {
		writeLine(stderr, []byte("dockreg: "+strings.TrimSuffix(line, "\n")+"\n"), until)
	}
}
