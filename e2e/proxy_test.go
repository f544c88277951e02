package e2e

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// proxyImages are built by make proxies.
var proxyImages = []string{"dockreg-haproxy", "dockreg-nginx"}

// requestRate is how many requests a second whoever follows the keys has to serve
// throughout. One that fails is one too many at any rate.
var requestRate = either(300, 100)

// followed are three instances, and proxies that follow their keys in an etcd of
// their own.
type followed struct {
	etcd     *testbed.Etcd
	stopEtcd func()
	keys     *testbed.Keys
	apps     []*testbed.Container
	proxies  []proxy
}

type proxy struct {
	*testbed.Container
	image, address string
}

// appTTL is the TTL of these instances: for so long a proxy sees a dead one's key.
var appTTL = either(20*time.Second, 12*time.Second)

// The proxies follow the keys through all that happens to them. One scenario, in
// this order, as each step takes a while to set up.
func TestProxiesFollowTheKeys(t *testing.T) {
	needDocker(t)
	t.Parallel()
	f := startProxies(t)
	f.wantAnswer(t, "503") // a proxy that starts before the first instance does
	for range 3 {
		f.apps = append(f.apps, keep(t)(docker.RunApp(image, f.etcd.URL, "-e", "DOCKREG_DRAIN=2s", "-e", "DOCKREG_TTL="+appTTL.String())))
	}
	for _, app := range f.apps {
		f.wantServed(t, app)
	}

	for _, step := range []struct {
		name string
		run  func(*followed, *testing.T)
	}{
		{"P2 rolling restart", (*followed).rollingRestart},
		{"odd keys and dead hosts", (*followed).oddKeysAndDeadHosts},
		{"P8 killed without warning", (*followed).killed},
		{"to zero and back", (*followed).toZeroAndBack},
		{"etcd gone", (*followed).etcdGone},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(f, t) }) {
			t.FailNow() // the next ones would start from somewhere else
		}
	}
}

// startProxies starts an etcd and every proxy.
func startProxies(t *testing.T) *followed {
	t.Helper()
	f := &followed{}
	var err error
	if f.etcd, err = testbed.StartVolatileEtcd(docker.Gateway); err != nil {
		t.Fatal(err)
	}
	f.stopEtcd = sync.OnceFunc(f.etcd.Stop)
	t.Cleanup(f.stopEtcd)
	f.keys = testbed.FollowKeys(t.Context(), f.etcd.Client, "/")
	for _, image := range proxyImages {
		c := keep(t)(docker.Run("-e", "ETCD="+f.etcd.URL, image))
		p := proxy{Container: c, image: image}
		p.findAddress(t)
		f.proxies = append(f.proxies, p)
	}
	return f
}

// findAddress finds where the proxy listens, on its own IP.
func (p *proxy) findAddress(t *testing.T) {
	t.Helper()
	ip, err := p.Do("inspect", "--format", "{{.NetworkSettings.IPAddress}}")
	if err != nil {
		t.Fatal(err)
	}
	p.address = net.JoinHostPort(ip, "80")
}

// Every instance is stopped and started again: nobody notices.
func (f *followed) rollingRestart(t *testing.T) {
	unlessStarved(t, func() []testbed.Outcome {
		stop := f.load(t)
		for _, app := range f.apps {
			f.restart(t, app)
		}
		return stop()
	})
}

// A key that no proxy can use must not keep it from the others. Nor must an
// address that does not answer, as a dead host's does until its keys lapse: it
// costs time, and no request.
func (f *followed) oddKeysAndDeadHosts(t *testing.T) {
	nobody := docker.Gateway[:strings.LastIndex(docker.Gateway, ".")] + ".254" // does not answer at all
	odd := []string{
		"[2001:db8::1]:32768", nobody + ":8001", nobody + ":8002", nobody + ":8003", docker.Gateway + ":1",
		"not an address", "10.1.0.101", "10.1.0.101:0", "10.1.0.101:99999", "999.1.0.101:80", "localhost:80",
		"web/10.1.0.101:80", `";{}`, "", "2001:db8::1:32768", "]10.1.0.101:80",
	}
	unlessStarved(t, func() []testbed.Outcome {
		stop := f.load(t)
		for _, name := range odd {
			f.put(t, name)
		}
		f.restart(t, f.apps[0])
		for _, name := range odd {
			if _, err := f.etcd.Client.Delete(t.Context(), "/service/"+name); err != nil {
				t.Fatal(err)
			}
		}
		return stop()
	})
}

// P8, as a consumer sees it: an instance that dies without warning keeps its key
// for a while. That costs no more than the requests that it was answering.
func (f *followed) killed(t *testing.T) {
	app := f.apps[0]
	unlessStarved(t, func() []testbed.Outcome {
		key, began := keyOf(t, app), time.Now()
		stop := f.load(t)
		if _, err := app.Do("kill"); err != nil {
			t.Fatal(err)
		}
		dead := time.Now()
		gone := wantGone(t, f.keys, key, began, appTTL+1500*time.Millisecond+busy)
		t.Logf("kill to key gone: %s", gone.At.Sub(dead))
		outcomes := stop()
		f.start(t, app)
		for i := range outcomes {
			outcomes[i] = outcomes[i].Since(dead)
		}
		return outcomes
	})
}

// With no instance left there is nobody to ask. The first one back is asked at once.
func (f *followed) toZeroAndBack(t *testing.T) {
	var stopping sync.WaitGroup
	for _, app := range f.apps {
		stopping.Go(func() {
			if _, err := app.Do("stop"); err != nil {
				t.Error(err)
			}
		})
	}
	stopping.Wait()
	f.wantAnswer(t, "503")
	for _, app := range f.apps {
		f.start(t, app)
	}
}

// With etcd gone the proxies go on with what they knew last, even if they are
// started again.
func (f *followed) etcdGone(t *testing.T) {
	f.stopEtcd()
	unlessStarved(t, func() []testbed.Outcome {
		stop := f.load(t)
		lasts(t, 3*time.Second) // of load
		for _, app := range f.apps {
			f.wantServed(t, app)
		}
		return stop()
	})

	for i, p := range f.proxies {
		if _, err := p.Do("restart"); err != nil {
			t.Fatal(err)
		}
		f.proxies[i].findAddress(t)
	}
	for _, app := range f.apps {
		f.wantServed(t, app)
	}
}

// load sends requests until it is stopped, to every proxy its share: two processors serve
// no more, and a starved app fails its probe.
func (f *followed) load(t *testing.T) (stop func() []testbed.Outcome) {
	rate := requestRate / len(f.proxies)
	var all []through
	for _, p := range f.proxies {
		all = append(all, through{p.image, testbed.StartLoad(rate, func() (string, error) { return p.address, nil })})
	}
	return func() []testbed.Outcome { return stopAll(t, all) }
}

// restart stops and starts an instance, as an update does.
func (f *followed) restart(t *testing.T, app *testbed.Container) {
	t.Helper()
	if _, err := app.Do("stop"); err != nil {
		t.Fatal(err)
	}
	f.start(t, app)
}

// start starts an instance that was stopped, and waits until every proxy uses it.
func (f *followed) start(t *testing.T, app *testbed.Container) {
	t.Helper()
	if _, err := app.Do("start"); err != nil {
		t.Fatal(err)
	}
	f.wantServed(t, app)
}

// wantServed waits until the instance has its key, and every proxy sends requests
// there.
func (f *followed) wantServed(t *testing.T, app *testbed.Container) {
	t.Helper()
	wantPut(t, f.keys, keyOf(t, app), time.Time{}, time.Minute)
	f.wantAnswer(t, "Hello from "+app.ID[:12])
}

// wantAnswer waits until every proxy has given this answer.
func (f *followed) wantAnswer(t *testing.T, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for waiting := slices.Clone(f.proxies); len(waiting) > 0; {
		answer, err := get(t, waiting[0].address)
		if strings.Contains(answer, want) {
			waiting = waiting[1:]
			continue
		}
		select {
		case <-ask.C:
		case <-ctx.Done():
			t.Fatalf("%s never answered %q, but %q, %v", waiting[0].image, want, answer, err)
		}
	}
}
