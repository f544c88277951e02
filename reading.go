package main

import (
	"io"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg/etcd"
	"dockreg/settings"
)

// readingCommand is a command that shows what is registered in etcd. settle adds its
// settings, and do does it; its error is a person's, with what to do about it.
func readingCommand(stderr io.Writer, name, usage, help string, settle func(*settings.Set) *settings.Reading, do func(*cli.Context, *etcd.Client, *settings.Set, *settings.Reading) error) *cli.Command {
	set := &settings.Set{}
	what, logs := settle(set), set.Log()
	return &cli.Command{
		Name:               name,
		Usage:              usage,
		CustomHelpTemplate: help,
		Flags:              set.Flags(),
		OnUsageError:       set.OnUsageError,
		Action: func(c *cli.Context) error {
			if err := set.Read(c); err != nil {
				return err
			}
			config := what.Etcd()
			if err := set.Err(); err != nil {
				return err
			}
			config.Log, config.Patience = logs.Logger(stderr), etcdPatience
			client := etcd.New(config)
			defer client.Close()
			return set.Advise(do(c, client, set, what))
		},
	}
}
