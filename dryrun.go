package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
	"dockreg/host/client"
	"dockreg/record"
	"dockreg/settings"
	"dockreg/sidekick"
)

// findTimeout bounds how long a dry run waits for Docker.
const findTimeout = 10 * time.Second

// errNoAddress is the host's service's reason, too: by its address it knows a key.
var errNoAddress = errors.New("no key names an address by which dockreg host knows whose it is; add a record that does, such as plain")

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
func dryRun(ctx context.Context, w io.Writer, s *sidekick.Sidekick, members *etcd.Client, socket string, advise func(error) error) error {
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
		r.ask(ctx, members, at.Records, s.TTL)
		r.will(ctx, socket, at.Records, s.TTL)
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

// ask asks etcd for the keys, and for a lease, which it gives back.
func (r *report) ask(ctx context.Context, members *etcd.Client, records record.Records, ttl time.Duration) {
	var found *clientv3.TxnResponse
	var lease *clientv3.LeaseGrantResponse
	gets := make([]clientv3.Op, len(records))
	for i, one := range records {
		gets[i] = clientv3.OpGet(one.Key)
	}
	err := members.Ask(ctx, etcd.Timeout, func(ctx context.Context, c *clientv3.Client) (err error) {
		if found, err = c.Txn(ctx).Then(gets...).Commit(); err != nil {
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
	var there []string
	for i, got := range found.Responses {
		if len(got.GetResponseRange().GetKvs()) > 0 {
			there = append(there, settings.Printable(records[i].Key))
		}
	}
	switch {
	case len(records) > 1 && there != nil:
		r.add("etcd", "answers; there already: %s", strings.Join(there, " "))
	case there != nil:
		r.add("etcd", "answers; the key is there, with the record %s", settings.Printable(string(found.Responses[0].GetResponseRange().GetKvs()[0].Value)))
	case len(records) > 1:
		r.add("etcd", "answers; none of the keys is there")
	default:
		r.add("etcd", "answers; the key is not there")
	}
	if granted := time.Duration(lease.TTL) * time.Second; granted > ttl {
		r.add("TTL", "%s, which is the least that this etcd grants, and not %s", granted, ttl)
	}
}

// will finds out whether there would be a last will. Without one, too, an app is
// registered.
func (r *report) will(ctx context.Context, socket string, records record.Records, ttl time.Duration) {
	if socket == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	const none = "none: should the container be killed, its key stays for %s; "
	switch err := takesWill(ctx, socket, records); {
	case err == nil:
		r.add("last will", "dockreg host takes it: should the container be killed, its key is gone at once")
	case errors.Is(err, client.ErrNone):
		r.add("last will", none+"what is at %s %s", ttl, socket, err)
	default:
		r.add("last will", none+"%s", ttl, err)
	}
}

// takesWill asks for each address that the keys name.
func takesWill(ctx context.Context, socket string, records record.Records) error {
	var asked []netip.AddrPort
	for _, one := range records {
		for _, at := range record.AddressesIn(one.Key) {
			if slices.Contains(asked, at) {
				continue
			}
			asked = append(asked, at)
			if err := client.TakesWill(ctx, socket, at); err != nil {
				return err
			}
		}
	}
	if asked == nil {
		return errNoAddress
	}
	return nil
}
