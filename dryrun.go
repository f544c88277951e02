package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
	"dockreg/sidekick"
)

// findTimeout bounds how long a dry run waits for Docker.
const findTimeout = 10 * time.Second

// dryRun does all that dockreg does up to registering the app, and shows it. Its
// error is why the app would not be registered now.
func dryRun(ctx context.Context, w io.Writer, s *sidekick.Sidekick, client *etcd.Client) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = out.Flush() }()
	show := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(out, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	_, _ = fmt.Fprintln(w)

	findCtx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	addr, err := s.Locate(findCtx)
	if err != nil {
		return err
	}
	key := sidekick.Key(s.Parent, addr)
	show("key", "%s", key)
	show("record", "%s", s.Value)

	start := time.Now()
	probeErr := s.ProbeOnce(ctx)
	if probeErr == nil {
		show("app", "passes its probe, after %s", time.Since(start).Round(100*time.Microsecond))
	} else {
		probeErr = fmt.Errorf("the app fails its probe: %w", probeErr)
		show("app", "fails its probe")
	}

	var found *clientv3.GetResponse
	etcdErr := client.Ask(ctx, etcd.Timeout, func(ctx context.Context, c *clientv3.Client) (err error) {
		if found, err = c.Get(ctx, key); err != nil {
			err = fmt.Errorf("get key: %w", err)
		}
		return err
	})
	switch {
	case etcdErr != nil:
		show("etcd", "gives no answer to use")
	case len(found.Kvs) > 0:
		show("etcd", "answers; the key is there, with the record %s", found.Kvs[0].Value)
	default:
		show("etcd", "answers; the key is not there")
	}
	show("written", "nothing: this is a dry run")

	return errors.Join(probeErr, etcdErr)
}
