package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg/etcd"
	"dockreg/instances"
	"dockreg/settings"
)

// watchCommand shows each change of what is registered, until a signal.
func watchCommand(stdout, stderr io.Writer) *cli.Command {
	return readingCommand(stderr, "watch", "show each change of what is registered, as it happens", watchHelp, forms("text", "json"),
		func(c *cli.Context, client *etcd.Client, set *settings.Set, what *settings.Reading) error {
			ctx, _, release := onSignals(c.Context, nil, slog.New(slog.DiscardHandler))
			defer release()
			ctx, stop := context.WithCancelCause(ctx)
			defer stop(nil)
			untilStuck(ctx, func() {
				instances.Follow(ctx, client, what.Prefixes(), func(e instances.Event) {
					e.Err = set.Advise(e.Err)
					if err := writeEvent(stdout, stderr, e, what.Output() == "json", strings.Join(what.Prefixes(), " and ")); err != nil {
						stop(err)
					}
				})
			})
			err := unread(context.Cause(ctx))
			if err == nil || errors.Is(err, context.Canceled) { // it was asked to stop
				return nil
			}
			return fmt.Errorf("write: %w", err)
		})
}

// untilStuck does what ends with ctx, unless it waits for who reads what it writes, such as a
// pager. It is left behind then.
func untilStuck(ctx context.Context, do func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do()
	}()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	select {
	case <-ended:
	case <-time.After(flushTimeout):
	}
}

// line is an event for programs.
type line struct {
	Time  string         `json:"time"`
	Event instances.Kind `json:"event"`
	*object
	Up    *float64 `json:"up_seconds,omitempty"`
	Count *int     `json:"count,omitempty"`
	Error string   `json:"error,omitempty"`
}

// writeEvent writes a line. What is about etcd, and not about an instance, goes beside: to
// stderr, except in JSON.
func writeEvent(stdout, stderr io.Writer, e instances.Event, asJSON bool, where string) error {
	at := e.At.Format("2006-01-02T15:04:05.000Z07:00")
	if asJSON {
		l := line{Time: at, Event: e.Kind}
		if e.Instance.Key != "" {
			o := objectOf(e.Instance)
			l.object = &o
		}
		if e.Kind == instances.Went && !e.Since.IsZero() {
			up := e.At.Sub(e.Since).Seconds()
			l.Up = &up
		}
		if e.Kind == instances.Listed {
			count := len(e.Listing.Instances)
			l.Count = &count
		}
		if e.Err != nil {
			l.Error = e.Err.Error()
		}
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		_, err = stdout.Write(append(escaped(text), '\n'))
		return err
	}
	var err error
	switch who := name(e.Instance); e.Kind {
	case instances.Listed:
		_, _ = fmt.Fprintf(stderr, "dockreg: keys below %s: %d; waiting for changes\n", where, len(e.Listing.Instances))
	case instances.Came:
		_, err = fmt.Fprintf(stdout, "%s + %s %s\n", at, who, brief(e.Instance.Value))
	case instances.Changed:
		_, err = fmt.Fprintf(stdout, "%s ~ %s %s\n", at, who, brief(e.Instance.Value))
	case instances.Went:
		up := "was up since before this began"
		if !e.Since.IsZero() {
			up = "was up for " + e.At.Sub(e.Since).Round(time.Millisecond).String()
		}
		_, err = fmt.Fprintf(stdout, "%s - %s %s\n", at, who, up)
	case instances.Lost:
		_, _ = fmt.Fprintf(stderr, "dockreg: %s etcd can't be asked: %s; trying again\n", at, e.Err)
	case instances.Back:
		_, _ = fmt.Fprintf(stderr, "dockreg: %s etcd can be asked again\n", at)
	case instances.Gap:
		_, _ = fmt.Fprintf(stderr, "dockreg: %s %s; what came and went meanwhile is not known\n", at, e.Err)
	}
	return err
}
