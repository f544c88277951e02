package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

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
	unlessStarved(t, func() []testbed.Outcome {
		a := w.start("a")
		b := w.start("b")
		w.answering("a", "b")

		stop := w.load(requestRate / len(w.consumers)) // to each its share, as processors have to serve all
		b.stop(t)
		w.answering("a")
		c := w.start("c")
		w.answering("a", "c")
		a.stop(t)
		w.answering("c")
		outcomes := stop()
		for _, by := range w.consumers {
			t.Logf("%s: from key to first request %s; from key gone to last request %s and %s", by.name,
				by.first["c"].Sub(c.came), after(by.last["b"], w.goneAt(b)), after(by.last["a"], w.goneAt(a)))
		}
		c.stop(t)
		w.forget()
		return outcomes
	})
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
	unlessStarved(t, func() []testbed.Outcome {
		stop := w.load(requestRate / 10) // beside other tests
		lasts(t, either(60*time.Second, 8*time.Second))
		w.answering("a", "b")
		wantKnown()
		return stop()
	})
}
