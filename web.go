package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg/etcd"
	"dockreg/instances"
	"dockreg/settings"
	"dockreg/web"
)

// webCommand shows what is registered on a page, until a signal.
func webCommand(stderr io.Writer) *cli.Command {
	var listen *settings.Setting[string]
	return readingCommand(stderr, "web", "show what is registered on a page, live", webHelp,
		func(set *settings.Set) *settings.Reading {
			listen = set.Listen("127.0.0.1:8080", "where the page is")
			return set.Reading()
		},
		func(c *cli.Context, client *etcd.Client, _ *settings.Set, what *settings.Reading) error {
			socket, err := (&net.ListenConfig{}).Listen(c.Context, "tcp", listen.Value)
			if err != nil {
				return err
			}
			ctx, _, release := onSignals(c.Context, nil, slog.New(slog.DiscardHandler))
			defer release()
			_, _ = fmt.Fprintf(stderr, "dockreg: the page is at http://%s/\n", socket.Addr())
			s := &web.Server{
				Etcd: client, Prefixes: what.Prefixes(),
				Instances: func(w io.Writer, l instances.Listing) error { return writeObjects(w, rowsOf(l, nil)) },
				Targets:   func(w io.Writer, l instances.Listing) error { return writeTargets(w, rowsOf(l, nil)) },
			}
			return s.Serve(ctx, socket)
		})
}
