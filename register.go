package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"dockreg/entrypoint/control"
	"dockreg/etcdreg"
	"dockreg/etcdreg/etcd"
	"dockreg/host/client"
	"dockreg/metrics"
	"dockreg/probe/port"
	"dockreg/settings"
	"dockreg/sidekick"
)

// registration is the settings of one, and where it tells of it.
type registration struct {
	set            *settings.Set
	where          *settings.Etcd
	what           *settings.Registration
	logs           *settings.Log
	how            *settings.Entrypoint // how the app is run; nil: somebody else does
	stdout, stderr io.Writer
}

func newRegistration(stdout, stderr io.Writer) *registration {
	set := &settings.Set{}
	return &registration{set: set, where: set.Etcd(), what: set.Registration("dockreg/" + version), logs: set.Log(), stdout: stdout, stderr: stderr}
}

// registerCommand is dockreg without a command's name: it lives one registration, until
// a signal asks to stop.
func registerCommand(stdout, stderr io.Writer) *cli.App {
	r := newRegistration(stdout, stderr)
	return &cli.App{
		Name:                  "dockreg",
		HelpName:              "dockreg",
		Usage:                 "keeps an app's address in etcd while the app answers",
		Version:               version,
		Writer:                stdout,
		ErrWriter:             stderr,
		CustomAppHelpTemplate: help,
		EnableBashCompletion:  true,
		Flags:                 r.set.Flags(),
		OnUsageError:          r.set.OnUsageError,
		Before:                r.set.Before,
		// By default the library exits by itself.
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if err := r.set.Read(c); err != nil {
				return err
			}
			return r.live(c.Context, nil)
		},
	}
}

// live lives the registration. An entrypoint tells app of the app's process; nil: nobody does.
func (r *registration) live(parent context.Context, app *control.App) error {
	config, prober, etcdConfig := r.what.Config(), r.what.Prober(), r.where.Config()
	if r.how != nil {
		r.how.Config(config.Drain)
	}
	if err := r.set.Err(); err != nil {
		return err
	}
	log, flush := startLog(r.logs, r.stderr)
	defer flush()
	if needed, of := r.what.Hurries(); of != "" {
		log.Warn("the drain is shorter than consumers need: after a stop they may still send to the app for a while; leave --drain out, or give it as long",
			"drain", config.Drain, "needed", needed, "record", of)
	}
	locator, records, err := r.what.Locator(prober, log)
	if err != nil {
		return err
	}
	// After a try that took that long, the lease has time left for another.
	etcdConfig.Patience, etcdConfig.Log = config.TTL/4, log
	s := &sidekick.Sidekick{
		Config: config, Records: records, Locator: locator, Prober: prober, Log: log,
		Watcher: &port.Watcher{Port: r.what.Port(), Log: log},
	}
	var over <-chan struct{}
	if app != nil {
		s.Prober, s.Watcher, over = app.Prober(s.Prober), app.Watcher(s.Watcher), app.Over()
	}
	registryConfig := etcdreg.Config{TTL: config.TTL, Spare: config.Spare(), Log: log, Peers: r.what.Peers()}
	socket := r.what.Socket()
	if address := r.what.Metrics(); !r.what.DryRun() && (address != "" || socket != "") {
		counts := metrics.NewSidekick(version, commit, config.TTL, s.Status)
		s.Observer, etcdConfig.Requested, registryConfig.TookOver = counts, counts.Requested, counts.TookOver
		if address != "" {
			// Not to be scraped is no reason not to be registered.
			if served, err := counts.Serve(parent, address); err != nil {
				log.Error("Prometheus can't read the metrics", "err", err)
			} else {
				defer served.Close()
			}
		}
		if socket != "" {
			told := client.NewMetrics(socket, uint16(r.what.Port()), counts.Pack, log)
			defer told.Close()
		}
	}
	members := etcd.New(etcdConfig)
	defer members.Close()
	if socket != "" && !r.what.DryRun() {
		lastWill := client.NewWill(socket, log)
		defer lastWill.Close()
		registryConfig.Will = lastWill
	}
	registry := etcdreg.New(members, registryConfig)
	defer registry.Close()
	s.Registry = registry
	if r.what.DryRun() {
		err := dryRun(parent, r.stdout, s, members, socket, r.set.Advise)
		r.set.Show(r.stdout, log.Enabled(parent, slog.LevelDebug))
		return err
	}
	ctx, hurry, release := onSignals(parent, over, log)
	defer release()
	attrs := []any{"version", version, "check", prober.String(), "etcd", membersOf(etcdConfig)}
	if drain, of := r.what.Drained(); of != "" {
		attrs = append(attrs, "drain", drain, "drain_for", of)
	}
	log.Info("starting", attrs...)
	if path, wanted := r.what.Status(); wanted {
		told, err := serveStatus(parent, path, r.what.Port(), func() any { return statusOf(s, registry) })
		switch {
		case err == nil:
			defer told.Close()
		case path == "": // nowhere can be written to
			log.Debug("dockreg status can't ask here", "err", err)
		default:
			log.Warn("can't listen at --status-socket; dockreg status can't ask here", "err", err)
		}
	}
	err = r.set.Advise(s.Run(ctx, hurry))
	if permanent := (*sidekick.PermanentError)(nil); r.logs.IsJSON() && errors.As(err, &permanent) {
		log.Error("the settings, or how the container was started, have to change; ending", "err", err)
		err = toldError{err}
	}
	return err
}

// membersOf is what the log says of where etcd is.
func membersOf(c etcd.Config) []string {
	if c.DiscoverySRV != "" {
		return []string{"SRV records of " + c.DiscoverySRV}
	}
	return c.Endpoints
}

// stopSignals ask for a stop. QUIT is what images with STOPSIGNAL SIGQUIT, such as nginx's,
// are stopped with.
var stopSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}

// onSignals returns a context that the first of stopSignals ends, and a channel on
// which any further one is delivered. Both come at once when over is closed. Release ends the
// waiting for them.
func onSignals(parent context.Context, over <-chan struct{}, log *slog.Logger) (ctx context.Context, hurry <-chan struct{}, release func()) {
	ctx, stop := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, stopSignals...)
	again := make(chan struct{}, 1)
	released, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case s := <-signals:
				if ctx.Err() == nil {
					stop()
					log.Info("asked to stop", "signal", s.String())
					continue
				}
				tell(again)
			case <-over:
				over = nil
				stop()
				tell(again)
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

// tell tells a channel that has room for one.
func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
