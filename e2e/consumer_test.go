package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"dockreg/e2e/testbed"
)

// consumer is what follows records, and where requests go through it.
type consumer struct {
	name string
	// ask sends one request, and returns the name of the instance that answered.
	ask func() (instance string, err error)

	mu          sync.Mutex
	first, last map[string]time.Time // when instances answered, by when they were asked
}

// see asks, and notes when who answered.
func (c *consumer) see() (string, error) {
	at := time.Now()
	name, err := c.ask()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, seen := c.first[name]; !seen {
		c.first[name] = at
	}
	if at.After(c.last[name]) {
		c.last[name] = at
	}
	return name, err
}

func (w *world) add(name string, ask func() (instance string, err error)) {
	w.consumers = append(w.consumers, &consumer{name: name, ask: ask, first: map[string]time.Time{}, last: map[string]time.Time{}})
}

// world is an etcd of its own, with instances that are registered there in every kind of
// record at once, and consumers.
type world struct {
	t         *testing.T
	etcd      *testbed.Etcd
	stopEtcd  func()
	keys      *testbed.Keys
	consumers []*consumer
}

// everyKind is what the instances of a world are registered as.
var everyKind = []string{"plain", "hostport:hosts/web", "grpc:grpc/web", "dns:web.svc.example,ttl=1", "traefik:web"}

func newWorld(t *testing.T) *world {
	t.Helper()
	own, err := testbed.StartEtcd(docker.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, etcd: own, stopEtcd: sync.OnceFunc(own.Stop)}
	t.Cleanup(w.stopEtcd)
	w.keys = testbed.FollowKeys(t.Context(), own.Client, "/")
	return w
}

// instance is an app that answers HTTP and gRPC on one port, and dockreg beside it.
type instance struct {
	name, address string
	server        *http.Server
	sidekick      *process
	came          time.Time
}

// start starts an instance, and waits for its key.
func (w *world) start(name string) *instance {
	w.t.Helper()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		w.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	i := &instance{name: name, address: net.JoinHostPort(docker.Gateway, port), server: newApp(name)}
	go func() { _ = i.server.Serve(listener) }()
	w.t.Cleanup(func() { _ = i.server.Close() })
	since := time.Now()
	i.sidekick = w.register(docker.Gateway, port, everyKind...)
	i.came = wantPut(w.t, w.keys, "/service/"+i.address, since, 20*time.Second).At
	return i
}

// register starts dockreg for the app on that port of this machine.
func (w *world) register(ip, port string, kinds ...string) *process {
	w.t.Helper()
	var flags []string
	for _, kind := range kinds {
		flags = append(flags, "--record", kind)
	}
	return besideAppAt(w.t, w.etcd.URL, ip, port, flags...)
}

// stop stops an instance as supervisord does: dockreg, and then, when that has drained, the
// app, which finishes nothing that is still under way.
func (i *instance) stop(t *testing.T) {
	t.Helper()
	i.sidekick.terminate(t)
	_ = i.server.Close()
}

// newApp returns a server that tells its name to whoever asks by HTTP or by gRPC.
func newApp(name string) *http.Server {
	calls := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if err := grpc.SetHeader(ctx, metadata.Pairs("instance", name)); err != nil {
			return nil, err
		}
		return handle(ctx, req)
	}))
	grpc_health_v1.RegisterHealthServer(calls, health.NewServer())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		work := time.NewTimer(20 * time.Millisecond) // so that a request is under way at any time
		defer work.Stop()
		select {
		case <-work.C:
		case <-r.Context().Done():
		}
		if r.ProtoMajor == 2 {
			calls.ServeHTTP(rw, r)
			return
		}
		_, _ = io.WriteString(rw, name)
	})}
}

// follow starts a proxy, and has requests of that method go through it.
func (w *world) follow(name, method string, args ...string) {
	w.t.Helper()
	c := proxy{Container: keep(w.t)(docker.Run(args...)), image: name}
	c.findAddress(w.t)
	w.add(name, askByHTTP(method, c.address))
}

func askByHTTP(method, address string) func() (string, error) {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 2 * time.Second}}
	return func() (string, error) {
		req, err := http.NewRequest(method, "http://"+address+"/", http.NoBody)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return string(body), err
	}
}

// rounds is how many answers in a row show who answers: more than two rounds of three.
const rounds = 8

// answering asks until each consumer's answers of some rounds come from exactly these.
func (w *world) answering(names ...string) {
	w.t.Helper()
	for _, c := range w.consumers {
		var got []string
		err := poll(w.t, 30*time.Second, func() error {
			got = nil
			for range rounds {
				name, err := c.ask()
				if err != nil {
					return err
				}
				got = append(got, name)
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, names) {
				return fmt.Errorf("%s answer", strings.Join(got, ", "))
			}
			return nil
		})
		if err != nil {
			w.t.Fatalf("%s: not %v answer: %v", c.name, names, err)
		}
	}
}

// load sends requests through each consumer, so many a second, until verdict is called:
// none may have failed.
func (w *world) load(rate int) (verdict func()) {
	start := time.Now()
	var loads []*testbed.Load
	for _, c := range w.consumers {
		loads = append(loads, testbed.StartCalls(rate, c.see))
	}
	return func() {
		w.t.Helper()
		for n, load := range loads {
			outcome := load.Stop()
			w.t.Logf("%s: %d requests in %s, %d failed", w.consumers[n].name, outcome.Sent, time.Since(start).Round(time.Second), len(outcome.Failures))
			if len(outcome.Failures) > 0 {
				w.t.Errorf("%s: %d requests failed, such as %v", w.consumers[n].name, len(outcome.Failures), outcome.Failures[0])
			}
			if want := rate * int(time.Since(start).Seconds()) / 10; outcome.Sent < want {
				w.t.Errorf("%s: only %d requests were sent, want %d at least", w.consumers[n].name, outcome.Sent, want)
			}
		}
	}
}

// followAll starts every consumer that requests go through. A POST is sent once, and so it
// shows what reached an app that was about to stop; nginx cuts clients' idle connections on
// a reload, which costs a POST now and then, whoever is behind it.
func (w *world) followAll() {
	w.t.Helper()
	w.follow("HAProxy by confd", http.MethodPost, "-e", "ETCD="+w.etcd.URL, "dockreg-haproxy")
	w.follow("nginx by confd", http.MethodGet, "-e", "ETCD="+w.etcd.URL, "dockreg-nginx")
	w.followByDNS()
	w.followByGRPC()
}

// Each consumer sends requests to whoever is registered, and to nobody else; that one
// comes and another goes fails no request.
func TestConsumersFollow(t *testing.T) {
	needDocker(t)
	t.Parallel()
	w := newWorld(t)
	w.followAll()
	a := w.start("a")
	b := w.start("b")
	w.answering("a", "b")

	verdict := w.load(requestRate)
	b.stop(t)
	w.answering("a")
	c := w.start("c")
	w.answering("a", "c")
	a.stop(t)
	w.answering("c")
	verdict()
	for _, by := range w.consumers {
		t.Logf("%s: from key to first request %s; from key gone to last request %s and %s", by.name,
			by.first["c"].Sub(c.came), after(by.last["b"], w.goneAt(b)), after(by.last["a"], w.goneAt(a)))
	}
}

// after returns how much later one time was, if it was.
func after(later, earlier time.Time) time.Duration {
	if later.Before(earlier) {
		return 0
	}
	return later.Sub(earlier)
}

// goneAt returns when an instance's key went.
func (w *world) goneAt(i *instance) time.Time {
	w.t.Helper()
	return wantGone(w.t, w.keys, "/service/"+i.address, time.Time{}, busy).At
}

// With etcd away, consumers go on with what they knew.
func TestConsumersOutliveEtcd(t *testing.T) {
	needDocker(t)
	t.Parallel()
	w := newWorld(t)
	w.followAll()
	w.start("a")
	w.start("b")
	w.answering("a", "b")
	traefik, dns := w.startTraefik(), w.startCoreDNS("coredns")
	wantKnown := func() {
		t.Helper()
		if err := poll(t, 20*time.Second, func() error {
			if known := traefik.servers(); len(known) != 2 {
				return fmt.Errorf("Traefik knows %v", known)
			}
			ips, err := askA(dns, "web.svc.example.")
			if err == nil && len(ips) != 1 { // both are on this machine
				err = fmt.Errorf("CoreDNS answers %v", ips)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	wantKnown()
	w.stopEtcd()
	verdict := w.load(requestRate / 10) // beside other tests
	lasts(t, either(60*time.Second, 8*time.Second))
	w.answering("a", "b")
	wantKnown()
	verdict()
}
