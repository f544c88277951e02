package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// eachEtcd runs test with etcd 3.7 and with Debian's 3.4.
func eachEtcd(t *testing.T, test func(t *testing.T, binary string)) {
	built, err := etcd37()
	if err != nil {
		t.Fatal(err)
	}
	binaries := map[string]string{"3.7": built}
	if debian, err := exec.LookPath("etcd"); err == nil {
		binaries["3.4"] = debian
	} else if os.Getenv("CI") == "true" {
		t.Error("Debian's etcd is needed: apt-get install etcd-server")
	}
	for version, binary := range binaries {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, binary)
		})
	}
}

// fault is what happens to a member.
type fault struct {
	name       string
	begin, end func(*testbed.Member) error
}

var (
	hangs = fault{"stopped with SIGSTOP", (*testbed.Member).Hang, (*testbed.Member).Resume}
	cut   = fault{"cut off by a firewall rule", (*testbed.Member).CutOff, (*testbed.Member).Reconnect}
	late  = fault{
		"delayed by 2 s",
		func(m *testbed.Member) error { m.Relay.Delay(2 * time.Second); return nil },
		func(m *testbed.Member) error { m.Relay.Delay(0); return nil },
	}
)

// P5: of three members, any one hangs, is cut off, or late, leader or not: the key
// is never absent, as a healthy member sees it, for longer than its TTL of 12 s.
func TestP5OneMemberFails(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		for _, leader := range []bool{true, false} {
			t.Run(map[bool]string{true: "the leader", false: "a follower"}[leader], func(t *testing.T) {
				t.Parallel()
				failOneMember(t, leader, startCluster(t, binary), hangs, cut)
			})
		}
		t.Run("late", func(t *testing.T) {
			t.Parallel()
			cluster := startRelayedCluster(t, binary, "127.0.0.1", 3)
			failOneMember(t, true, cluster, late)
			failOneMember(t, false, cluster, late)
		})
	})
}

// startCluster starts a cluster of three members, each in a network of its own.
func startCluster(t *testing.T, binary string) *testbed.Cluster {
	t.Helper()
	return stopWith(t)(testbed.StartCluster(binary))
}

// startRelayedCluster starts a cluster of n members that listens on host.
func startRelayedCluster(t *testing.T, binary, host string, n int) *testbed.Cluster {
	t.Helper()
	return stopWith(t)(testbed.StartRelayedCluster(binary, host, n))
}

// stopWith sees to it that a cluster ends with the test.
func stopWith(t *testing.T) func(*testbed.Cluster, error) *testbed.Cluster {
	return func(c *testbed.Cluster, err error) *testbed.Cluster {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Stop(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
}

func failOneMember(t *testing.T, leader bool, cluster *testbed.Cluster, faults ...fault) {
	f := newFleet(t, cluster.URLs(), 3, fleetTTL)
	defer f.stop()
	for _, fault := range faults {
		victim, err := cluster.Leader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !leader {
			victim = (victim + 1) % 3
		}
		f.use(cluster.Members[victim])
		healthy := cluster.Members[(victim+1)%3]
		keys := testbed.FollowKeys(t.Context(), healthy.Client, "/service/")
		began := time.Now()
		if err := fault.begin(cluster.Members[victim]); err != nil {
			t.Fatal(err)
		}
		lasts(t, either(time.Minute, fleetTTL+5*time.Second))
		gone, absent := absence(keys)
		t.Logf("figure: %s: absent %.1f s of %.0f, %d times", fault.name, absent.Seconds(), time.Since(began).Seconds(), gone)
		if gone > 0 {
			t.Errorf("%s: the keys were absent: %v", fault.name, keys.History())
		}
		f.wantAll(healthy)
		if err := fault.end(cluster.Members[victim]); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Members[victim].Ready(); err != nil {
			t.Fatal(err)
		}
		f.wantNoMore(healthy)
		// A leader that hung revokes, when it goes on, the leases whose renewals it has
		// missed, before it notices that it leads no more. That is repaired.
		gone, absent = absence(keys)
		t.Logf("figure: %s, and back: absent %.2f s, %d times", fault.name, absent.Seconds(), gone)
		if absent > 10*time.Second {
			t.Errorf("back from %s: the keys were absent for %s, want a second at most, or 10s on a busy machine", fault.name, absent)
		}
	}
}

// absence returns how often keys were deleted, and for how long they were away.
func absence(keys *testbed.Keys) (times int, sum time.Duration) {
	since := map[string]time.Time{}
	for _, e := range keys.History() {
		at, away := since[e.Key]
		switch {
		case e.Gone:
			since[e.Key] = e.At
			times++
		case away:
			sum += e.At.Sub(at)
			delete(since, e.Key)
		}
	}
	for _, at := range since {
		sum += time.Since(at)
	}
	return times, sum
}

// fleet are some dockregs on this machine, each with an app that passes.
type fleet struct {
	t    *testing.T
	etcd string
	ttl  time.Duration
	all  map[string]*process // by key
}

// fleetTTL is the usual TTL of each. An outage that puts it to the test lasts longer.
const fleetTTL = 12 * time.Second

func newFleet(t *testing.T, etcd string, n int, ttl time.Duration) *fleet {
	f := &fleet{t: t, etcd: etcd, ttl: ttl, all: map[string]*process{}}
	for range n {
		f.start(startApp(t))
	}
	for _, p := range f.all {
		p.awaitLogged(t, "msg=registered")
	}
	return f
}

func (f *fleet) start(port string) *process {
	f.t.Helper()
	p := besideApp(f.t, f.etcd, port, "--ttl", f.ttl.String())
	f.all["/service/127.0.0.1:"+port] = p
	return p
}

func (f *fleet) stop() {
	for _, p := range f.all {
		_ = p.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range f.all {
		_ = p.Wait()
	}
}

// connections returns how many the process has to where, or to any port of etcd's.
func connections(t *testing.T, p *process, where string) int {
	t.Helper()
	args := []string{"-Htnp", "state", "established"}
	if where != "" {
		u, err := url.Parse(where)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "dst", u.Host)
	}
	out, err := exec.Command("ss", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(out), fmt.Sprintf("pid=%d,", p.Process.Pid))
}

// use sees to it that one of the fleet is connected to that member: each chooses by
// chance.
func (f *fleet) use(m *testbed.Member) {
	f.t.Helper()
	for range 50 {
		for _, p := range f.all {
			if connections(f.t, p, m.URL) > 0 {
				return
			}
		}
		for key, p := range f.all {
			_ = p.Process.Signal(syscall.SIGTERM)
			_ = p.Wait()
			f.start(strings.TrimPrefix(key, "/service/127.0.0.1:")).awaitLogged(f.t, "msg=registered")
			break
		}
	}
	f.t.Fatal("none of the fleet is connected to the member that is to fail")
}

// wantAll wants all keys to be there.
func (f *fleet) wantAll(m *testbed.Member) {
	f.t.Helper()
	for key := range f.all {
		if err := has(f.t, m, key); err != nil {
			f.t.Error(err)
		}
	}
}

// wantNoMore wants one lease and one connection for each of the fleet, soon.
func (f *fleet) wantNoMore(m *testbed.Member) {
	f.t.Helper()
	if err := poll(f.t, 40*time.Second, func() error { return f.excess(m) }); err != nil {
		f.t.Error(err)
	}
}

func (f *fleet) excess(m *testbed.Member) error {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	leases, err := m.Client.Leases(ctx)
	if err != nil {
		return err
	}
	if len(leases.Leases) != len(f.all) {
		return fmt.Errorf("%d leases, want %d", len(leases.Leases), len(f.all))
	}
	for key, p := range f.all {
		if n := connections(f.t, p, ""); n != 1 {
			err = errors.Join(err, fmt.Errorf("%s has %d connections, want 1", key, n))
		}
	}
	return err
}
