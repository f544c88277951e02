// Bench measures what dockreg promises, in real containers with real supervisord
// and etcd, and prints a table: how long after an event the key comes or goes, and
// what an idle registration costs.
//
// The figures are for comparing one version with another on the same machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"dockreg/e2e/testbed"
)

func main() {
	image := flag.String("image", "dockreg", "image to measure")
	n := flag.Int("n", 5, "how often")
	version := flag.String("version", "", "what is measured, for the heading")
	flag.Parse()
	if err := run(*image, *version, *n); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// idle is how long the cost of an idle registration is watched.
const idle = 30 * time.Second

// bench is one run.
type bench struct {
	ctx    context.Context //nolint:containedctx // the run's own
	docker *testbed.Docker
	etcd   *testbed.Etcd
	keys   *testbed.Keys
	image  string
	rows   []*row
}

// row is one event, and how long after it the key was as it should be.
type row struct {
	name string
	took []time.Duration
}

func run(image, version string, n int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	docker, err := testbed.FindDocker()
	if err != nil {
		return err
	}
	etcd, err := testbed.StartEtcd(docker.Gateway)
	if err != nil {
		return err
	}
	defer etcd.Stop()
	b := &bench{ctx: ctx, docker: docker, etcd: etcd, image: image, keys: testbed.FollowKeys(ctx, etcd.Client, "/service/")}
	for i := range n {
		fmt.Fprintf(os.Stderr, "round %d of %d ...\n", i+1, n)
		if err := b.round(); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "idle for %s ...\n", idle)
	cost, err := b.cost()
	if err != nil {
		return err
	}

	fmt.Printf("dockreg %s, %s, n = %d\n\n", version, time.Now().Format(time.DateOnly), n)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "from\tto\tmedian\tworst")
	for _, r := range b.rows {
		slices.Sort(r.took)
		from, to, _ := strings.Cut(r.name, " → ")
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", from, to, short(r.took[len(r.took)/2]), short(r.took[len(r.took)-1]))
	}
	_ = table.Flush()
	fmt.Printf("\n%s\n", cost)
	return nil
}

func short(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}

func (b *bench) note(name string, took time.Duration) {
	i := slices.IndexFunc(b.rows, func(r *row) bool { return r.name == name })
	if i < 0 {
		b.rows = append(b.rows, &row{name: name})
		i = len(b.rows) - 1
	}
	b.rows[i].took = append(b.rows[i].took, took)
}

// round measures each event once.
func (b *bench) round() error {
	// The app is down for longer than the interval after its crash, or it might be
	// back before a probe has seen it.
	err := b.with([]string{"-e", "START_DELAY=6"}, func(c *testbed.Container, key string, put time.Time) error {
		logs, err := c.Logs()
		if err != nil {
			return err
		}
		listens, err := testbed.LoggedAt(logs, "the app listens")
		if err != nil {
			return err
		}
		b.note("app listens → key", put.Sub(listens))
		return b.measure("app crashes → key gone", key, func() error { return c.Signal("KILL", "node") })
	})
	if err != nil {
		return err
	}
	err = b.with(nil, func(c *testbed.Container, key string, _ time.Time) error {
		return b.measure("app hangs → key gone", key, func() error { return c.Signal("STOP", "node") })
	})
	if err != nil {
		return err
	}
	err = b.with(nil, func(c *testbed.Container, key string, put time.Time) error {
		if _, err := c.Do("stop"); err != nil {
			return err
		}
		gone, err := b.await(key, true, put)
		if err != nil {
			return err
		}
		logs, err := c.Logs()
		if err != nil {
			return err
		}
		asked, err := testbed.LoggedAt(logs, `msg="asked to stop"`)
		if err != nil {
			return err
		}
		stopped, err := testbed.LoggedAt(logs, "the app stops")
		if err != nil {
			return err
		}
		b.note("dockreg gets TERM → key gone", gone.Sub(asked))
		b.note("key gone → app gets TERM", stopped.Sub(gone))
		return nil
	})
	if err != nil {
		return err
	}
	return b.with(nil, func(c *testbed.Container, key string, _ time.Time) error {
		return b.measure("container is killed → key gone", key, func() error {
			_, err := c.Do("kill")
			return err
		})
	})
}

// with runs a container, and do once its key is there.
func (b *bench) with(args []string, do func(c *testbed.Container, key string, put time.Time) error) error {
	start := time.Now()
	c, err := b.docker.RunApp(b.image, b.etcd.URL, args...)
	if err != nil {
		return err
	}
	defer func() { _ = c.Remove() }()
	address, err := b.docker.Address(c)
	if err != nil {
		return err
	}
	key := "/service/" + address
	put, err := b.await(key, false, start)
	if err != nil {
		return err
	}
	return do(c, key, put)
}

// measure notes how long after event the key was gone.
func (b *bench) measure(name, key string, event func() error) error {
	start := time.Now()
	if err := event(); err != nil {
		return err
	}
	gone, err := b.await(key, true, start)
	if err != nil {
		return err
	}
	b.note(name, gone.Sub(start))
	return nil
}

func (b *bench) await(key string, gone bool, since time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	e, err := b.keys.Await(ctx, key, gone, since)
	return e.At, err
}

// cost says what an idle registration costs.
func (b *bench) cost() (text string, err error) {
	err = b.with(nil, func(c *testbed.Container, key string, _ time.Time) error {
		before, err := b.cpu(c)
		if err != nil {
			return err
		}
		writes, err := b.revision(key)
		if err != nil {
			return err
		}
		select {
		case <-time.After(idle):
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
		after, err := b.cpu(c)
		if err != nil {
			return err
		}
		written, err := b.revision(key)
		if err != nil {
			return err
		}
		memory, err := c.Exec("sh", "-c", `grep VmRSS /proc/$(cat /proc/[0-9]*/stat | grep "(dockreg)" | cut -d " " -f 1)/status`)
		if err != nil {
			return err
		}
		size, err := c.Exec("stat", "-L", "-c", "%s", "/usr/bin/dockreg")
		if err != nil {
			return err
		}
		bytes, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		text = fmt.Sprintf("idle for %s: %s of CPU, %d etcd writes, %s; binary %.1f MB",
			idle, after-before, written-writes, strings.Join(strings.Fields(memory), " "), float64(bytes)/1e6)
		return nil
	})
	return text, err
}

// cpu returns what dockreg has used of the processors so far, in the kernel's
// ticks of 10 ms.
func (b *bench) cpu(c *testbed.Container) (time.Duration, error) {
	out, err := c.Exec("sh", "-c", `cat /proc/[0-9]*/stat | grep "(dockreg)" | cut -d " " -f 14,15`)
	if err != nil {
		return 0, err
	}
	var user, system int
	if _, err := fmt.Sscan(out, &user, &system); err != nil {
		return 0, fmt.Errorf("cpu of dockreg: %q: %w", out, err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

func (b *bench) revision(key string) (int64, error) {
	found, err := b.etcd.Client.Get(b.ctx, key)
	if err != nil {
		return 0, err
	}
	return found.Header.Revision, nil
}
