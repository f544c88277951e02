package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
	"dockreg/host/will"
	"dockreg/settings"
	"dockreg/sidekick"
)

// findTimeout bounds how long a dry run waits for Docker.
const findTimeout = 10 * time.Second

// report is what a dry run finds out.
type report struct {
	facts   [][2]string
	reasons []error // why the app would not be registered now
}

func (r *report) add(name, format string, args ...any) {
	r.facts = append(r.facts, [2]string{name, fmt.Sprintf(format, args...)})
}

// toldError is an error that a person has been told.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

// dryRun does all that dockreg does up to registering the app, and shows it: the verdict
// first. Its error is why the app would not be registered now, with what to do about it by
// advise. socket is where a host's service would take a last will; empty: nowhere.
func dryRun(ctx context.Context, w io.Writer, s *sidekick.Sidekick, client *etcd.Client, socket string, advise func(error) error) error {
	r := &report{}
	findCtx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	verdict := "would not be registered"
	if at, err := s.Locate(findCtx); err != nil {
		r.reasons = append(r.reasons, err)
	} else {
		key := at.Records.Key()
		verdict += ": " + key
		for _, record := range at.Records {
			r.add("key", "%s", settings.Printable(record.Key))
			r.add("record", "%s", settings.Printable(record.Value))
		}
		r.probe(ctx, s)
		r.ask(ctx, client, key, s.TTL)
		r.will(ctx, socket, at.Address, s.TTL)
		if r.reasons == nil {
			verdict = "would be registered: " + key
		}
	}
	r.add("written", "nothing: this is a dry run")

	_, _ = fmt.Fprintln(w, verdict)
	for i, reason := range r.reasons {
		r.reasons[i] = advise(reason)
		_, _ = fmt.Fprintln(w, "  "+r.reasons[i].Error())
	}
	_, _ = fmt.Fprintln(w)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.facts {
		_, _ = fmt.Fprintf(out, "%s\t%s\n", f[0], f[1])
	}
	_ = out.Flush()
	if err := errors.Join(r.reasons...); err != nil {
		return toldError{err}
	}
	return nil
}

func (r *report) probe(ctx context.Context, s *sidekick.Sidekick) {
	start := time.Now()
	if err := s.ProbeOnce(ctx); err != nil {
		r.add("app", "fails its probe")
		r.reasons = append(r.reasons, fmt.Errorf("the app fails its probe: %w", err))
		return
	}
	r.add("app", "passes its probe, after %s", time.Since(start).Round(100*time.Microsecond))
}

// ask asks etcd for the key, and for a lease, which it gives back.
func (r *report) ask(ctx context.Context, client *etcd.Client, key string, ttl time.Duration) {
	var found *clientv3.GetResponse
	var lease *clientv3.LeaseGrantResponse
	err := client.Ask(ctx, etcd.Timeout, func(ctx context.Context, c *clientv3.Client) (err error) {
		if found, err = c.Get(ctx, key); err != nil {
			return fmt.Errorf("get key: %w", err)
		}
		if lease, err = c.Grant(ctx, int64(ttl/time.Second)); err != nil {
			return fmt.Errorf("grant lease: %w", err)
		}
		if _, err = c.Revoke(ctx, lease.ID); err != nil {
			return fmt.Errorf("revoke lease: %w", err)
		}
		return nil
	})
	if err != nil {
		r.add("etcd", "gives no answer to use")
		r.reasons = append(r.reasons, err)
		return
	}
	there := "not there"
	if len(found.Kvs) > 0 {
		there = "there, with the record " + settings.Printable(string(found.Kvs[0].Value))
	}
	r.add("etcd", "answers; the key is %s", there)
	if granted := time.Duration(lease.TTL) * time.Second; granted > ttl {
		r.add("TTL", "%s, which is the least that this etcd grants, and not %s", granted, ttl)
	}
}

// will finds out whether there would be a last will. Without one, too, an app is
// registered.
func (r *report) will(ctx context.Context, socket string, addr netip.AddrPort, ttl time.Duration) {
	if socket == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	const none = "none: should the container be killed, its key stays for %s; "
	switch err := will.Taken(ctx, socket, addr); {
	case err == nil:
		r.add("last will", "dockreg host takes it: should the container be killed, its key is gone at once")
	case errors.Is(err, will.ErrNone):
		r.add("last will", none+"what is at %s %s", ttl, socket, err)
	default:
		r.add("last will", none+"%s", ttl, err)
	}
}
