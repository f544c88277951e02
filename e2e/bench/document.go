package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"dockreg/e2e/testbed"
)

// document is what bench prints.
type document struct {
	head string

	mu   sync.Mutex
	took map[string]map[string][]time.Duration // by row and registrar
	rows []string                              // of failures and costs, by the same
	of   map[string]map[string]string
}

func newDocument(version string, n, stops int, idle time.Duration) *document {
	return &document{
		head: fmt.Sprintf(`# Benchmark

`+"`make bench`"+` made this: dockreg %s on %s, %d processors, %s/%s. Each container
has a Node.js app, and one of three registrars: dockreg, by the supervisord entry that this
project ships; `+"[`dockreg run`](run.md)"+` for the first process, without supervisord; or a
[loop in the shell](../e2e/images/apps/register) with curl, etcdctl and `+"`sleep 5`"+`, by the
same entry of supervisord. All run side by side, against the same etcd. n = %d for the events;
%d stops and starts under load; idle for %s.

The app takes 6 s to start where the start and the crash are measured. Nothing runs beside the
kills with `+"`dockreg host`"+`; most of their time is that of `+"`docker kill`"+` itself.
`+"`dockreg run`"+` is two processes, whose RSS counts the pages of their one binary twice.

`, version, time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, n, stops, idle),
		took: map[string]map[string][]time.Duration{}, of: map[string]map[string]string{},
	}
}

// note waits until the key has gone, and notes how long that took since then.
func (d *document) note(row string, r registrar, i *instance, since time.Time) (time.Duration, error) {
	gone, err := i.gone(since)
	if err != nil {
		return 0, fmt.Errorf("%s, %s: %w", r.name, row, err)
	}
	d.add(row, r, gone.Sub(since))
	return gone.Sub(since), nil
}

func (d *document) add(row string, r registrar, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.took[row] == nil {
		d.took[row] = map[string][]time.Duration{}
	}
	d.took[row][r.name] = append(d.took[row][r.name], took)
}

func (d *document) say(row string, r registrar, format string, args ...any) {
	if d.of[row] == nil {
		d.of[row] = map[string]string{}
		d.rows = append(d.rows, row)
	}
	d.of[row][r.name] = fmt.Sprintf(format, args...)
}

func (d *document) outcome(r registrar, o testbed.Outcome) {
	d.say(fmt.Sprintf("failed requests, of %d a second through a client that follows the keys", loadRate), r,
		"%d of %d", len(o.Failures), o.Sent)
}

func (d *document) cost(r registrar, c cost) {
	d.say("CPU, idle", r, "%d ms a minute", c.cpu.Milliseconds())
	d.say("memory, idle (RSS of all its processes)", r, "%.1f MB", float64(c.rss)/1e6)
	d.say("memory at its peak, with what it starts (RSS)", r, "%.1f MB", float64(c.peak)/1e6)
	d.say("size on disk", r, "%.1f MB", float64(c.size)/1e6)
	d.say("etcd writes, idle", r, "%.0f a minute", c.writes)
	d.say("etcd requests, idle", r, "%.0f a minute", c.requests)
}

func (d *document) String() string {
	var b strings.Builder
	b.WriteString(d.head)
	b.WriteString("|")
	for _, r := range registrars {
		fmt.Fprintf(&b, " | %s: median | worst", r.name)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|--:|--:", len(registrars)) + "|\n")
	for _, row := range []string{rowStart, rowCrash, rowHang, rowTerm, rowStop, rowSpare, rowKill, rowWill, rowDeath, rowWrong} {
		fmt.Fprintf(&b, "| %s", row)
		for _, r := range registrars {
			took := slices.Sorted(slices.Values(d.took[row][r.name]))
			if len(took) == 0 {
				b.WriteString(" | – | –")
				continue
			}
			worst := took[len(took)-1]
			if row == rowSpare { // the only one of which more is better
				worst = took[0]
			}
			fmt.Fprintf(&b, " | %s | %s", short(took[len(took)/2]), short(worst))
		}
		b.WriteString(" |\n")
	}
	b.WriteString("\n|")
	for _, r := range registrars {
		fmt.Fprintf(&b, " | %s", r.name)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|--:", len(registrars)) + "|\n")
	for _, row := range d.rows {
		fmt.Fprintf(&b, "| %s", row)
		for _, r := range registrars {
			fmt.Fprintf(&b, " | %s", d.of[row][r.name])
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// short shows milliseconds below a second, and seconds from there on.
func short(d time.Duration) string {
	if d.Abs() < time.Second {
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
