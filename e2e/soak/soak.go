package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/e2e/testbed"
)

type options struct {
	etcd      string
	duration  time.Duration
	seed      uint64
	addresses int
	log       string
}

// soak is one run.
type soak struct {
	options
	began     time.Time
	journal   *journal
	log       *slog.Logger
	judge     *judge
	cluster   *testbed.Cluster
	kinds     []kind
	observers observers
	addresses []*address
	living    map[*address][]*instance // an address's are of one goroutine at a time
	mu        sync.Mutex               // of living
	instances atomic.Int64             // that were started
	faults    atomic.Int64
	members   map[string]int // that failed, by kind
	hands     sync.Mutex     // held while a key is touched, and while a member begins to fail
	failing   int            // the member that fails, or -1; guarded by hands
	outages   int
}

// kind is what can happen to a member.
type kind struct {
	name       string
	hangs      bool
	begin, end func(*testbed.Member) error
}

var (
	kindHangs  = kind{"hangs", true, (*testbed.Member).Hang, (*testbed.Member).Resume}
	kindKilled = kind{"is killed", false, func(m *testbed.Member) error { m.Kill(); return nil }, (*testbed.Member).Start}
	kindCutOff = kind{"is cut off", false, (*testbed.Member).CutOff, (*testbed.Member).Reconnect}
)

// run runs the soak. Its error says what was not as promised, or why it could not
// go on.
func run(ctx context.Context, o options) (err error) {
	s := &soak{options: o, living: map[*address][]*instance{}, members: map[string]int{}, failing: -1}
	fmt.Fprintf(os.Stderr, "soak: seed %d, %s, %d addresses, etcd %s\n", o.seed, o.duration, o.addresses, o.etcd)
	to := io.Discard
	if o.log != "" {
		file, fileErr := os.Create(o.log)
		if fileErr != nil {
			return fileErr
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		to = file
	}
	s.journal = &journal{to: to}
	log.SetOutput(s.journal)
	s.log = slog.New(slog.NewTextHandler(s.journal, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.judge = newJudge(s.log)
	if err := s.startCluster(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.cluster.Stop()) }()
	if s.observers, err = observe(s.cluster.Members); err != nil {
		return err
	}
	defer s.observers.close()

	judging, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	defer func() { err = errors.Join(err, s.endAll()) }()
	if err := s.locate(); err != nil {
		return err
	}
	group.Go(func() { s.judge.follow(judging, s.observers) })
	s.began = time.Now()
	for _, a := range s.addresses {
		if err := errors.Join(s.behave(a, passes), s.begin(a)); err != nil {
			return err
		}
	}
	group.Go(func() { s.progress(judging) })
	flat, err := s.rounds(ctx)
	if err != nil {
		return err
	}
	return s.report(os.Stdout, flat)
}

func (s *soak) startCluster() (err error) {
	s.kinds = []kind{kindHangs, kindKilled}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "soak: only root can make network namespaces; no member is cut off")
		s.cluster, err = testbed.StartRelayedCluster(s.etcd, "127.0.0.1", 3)
		return err
	}
	s.kinds = append(s.kinds, kindCutOff)
	s.cluster, err = testbed.StartCluster(s.etcd)
	return err
}

// locate chooses the addresses.
func (s *soak) locate() error {
	for range s.options.addresses {
		port, err := testbed.LowPort("127.0.0.1")
		if err != nil {
			return err
		}
		a := &address{key: fmt.Sprintf("/%s/127.0.0.1:%d", parent, port), app: newApp(port), blamed: map[string]time.Time{}}
		s.addresses = append(s.addresses, a)
		s.judge.addresses[a.key] = a
	}
	return nil
}

// endAll ends all instances and apps.
func (s *soak) endAll() error {
	var errs []error
	for _, a := range s.addresses {
		for len(s.living[a]) > 0 {
			errs = append(errs, s.end(a, 0, false))
		}
		errs = append(errs, a.app.set(closed))
	}
	return errors.Join(errs...)
}

// begin starts an instance at an address.
func (s *soak) begin(a *address) error {
	record := fmt.Sprintf("instance-%d", s.instances.Add(1))
	i, err := startInstance(s.judge, a, record, strings.Split(s.cluster.URLs(), ","), s.log)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.living[a] = append(s.living[a], i)
	return nil
}

// end ends an address's n-th instance.
func (s *soak) end(a *address, n int, kill bool) error {
	s.mu.Lock()
	i := s.living[a][n]
	s.living[a] = append(s.living[a][:n:n], s.living[a][n+1:]...)
	s.mu.Unlock()
	if err := i.stop(s.judge, a, kill); err != nil || kill {
		return err
	}
	return s.left(a, i)
}

// left judges the key that a stopped instance leaves behind: none. Where a member
// fails, it may lapse.
func (s *soak) left(a *address, i *instance) error {
	now := time.Now()
	err := s.observers.ask(context.Background(), func(ctx context.Context, etcd *clientv3.Client) error {
		found, err := etcd.Get(ctx, a.key)
		if err == nil && len(found.Kvs) > 0 && string(found.Kvs[0].Value) == i.record {
			s.judge.remains(a, i, now)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look for the key of a stopped instance: %w", err)
	}
	return nil
}

// progress says how it goes, every 10 s until ctx ends.
func (s *soak) progress(ctx context.Context) {
	for sleep(ctx, 10*time.Second) {
		fmt.Fprintf(os.Stderr, "soak: %s of %s, %d faults, %d broken promises\n",
			time.Since(s.began).Round(time.Second), s.duration, s.faults.Load(), s.judge.totals())
	}
}
