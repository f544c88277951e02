package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report writes the figures. Its error says what was not as promised.
func (s *soak) report(w io.Writer, f flatness) error {
	lines, secrets := s.journal.counts()
	s.judge.mu.Lock()
	defer s.judge.mu.Unlock()
	j := s.judge
	j.findings["P10"].seen, j.findings["P10"].broken = lines, secrets
	for _, n := range s.members {
		j.findings["P5"].seen += n
	}

	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	p("promise\tbroken\tseen\tslowest\tin hardship\tbound\t")
	broken := 0
	var idle []string
	for _, promise := range promises {
		found := j.findings[promise.name]
		broken += found.broken
		if found.seen == 0 && s.duration >= untested {
			idle = append(idle, promise.name)
		}
		limit := "-"
		if promise.bound > 0 {
			limit = fmt.Sprintf("%s + %s", promise.bound, slack)
		}
		p("%s\t%d\t%d\t%s\t%s\t%s\t%s", promise.name, found.broken, found.seen, seconds(found.slowest), seconds(found.hardest), limit, promise.says)
	}
	p("")
	p("in hardship: a member failed, and the bound is %s more; or the machine was busy, and it is %s more", hardship, exhaustion)
	p("")
	p("\tat first\tat the end\tmay grow by")
	p("goroutines\t%d\t%d\t%d", f.before.goroutines, f.after.goroutines, moreGoroutines)
	p("open files\t%d\t%d\t%d", f.before.files, f.after.files, moreFiles)
	p("heap in use, kB\t%d\t%d\t%d", f.before.heap>>10, f.after.heap>>10, moreHeap>>10)
	p("leases\t%d\t%d\t0", f.before.leases, f.after.leases)
	p("")
	p("seed\t%d", s.seed)
	p("took\t%s", time.Since(s.began).Round(time.Second))
	p("faults\t%d", s.faults.Load())
	p("instances\t%d", s.instances.Load())
	for _, kind := range slices.Sorted(maps.Keys(s.members)) {
		p("a member %s\t%d", kind, s.members[kind])
	}
	p("etcd away\t%d", s.outages)
	p("keys deleted\t%d", j.deletions)
	p("revoked by a resumed leader\t%d", j.revoked)
	p("probes\t%d", j.probes)
	p("failed for a busy machine\t%d", j.unproven)
	_ = t.Flush()
	err := f.flat()
	if broken > 0 {
		err = errors.Join(fmt.Errorf("%d broken promises", broken), err)
	}
	if len(idle) > 0 {
		err = errors.Join(fmt.Errorf("nothing put %s to the test", strings.Join(idle, ", ")), err)
	}
	return err
}

// untested is for how long chance may leave a promise untested.
const untested = 3 * time.Minute

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
