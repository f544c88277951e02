package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// outage is a time without etcd, and what came of it.
type outage struct {
	name  string
	away  time.Duration
	wiped bool // etcd comes back without its data

	killed, answers time.Time
	cpu             time.Duration // of all instances, from killed to answers
	keys, untouched int           // at the end; untouched: never written again
}

// suffer kills etcd, brings it back, and waits until all instances are, too.
func (b *bed) suffer(ctx context.Context, o *outage) error {
	before := cpu()
	b.etcd.Kill()
	o.killed = time.Now() // not before: what it still answered brings nobody back
	if o.wiped {
		if err := b.etcd.LoseData(); err != nil {
			return err
		}
	}
	if err := sleep(ctx, o.away); err != nil {
		return err
	}
	if err := b.etcd.Start(); err != nil {
		return err
	}
	if err := b.etcd.Ready(); err != nil {
		return err
	}
	o.answers = time.Now()
	o.cpu = cpu() - before
	if err := b.awaitBack(ctx, o.killed); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := b.etcd.Client.Get(ctx, "/fleet/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	o.keys = len(found.Kvs)
	for _, kv := range found.Kvs {
		if kv.Version == 1 {
			o.untouched++
		}
	}
	return nil
}

// cpu returns what this process has used of the processors.
func cpu() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // fails for no who that there is
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// delays returns, in order, how long after etcd answered each instance was
// registered again. Those that were before our own question was answered count as 0.
func (o *outage) delays(instances []*instance) (delays []time.Duration) {
	for _, in := range instances {
		if c, ok := in.back(o.killed); ok {
			delays = append(delays, max(0, c.ended.Sub(o.answers)))
		}
	}
	slices.Sort(delays)
	return delays
}

// perSecond returns which share of the fleet made the call that brought it back in
// each second since etcd answered, in order, beginning with the calls that waited for
// it to. How long etcd takes to answer is not the fleet's.
func (o *outage) perSecond(b *bed) (shares []float64) {
	count := map[int]int{}
	for _, in := range b.fleet {
		c, _ := in.back(o.killed)
		count[int(math.Floor(c.began.Sub(o.answers).Seconds()))]++
	}
	for _, second := range slices.Sorted(maps.Keys(count)) {
		shares = append(shares, float64(count[second])/float64(len(b.fleet)))
	}
	return shares
}

// warnings returns what instances complained of after etcd answered. Each may have
// made one call that began before that, and may complain of it: where a port takes
// connections, and nobody answers yet, it lasts 1.5 s. That the lease is gone is no
// complaint about an etcd without its data.
func (o *outage) warnings(b *bed) (texts []string, early int) {
	for _, in := range b.all() {
		in.mu.Lock()
		excused := 0
		for _, c := range in.calls {
			if c.err != nil && c.began.Before(o.answers) && c.ended.After(o.answers) {
				excused++
			}
		}
		for _, l := range in.lines {
			switch {
			case l.level < slog.LevelWarn || l.at.Before(o.answers):
			case o.wiped && strings.Contains(l.text, "the lease is gone"):
			case excused > 0:
				excused--
				early++
			default:
				texts = append(texts, l.text)
			}
		}
		in.mu.Unlock()
	}
	return texts, early
}

// said returns how many lines the instances logged while etcd was away, and how
// often one of them said the same at most.
func (o *outage) said(b *bed) (lines, same int) {
	for _, in := range b.all() {
		in.mu.Lock()
		times := map[string]int{}
		for _, l := range in.lines {
			if l.at.After(o.killed) && l.at.Before(o.answers) {
				lines++
				times[l.text]++
				same = max(same, times[l.text])
			}
		}
		in.mu.Unlock()
	}
	return lines, same
}

// share is how much of a processor one instance used while etcd was away.
func (o *outage) share(b *bed) float64 {
	return o.cpu.Seconds() / o.answers.Sub(o.killed).Seconds() / float64(len(b.all()))
}

func (o *outage) figures(b *bed) []string {
	fleet, few := o.delays(b.fleet), o.delays(b.few)
	var shares []string
	for _, s := range o.perSecond(b) {
		shares = append(shares, fmt.Sprintf("%.0f %%", 100*s))
	}
	lines, same := o.said(b)
	texts, early := o.warnings(b)
	return []string{
		fmt.Sprintf("etcd answers %.1f s after it was killed", o.answers.Sub(o.killed).Seconds()),
		fmt.Sprintf("of %d instances the first is back after %.2f s, half of them after %.2f s, the last after %.2f s",
			len(fleet), fleet[0].Seconds(), fleet[len(fleet)/2].Seconds(), fleet[len(fleet)-1].Seconds()),
		"in each second come " + strings.Join(shares, ", "),
		fmt.Sprintf("%d beside them are back after %.2f s", len(few), few[len(few)-1].Seconds()),
		fmt.Sprintf("%d warnings after etcd answers, and %d of calls that began before", len(texts), early),
		fmt.Sprintf("%.3f %% of a core for each instance while etcd is away, and %.1f lines of log, none of them more than %d times",
			100*o.share(b), float64(lines)/float64(len(b.all())), same),
	}
}

// check says in which way the promise is broken. Its bounds are for a machine whose
// processors are all taken by something else, which delays the return. The figures tell
// it in full.
func (o *outage) check(b *bed) (err error) {
	want := func(ok bool, format string, args ...any) {
		if !ok {
			err = errors.Join(err, fmt.Errorf(format, args...))
		}
	}
	fleet, few := o.delays(b.fleet), o.delays(b.few)
	want(o.keys == len(b.fleet), "%d keys, want %d", o.keys, len(b.fleet))
	// With its data etcd gives each lease its whole time again. Who comes back later than that
	// has to write its key anew.
	if !o.wiped && fleet[len(fleet)-1] < b.ttl/2 {
		want(o.untouched == o.keys, "%d of %d keys were written again, which etcd had kept", o.keys-o.untouched, o.keys)
	}
	want(fleet[0] < 20*time.Second, "the first one came after %s", fleet[0])
	want(fleet[len(fleet)-1] < 40*time.Second, "the last one came after %s", fleet[len(fleet)-1])
	want(few[len(few)-1] < 20*time.Second, "the last of a handful came after %s", few[len(few)-1])
	// A small fleet is spread over two seconds. An etcd that is slow to start leaves calls
	// waiting for 1.5 s of them, and answers those at once.
	for _, share := range o.perSecond(b) {
		want(share < 0.9 || len(b.fleet) < 2000, "%.0f %% came in one second", 100*share)
	}
	texts, _ := o.warnings(b)
	want(len(texts) <= len(b.fleet), "%d warnings after etcd answered, such as %q", len(texts), texts[:min(len(texts), 3)])
	want(o.share(b) < 0.02, "%.2f %% of a core for each instance", 100*o.share(b))
	_, same := o.said(b)
	want(same <= 1, "the same was logged %d times", same)
	return err
}
