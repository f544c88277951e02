// Fleet runs very many sidekicks in one process, each with a connection of its own to
// one etcd, which it takes away from them and brings back. It prints how they come
// back, and ends with 1 if that breaks the promise: spread over some five seconds,
// with no errors, and for a handful of instances within two seconds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"dockreg/e2e/testbed"
)

func main() {
	binary := flag.String("etcd", "etcd", "the etcd to run")
	n := flag.Int("n", 2000, "instances of the fleet")
	ttl := flag.Duration("ttl", 20*time.Second, "of their leases; etcd is away for longer, once")
	flag.Parse()
	if err := run(*binary, *n, *ttl); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

const (
	// handful instances register under a parent of their own, beside the fleet.
	handful = 5
	// starting is how long the fleet takes to start.
	starting = 5 * time.Second
	// recounted is how long after it registered an instance has counted its peers
	// anew: every 25 s, and its request takes 1.5 s at the most. Nothing tells.
	recounted = 26500 * time.Millisecond
	// patience bounds every wait for what should come in a few seconds, on a quiet machine.
	patience = 2 * time.Minute
)

func run(binary string, n int, ttl time.Duration) (err error) {
	if err := wantFiles(n); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cluster, err := testbed.StartAlone(binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()

	b := newBed(cluster.Members[0], n, ttl)
	ended := b.start(ctx)
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	if err := b.settle(ctx); err != nil {
		return err
	}
	for _, o := range []outage{
		{name: "restarted with its data after 6 s", away: 6 * time.Second},
		{name: fmt.Sprintf("without its data after %s", ttl+time.Second), away: ttl + time.Second, wiped: true},
	} {
		if err := b.suffer(ctx, &o); err != nil {
			return err
		}
		for _, figure := range o.figures(b) {
			fmt.Printf("figure: %s: %s\n", o.name, figure)
		}
		if broken := o.check(b); broken != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", o.name, broken))
		}
	}
	return err
}

// wantFiles wants a limit of open files that suffices for n connections. Go itself
// has raised it as far as it can be.
func wantFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if want := uint64(n + 200); limit.Cur < want {
		return fmt.Errorf("%d instances take %d open files, and this process may have %d; raise the hard limit (ulimit -Hn)", n, want, limit.Cur)
	}
	return nil
}

// bed is an etcd and all its instances.
type bed struct {
	etcd  *testbed.Member
	ttl   time.Duration
	fleet []*instance
	few   []*instance
}

func newBed(etcd *testbed.Member, n int, ttl time.Duration) *bed {
	b := &bed{etcd: etcd, ttl: ttl}
	for i := range n {
		b.fleet = append(b.fleet, newInstance("fleet", i, b.etcd.URL, ttl))
	}
	for i := range handful {
		b.few = append(b.few, newInstance("few", i, b.etcd.URL, ttl))
	}
	return b
}

func (b *bed) all() []*instance { return slices.Concat(b.few, b.fleet) }

// start starts all instances, spread over starting. They run until ctx ends, and
// then the channel has how that went.
func (b *bed) start(ctx context.Context) <-chan error {
	var wg sync.WaitGroup
	all := b.all()
	errs := make([]error, len(all))
	for i, in := range all {
		wg.Go(func() {
			select {
			case <-time.After(starting * time.Duration(i) / time.Duration(len(all))):
				errs[i] = in.Run(ctx)
			case <-ctx.Done():
			}
		})
	}
	ended := make(chan error, 1)
	go func() {
		wg.Wait()
		ended <- errors.Join(errs...)
	}()
	return ended
}

// settle waits until all are registered, and know how many they are.
func (b *bed) settle(ctx context.Context) error {
	began := time.Now()
	if err := b.awaitBack(ctx, time.Time{}); err != nil {
		return err
	}
	fmt.Printf("figure: started over %s: all registered after %.1f s\n", starting, time.Since(began).Seconds())
	return sleep(ctx, recounted)
}

// awaitBack waits until each instance has registered in a call that began after
// then.
func (b *bed) awaitBack(ctx context.Context, then time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		missing := 0
		for _, in := range b.all() {
			if _, ok := in.back(then); !ok {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%d instances are not registered: %w", missing, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
