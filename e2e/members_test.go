package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// etcd37 builds this module's etcd, once.
var etcd37 = sync.OnceValues(func() (string, error) {
	binary := os.TempDir() + fmt.Sprintf("/dockreg-e2e-etcd-%d", os.Getpid())
	if out, err := exec.Command("go", "build", "-o", binary, "./etcd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build etcd: %w\n%s", err, out)
	}
	return binary, nil
})

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
// is never absent, as a healthy member sees it, in 60 s with a TTL of 10 s.
func TestP5OneMemberFails(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	if testing.Short() {
		t.Skip("takes two minutes")
	}
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		for _, leader := range []bool{true, false} {
			t.Run(map[bool]string{true: "the leader", false: "a follower"}[leader], func(t *testing.T) {
				t.Parallel()
				failOneMember(t, leader, testbed.StartCluster, binary, hangs, cut)
			})
		}
		t.Run("late", func(t *testing.T) {
			t.Parallel()
			failOneMember(t, true, testbed.StartRelayedCluster, binary, late)
			failOneMember(t, false, testbed.StartRelayedCluster, binary, late)
		})
	})
}

func failOneMember(t *testing.T, leader bool, start func(string) (*testbed.Cluster, error), binary string, faults ...fault) {
	cluster, err := start(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	}()
	f := newFleet(t, cluster.URLs(), 3)
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
		select {
		case <-time.After(time.Minute):
		case <-t.Context().Done():
		}
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
	t     *testing.T
	etcd  string
	flags []string
	all   map[string]*process // by key
}

func newFleet(t *testing.T, etcd string, n int, flags ...string) *fleet {
	f := &fleet{t: t, etcd: etcd, flags: flags, all: map[string]*process{}}
	for range n {
		f.add()
	}
	return f
}

func (f *fleet) add() {
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	f.t.Cleanup(app.Close)
	_, port, _ := net.SplitHostPort(app.Listener.Addr().String())
	f.start(port)
}

func (f *fleet) start(port string) {
	f.t.Helper()
	p := dockreg(append([]string{"--etcd", f.etcd, "--port", port, "--host-port", port, "--ip", "127.0.0.1", "--ttl", "10s"}, f.flags...)...)
	registered, err := p.logged("msg=registered")
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.all["/service/127.0.0.1:"+port] = p
	select {
	case <-registered:
	case <-time.After(20 * time.Second):
		f.t.Error("dockreg did not register")
	}
}

func (f *fleet) stop() {
	for _, p := range f.all {
		_ = p.Process.Signal(syscall.SIGTERM)
	}
	for key, p := range f.all {
		_ = p.Wait()
		if f.t.Failed() {
			f.t.Logf("%s logged\n%s", key, p.stderr.String())
		}
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
			f.start(strings.TrimPrefix(key, "/service/127.0.0.1:"))
			break
		}
	}
	f.t.Fatal("none of the fleet is connected to the member that is to fail")
}

// wantAll wants all keys to be there.
func (f *fleet) wantAll(m *testbed.Member) {
	f.t.Helper()
	for key := range f.all {
		ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
		found, err := m.Client.Get(ctx, key)
		cancel()
		if err != nil || len(found.Kvs) != 1 {
			f.t.Errorf("key %s is not there: %v", key, err)
		}
	}
}

// wantNoMore wants one lease and one connection for each of the fleet, soon.
func (f *fleet) wantNoMore(m *testbed.Member) {
	f.t.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err = f.excess(m); err == nil {
			return
		}
	}
	f.t.Error(err)
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
