package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// traefik is Traefik's own provider, which follows an etcd, and the latest configuration
// that it took.
type traefik struct {
	mu     sync.Mutex
	latest traefikConfiguration
	log    journal
}

// traefikConfiguration is the part of it that dockreg writes.
type traefikConfiguration struct {
	HTTP, TCP struct {
		Services map[string]struct {
			LoadBalancer struct {
				Servers []struct {
					URL, Address string
					Weight       *int
				}
			}
		}
	}
}

func (w *world) startTraefik() *traefik {
	w.t.Helper()
	cmd := exec.Command(mustBuild(w.t, "traefik"), strings.TrimPrefix(w.etcd.URL, "http://"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	// What leads to the service is in etcd for good, as docs/consumers.md has it: Traefik
	// can't begin to watch where there is no key at all.
	if _, err := w.etcd.Client.Put(w.t.Context(), "traefik/http/routers/web/service", "web"); err != nil {
		w.t.Fatal(err)
	}
	p := &traefik{}
	cmd.Stderr = &p.log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var c traefikConfiguration
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				_, _ = fmt.Fprintln(&p.log, err)
				continue
			}
			p.mu.Lock()
			p.latest = c
			p.mu.Unlock()
		}
	}()
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
		if w.t.Failed() {
			w.t.Logf("Traefik's provider logged\n%s", p.log.String())
		}
	})
	return p
}

// servers returns where the service web is.
func (p *traefik) servers() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.latest.HTTP.Services["web"].LoadBalancer.Servers {
		text := s.URL
		if s.Weight != nil {
			text += fmt.Sprintf(" weight %d", *s.Weight)
		}
		all = append(all, text)
	}
	for _, s := range p.latest.TCP.Services["web"].LoadBalancer.Servers {
		all = append(all, s.Address)
	}
	slices.Sort(all)
	return all
}

func (p *traefik) want(t *testing.T, servers ...string) {
	t.Helper()
	if err := poll(t, time.Minute, func() error { // after a refusal its pauses grow
		if got := p.servers(); !slices.Equal(got, servers) {
			return fmt.Errorf("Traefik's servers are %v, want %v", got, servers)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Traefik's own provider takes what dockreg writes, and lets go of it.
func TestTraefikFollows(t *testing.T) {
	needDocker(t)
	t.Parallel()
	w := newWorld(t)
	p := w.startTraefik()
	port := startApp(t)
	a := w.register("10.1.0.101", port, "traefik:web", "traefik-tcp:web")
	p.want(t, "10.1.0.101:"+port, "http://10.1.0.101:"+port)
	w.register("2001:db8::1", port, "traefik:web")
	p.want(t, "10.1.0.101:"+port, "http://10.1.0.101:"+port, "http://[2001:db8::1]:"+port)
	a.terminate(t)
	p.want(t, "http://[2001:db8::1]:"+port)

	// The trap: one field that Traefik doesn't know, and it takes no change any more, until
	// the key is gone.
	const bad = "traefik/http/services/web/loadbalancer/servers/x/wieght"
	if _, err := w.etcd.Client.Put(t.Context(), bad, "10"); err != nil {
		t.Fatal(err)
	}
	const refusal = "field not found, node: wieght"
	p.log.await(t, refusal)
	refused := strings.Count(p.log.String(), refusal)
	b := w.register("10.1.0.102", port, "traefik:web")
	b.awaitLogged(t, "msg=registered")
	if err := poll(t, 30*time.Second, func() error {
		if strings.Count(p.log.String(), refusal) == refused {
			return fmt.Errorf("it did not refuse a change")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if still := []string{"http://[2001:db8::1]:" + port}; !slices.Equal(p.servers(), still) {
		t.Fatalf("Traefik's servers are %v, want %v still", p.servers(), still)
	}
	b.terminate(t)
	if _, err := w.etcd.Client.Delete(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	w.register("10.1.0.103", port, "traefik:web")
	p.want(t, "http://10.1.0.103:"+port, "http://[2001:db8::1]:"+port)
}
