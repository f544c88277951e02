package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"dockreg/etcdreg"
	"dockreg/sidekick"
)

// findTimeout bounds how long a dry run waits for Docker.
const findTimeout = 10 * time.Second

// dryRun does all that dockreg does up to registering the app, and shows it. Its
// error is why the app would not be registered now.
func dryRun(ctx context.Context, w io.Writer, shown []value, s *sidekick.Sidekick, registry *etcdreg.Registry) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = out.Flush() }()
	show := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(out, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	show("setting", "value\tset by")
	for _, v := range shown {
		by := "default"
		if v.given {
			by = v.label
		}
		show("--"+v.name, "%s\t%s", v.text, by)
	}
	_ = out.Flush() // the next table has columns of its own
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

	value, there, etcdErr := registry.Look(ctx, key)
	switch {
	case etcdErr != nil:
		show("etcd", "gives no answer to use")
	case there:
		show("etcd", "answers; the key is there, with the record %s", value)
	default:
		show("etcd", "answers; the key is not there")
	}
	show("written", "nothing: this is a dry run")

	return errors.Join(probeErr, etcdErr)
}
