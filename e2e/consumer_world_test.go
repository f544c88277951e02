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

// forget has consumers forget who answered.
func (w *world) forget() {
	for _, c := range w.consumers {
		c.mu.Lock()
		c.first, c.last = map[string]time.Time{}, map[string]time.Time{}
		c.mu.Unlock()
	}
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
	own, err := testbed.StartVolatileEtcd(docker.Gateway)
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
	flags := []string{"--drain", "6s"} // a busy machine may take longer than 3 s to tell a consumer
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

// load sends requests through each consumer, so many a second, until stop is called, which
// returns what became of them.
func (w *world) load(rate int) (stop func() []testbed.Outcome) {
	var all []through
	for _, c := range w.consumers {
		all = append(all, through{c.name, testbed.StartCalls(rate, c.see)})
	}
	return func() []testbed.Outcome { return stopAll(w.t, all) }
}
