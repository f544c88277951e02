// Dockreg runs beside an app in a Docker container, and keeps one leased key in
// etcd, /service/<host ip>:<host port>, while the app answers. Its flags are in
// flags.go, what they may say in config.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg"
	"dockreg/probe/port"
	"dockreg/sidekick"
	"dockreg/sidekick/docker"
)

// Exit codes: 0 is "asked to stop, and done".
const (
	exitFault = 1 // anything but the next
	exitUsage = 2 // wrong usage or configuration
)

func main() {
	// A panic ends with SIGABRT then, and not with 2, which tells supervisord that
	// starting again won't help.
	debug.SetTraceback("crash")
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// run is main with its surroundings as parameters. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	// Notified, and not ignored, which a command that a probe runs would inherit:
	// HUP means nothing here, and PIPE would make a closed stderr deadly.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)
	// Where net/http writes what an app said without being asked.
	stdlog.SetOutput(io.Discard)

	wrong := &mistakes{}
	app := newApp(stdout, stderr, func(c *cli.Context) error {
		conf, err := parse(source{c, os.Getenv}, wrong)
		if err != nil {
			return err
		}
		return start(c.Context, conf, stdout, stderr)
	})
	err := app.Run(tidy(args, wrong))
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintln(stderr, "dockreg: "+strings.TrimSuffix(line, "\n"))
	}
	var misconfigured *docker.MisconfiguredError
	if errors.As(err, &wrong) || errors.As(err, &misconfigured) {
		return exitUsage
	}
	return exitFault
}

// start lives the registration that conf describes, until a signal asks to stop.
func start(ctx context.Context, conf *config, stdout, stderr io.Writer) error {
	log := newLogger(stderr, conf)
	conf.etcd.Log = log
	registry := etcdreg.New(conf.etcd)
	defer registry.Close()
	s := &sidekick.Sidekick{
		Config: conf.sidekick, Prober: conf.check, Registry: registry, Log: log,
		Watcher: &port.Watcher{Port: conf.port, Log: log},
	}
	if conf.address.IsValid() {
		s.Locator = sidekick.Fixed(conf.address)
	} else {
		locator, err := docker.New(conf.docker)
		if err != nil {
			return err
		}
		s.Locator = locator
	}
	if conf.dryRun {
		return dryRun(ctx, stdout, conf.shown, s, registry)
	}

	ctx, hurry, release := onSignals(ctx, log)
	defer release()
	etcd := conf.etcd.Endpoints
	if domain := conf.etcd.DiscoverySRV; domain != "" {
		etcd = []string{"SRV records of " + domain}
	}
	log.Info("starting", "version", version, "check", conf.check.String(), "etcd", etcd)
	return s.Run(ctx, hurry)
}

// onSignals returns a context that the first TERM or INT ends, and a channel on
// which any further one is delivered. Release ends the waiting for them.
func onSignals(parent context.Context, log *slog.Logger) (ctx context.Context, hurry <-chan struct{}, release func()) {
	ctx, stop := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	again := make(chan struct{}, 1)
	released, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case s := <-signals:
				if ctx.Err() == nil {
					log.Info("asked to stop", "signal", s.String())
					stop()
					continue
				}
				select {
				case again <- struct{}{}:
				default:
				}
			case <-released:
				return
			}
		}
	}()
	return ctx, again, func() {
		signal.Stop(signals)
		close(released)
		<-ended
		stop()
	}
}

func newLogger(w io.Writer, conf *config) *slog.Logger {
	opts := &slog.HandlerOptions{Level: conf.logLevel}
	if conf.logJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
