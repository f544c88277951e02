package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg"
	"dockreg/etcdreg/etcd"
	"dockreg/host/will"
	"dockreg/metrics"
	"dockreg/probe/port"
	"dockreg/settings"
	"dockreg/sidekick"
)

// registerCommand is dockreg without a command's name: it lives one registration, until
// a signal asks to stop.
func registerCommand(stdout, stderr io.Writer) *cli.App {
	set := &settings.Set{}
	where, what, logs := set.Etcd(), set.Registration("dockreg/"+version), set.Log()
	return &cli.App{
		Name:                  "dockreg",
		HelpName:              "dockreg",
		Usage:                 "keeps an app's address in etcd while the app answers",
		Version:               version,
		Writer:                stdout,
		ErrWriter:             stderr,
		CustomAppHelpTemplate: help,
		EnableBashCompletion:  true,
		Flags:                 set.Flags(),
		OnUsageError:          set.OnUsageError,
		// By default the library exits by itself.
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if err := set.Read(c); err != nil {
				return err
			}
			config, prober, etcdConfig := what.Config(), what.Prober(), where.Config()
			if err := set.Err(); err != nil {
				return err
			}
			log, flush := startLog(logs, stderr)
			defer flush()
			locator, records, err := what.Locator(prober, log)
			if err != nil {
				return err
			}
			// After a try that took that long, the lease has time left for another.
			etcdConfig.Patience, etcdConfig.Log = config.TTL/4, log
			s := &sidekick.Sidekick{
				Config: config, Records: records, Locator: locator, Prober: prober, Log: log,
				Watcher: &port.Watcher{Port: what.Port(), Log: log},
			}
			var tookOver func()
			if address := what.Metrics(); address != "" {
				counts := metrics.NewSidekick(version, commit, config.TTL, s.Status)
				// Not to be scraped is no reason not to be registered.
				if served, err := counts.Serve(c.Context, address); err != nil {
					log.Error("Prometheus can't read the metrics", "err", err)
				} else {
					defer served.Close()
				}
				s.Observer, etcdConfig.Requested, tookOver = counts, counts.Requested, counts.TookOver
			}
			client := etcd.New(etcdConfig)
			defer client.Close()
			registryConfig := etcdreg.Config{TTL: config.TTL, Spare: config.Spare(), Log: log, Peers: what.Peers(), TookOver: tookOver}
			socket := what.Socket()
			if socket != "" && !what.DryRun() {
				lastWill := will.New(socket, log)
				defer lastWill.Close()
				registryConfig.Will = lastWill
			}
			registry := etcdreg.New(client, registryConfig)
			defer registry.Close()
			s.Registry = registry
			if what.DryRun() {
				err := dryRun(c.Context, stdout, s, client, socket, set.Advise)
				set.Show(stdout, log.Enabled(c.Context, slog.LevelDebug))
				return err
			}
			ctx, hurry, release := onSignals(c.Context, log)
			defer release()
			attrs := []any{"version", version, "check", prober.String(), "etcd", membersOf(etcdConfig)}
			if drain, of := what.Drained(); of != "" {
				attrs = append(attrs, "drain", drain, "drain_for", of)
			}
			log.Info("starting", attrs...)
			if path, wanted := what.Status(); wanted {
				told, err := serveStatus(c.Context, path, what.Port(), func() any { return statusOf(s, registry) })
				if err != nil {
					log.Debug("dockreg status can't ask here", "err", err)
				} else {
					defer told.Close()
				}
			}
			return set.Advise(s.Run(ctx, hurry))
		},
	}
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
// which any further one is delivered. Release ends the waiting for them.
func onSignals(parent context.Context, log *slog.Logger) (ctx context.Context, hurry <-chan struct{}, release func()) {
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
