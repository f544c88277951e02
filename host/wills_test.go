package host

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/probe/pidfd"
)

// awayEtcd answers nothing. It stands in for what takes half a minute with a real one; those
// are in the e2e tests.
type awayEtcd struct {
	asked atomic.Int64
	back  atomic.Bool
}

func (e *awayEtcd) Do(ctx context.Context, within time.Duration, _ func(context.Context, *clientv3.Client) error) error {
	e.asked.Add(1)
	if e.back.Load() {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(within):
		return errors.New("etcd is away")
	}
}

func (e *awayEtcd) Close() {}

func newTestWills() *wills {
	return newWills(&awayEtcd{}, &awayEtcd{}, slog.New(slog.DiscardHandler))
}

// holding is how take takes hold of a process.
func holding(pid int) func() (*firstProcess, error) {
	return func() (*firstProcess, error) {
		process, err := pidfd.Hold(pid)
		return &firstProcess{container: ownID, pid: pid, process: process}, err
	}
}

func willFor(lease clientv3.LeaseID) *lastWill {
	return &lastWill{container: ownID, lease: lease, keys: []string{"/service/10.1.0.101:1"}, withdrawn: make(chan struct{})}
}

// P11: when the container's first process ends, what it had to leave is due, and what was
// withdrawn is not.
func TestP11DueAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newTestWills()
	pid, end := start(t)
	go func() { w.await(t.Context(), <-w.fresh) }()
	for lease := range clientv3.LeaseID(3) {
		if _, err := w.take(t.Context(), holding(pid), willFor(lease+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.withdraw(ownID, 2); err != nil {
		t.Fatal(err)
	}
	if err := w.withdraw(ownID, 2); !errors.Is(err, errNoWill) {
		t.Errorf("withdrawn twice: %v", err)
	}
	if err := w.withdraw(otherID, 1); !errors.Is(err, errNoWill) {
		t.Errorf("of another container: %v", err)
	}
	select {
	case left := <-w.due:
		t.Fatalf("due before the end: %v", left)
	default:
	}
	end()
	select {
	case left := <-w.due:
		if len(left) != 2 || left[0].lease != 1 || left[1].lease != 3 || left[0].ended.IsZero() {
			t.Errorf("due: %v", left)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is due")
	}
	if _, err := w.take(t.Context(), func() (*firstProcess, error) { return nil, errNoContainer }, willFor(4)); !errors.Is(err, errNoContainer) {
		t.Errorf("after the end: %v", err)
	}
}

// What a container tells that runs again is not mixed up with what it had to leave before.
func TestWillsOfAContainerThatRunsAgain(t *testing.T) {
	t.Parallel()
	w := newTestWills()
	before, end := start(t)
	fresh := make(chan *willsOf, 1)
	go func() { fresh <- <-w.fresh }()
	if _, err := w.take(t.Context(), holding(before), willFor(1)); err != nil {
		t.Fatal(err)
	}
	end()
	again, _ := start(t)
	if _, err := w.take(t.Context(), holding(again), willFor(2)); !errors.Is(err, errEnding) {
		t.Errorf("before the first ones are due: %v", err)
	}
	go w.await(t.Context(), <-fresh)
	if left := <-w.due; len(left) != 1 || left[0].lease != 1 {
		t.Errorf("due: %v", left)
	}
	go func() { (<-w.fresh).first.process.Close() }()
	if _, err := w.take(t.Context(), holding(again), willFor(2)); err != nil {
		t.Errorf("then: %v", err)
	}
}

// The wills of one container are bounded: those that killed sidekicks left make room, those
// that somebody waits for don't.
func TestManyWills(t *testing.T) {
	t.Parallel()
	w := newTestWills()
	pid, _ := start(t)
	go func() { <-w.fresh }()
	take := func(lease clientv3.LeaseID) (*lastWill, error) {
		return w.take(t.Context(), holding(pid), willFor(lease))
	}
	for lease := range clientv3.LeaseID(mostWills) {
		if _, err := take(lease + 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := take(100); !errors.Is(err, errManyWills) {
		t.Fatalf("%v", err)
	}
	again, err := take(5)
	if err != nil || again.waiting != 2 {
		t.Fatalf("told again: %v, %v", again, err)
	}
	for range 2 {
		w.leave(again)
	}
	if _, err := take(100); err != nil {
		t.Fatalf("after one has ended: %v", err)
	}
	var leases []clientv3.LeaseID
	for _, l := range w.kept[ownID].wills {
		leases = append(leases, l.lease)
	}
	if len(leases) != mostWills || slices.Contains(leases, 5) || !slices.Contains(leases, 100) {
		t.Errorf("%v", leases)
	}
	w.kept[ownID].first.process.Close()
}

// A container whose end can't be waited for has to be told of again, and is.
func TestWillsToldAgain(t *testing.T) {
	t.Parallel()
	w := newTestWills()
	pid, _ := start(t)
	fresh := make(chan *willsOf, 1)
	go func() { fresh <- <-w.fresh }()
	will, err := w.take(t.Context(), holding(pid), willFor(1))
	if err != nil {
		t.Fatal(err)
	}
	of := <-fresh
	of.first.process.Close()
	w.await(t.Context(), of)
	select {
	case <-will.withdrawn:
	default:
		t.Error("its sidekick does not hear of it")
	}
	go func() { (<-w.fresh).first.process.Close() }()
	if _, err := w.take(t.Context(), holding(pid), willFor(1)); err != nil {
		t.Errorf("told again: %v", err)
	}
}

// An etcd that is away is asked again and again, until the lease has lapsed. The log tells
// each reason once, and when it is over.
func TestRevokedUntilTheLeaseHasLapsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var out bytes.Buffer
		logged := func() string {
			mu.Lock()
			defer mu.Unlock()
			return out.String()
		}
		execute := &awayEtcd{}
		l := newLeases(&awayEtcd{}, execute, slog.New(slog.NewTextHandler(locked{&mu, &out}, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		due, ended := make(chan []*lastWill), make(chan struct{})
		go func() { defer close(ended); l.revokeAll(ctx, due) }()
		will := willFor(1)
		will.ttl, will.ended = 20*time.Second, time.Now()
		due <- []*lastWill{will}
		time.Sleep(time.Until(will.ended.Add(will.ttl)) - time.Millisecond)
		synctest.Wait()
		const away = `level=WARN msg="can't ask etcd; no last will is taken or executed until it answers" err="etcd is away"`
		if asked := execute.asked.Load(); asked < 8 || strings.Count(logged(), away) != 1 || strings.Count(logged(), "\n") != 1 {
			t.Errorf("asked %d times while the lease lives, and logged %q", asked, logged())
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if strings.Count(logged(), "etcd could not be told in time that the container has ended") != 1 {
			t.Errorf("logged %q", logged())
		}
		execute.back.Store(true)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if strings.Count(logged(), `level=INFO msg="etcd can be asked again"`) != 1 {
			t.Errorf("logged %q", logged())
		}
		cancel()
		<-ended
	})
}

// P11: only a lease whose keys are all of the container's own address can be its will.
func TestP11OwnKeys(t *testing.T) {
	t.Parallel()
	own, err := hostIPs()
	if err != nil || !slices.Contains(own, netip.MustParseAddr("127.0.0.1")) {
		t.Fatalf("%v, %v", own, err)
	}
	const everywhere = `[{"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32769"}]`
	for name, test := range map[string]struct {
		ports, mode string
		elsewhere   string
		keys        string
		refused     error
	}{
		"on every IP":            {everywhere, "bridge", "", "/service/127.0.0.1:32768", nil},
		"by an older engine":     {`[{"HostIp": "", "HostPort": "32768"}]`, "bridge", "", "/service/127.0.0.1:32768", nil},
		"on one IP":              {`[{"HostIp": "10.9.9.9", "HostPort": "32768"}]`, "bridge", "", "/service/10.9.9.9:32768", nil},
		"of IPv6":                {`[{"HostIp": "2001:db8::1", "HostPort": "32768"}]`, "bridge", "", "/a/b/[2001:db8::1]:32768", nil},
		"translated":             {everywhere, "bridge", "203.0.113.7", "/service/203.0.113.7:32768", nil},
		"of a DNS label":         {everywhere, "bridge", "", "/skydns/example/web/127-0-0-1-32768", nil},
		"of Traefik":             {everywhere, "bridge", "", "traefik/http/services/web/loadbalancer/servers/127-0-0-1-32768/url", nil},
		"beside one without":     {everywhere, "bridge", "", "/workers/web /service/127.0.0.1:32768", nil},
		"another one's label":    {everywhere, "bridge", "", "/skydns/example/web/127-0-0-1-32769", errForeign},
		"two addresses":          {everywhere, "bridge", "", "/web/10-1-0-102-32768/127.0.0.1:32768", errForeign},
		"as a folder":            {everywhere, "bridge", "", "/service/127.0.0.1:32768/x", errForeign},
		"two keys":               {everywhere, "bridge", "", "/a/127.0.0.1:32768 /b/127.0.0.1:32768", nil},
		"another port":           {everywhere, "bridge", "", "/service/127.0.0.1:32770", errForeign},
		"another host's IP":      {everywhere, "bridge", "", "/service/10.1.0.102:32768", errForeign},
		"the other family":       {everywhere, "bridge", "", "/service/127.0.0.1:32769", errForeign},
		"another IP of the host": {`[{"HostIp": "10.9.9.9", "HostPort": "32768"}]`, "bridge", "", "/service/127.0.0.1:32768", errForeign},
		"one foreign key":        {everywhere, "bridge", "", "/service/127.0.0.1:32768 /service/127.0.0.1:1", errForeign},
		"nothing published":      {"null", "bridge", "", "/service/127.0.0.1:32768", errForeign},
		"no address":             {everywhere, "bridge", "", "/config/secret", errForeign},
		"loopback, translated":   {`[{"HostIp": "127.0.0.2", "HostPort": "32768"}]`, "bridge", "203.0.113.7", "/service/203.0.113.7:32768", errForeign},
		"an IP that is its own":  {`[{"HostIp": "10.9.9.9", "HostPort": "32768"}]`, "bridge", "127.0.0.1", "/service/127.0.0.1:32768", errForeign},
		"the host's network":     {everywhere, "host", "", "/service/127.0.0.1:32768", errHostMode},
	} {
		s := &Service{}
		if test.elsewhere != "" {
			s.IPs = []netip.Addr{netip.MustParseAddr(test.elsewhere)}
		}
		if err := s.ownKeys(inspected(ownID, "web", test.mode, test.ports), strings.Fields(test.keys)); !errors.Is(err, test.refused) {
			t.Errorf("%s: %v, want %v", name, err, test.refused)
		}
	}
}

// P11: what is on the lease in the end is the container's own if its addresses are those of
// what was on it when the will was told.
func TestP11KeysThatCameLater(t *testing.T) {
	t.Parallel()
	will := &lastWill{keys: []string{"/service/10.1.0.101:32768", "haproxy/web"}}
	for key, foreign := range map[string]bool{
		"/service/10.1.0.101:32768":         false,
		"haproxy/web":                       false,
		"/other/10.1.0.101:32768":           false,
		"/skydns/org/web/10-1-0-101-32768":  false,
		"traefik/http/routers/web/rule":     false,
		"/service/10.1.0.101:32769":         true,
		"/service/10.1.0.102:32768":         true,
		"/skydns/org/web/10-1-0-102-32768":  true,
		"/10-1-0-101-32768/10.1.0.103:4711": true,
	} {
		if got := will.isForeign(key); got != foreign {
			t.Errorf("%s: foreign %v", key, got)
		}
	}
}

// The log shows the first of many keys.
func TestShownKeys(t *testing.T) {
	t.Parallel()
	keys := slices.Repeat([]string{strings.Repeat("x", mostShown/4)}, 100)
	if got := shown(keys); len(got) != 5 || got[4] != "and 96 more" {
		t.Errorf("%d, the last one %q", len(got), got[len(got)-1])
	}
	if got := shown(keys[:4]); len(got) != 4 {
		t.Errorf("%d of 4", len(got))
	}
}
