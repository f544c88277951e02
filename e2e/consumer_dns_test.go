package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// startCoreDNS runs CoreDNS with the Corefile of an example, and returns its address.
func (w *world) startCoreDNS(name string) (address string) {
	w.t.Helper()
	c := proxy{Container: keep(w.t)(docker.Run("-e", "ETCD="+w.etcd.URL, "-v", example(w.t, name+"/Corefile")+":/Corefile:ro",
		"dockreg-coredns", "-conf", "/Corefile"))}
	c.findAddress(w.t)
	host, _, _ := net.SplitHostPort(c.address)
	return net.JoinHostPort(host, "53")
}

// example returns where a file of the examples is.
func example(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs("../examples/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// followByDNS starts HAProxy as examples/haproxy-dns does.
func (w *world) followByDNS() {
	w.t.Helper()
	w.follow("HAProxy by DNS", http.MethodPost, "-e", "DNS="+w.startCoreDNS("haproxy-dns"), "-v", example(w.t, "haproxy-dns/haproxy.cfg")+":/haproxy.cfg:ro",
		"--entrypoint", "haproxy", "dockreg-haproxy", "-W", "-db", "-f", "/haproxy.cfg")
}

// resolverAt asks that name server alone.
func resolverAt(address string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

// CoreDNS answers A, AAAA and SRV from the records, and no longer when they are gone.
func TestCoreDNSAnswers(t *testing.T) {
	needDocker(t)
	t.Parallel()
	w := newWorld(t)
	dns := resolverAt(w.startCoreDNS("coredns"))
	const kind = "dns:web.svc.example,ttl=1"
	port := startApp(t)
	four := w.register("10.1.0.101", port, kind)
	w.register("2001:db8::1", port, kind)
	wantAnswers := func(want ...string) {
		t.Helper()
		var got, targets []string
		err := poll(t, 20*time.Second, func() (err error) {
			if got, err = dns.LookupHost(t.Context(), "web.svc.example."); err == nil && !sameSet(got, want) {
				err = fmt.Errorf("the addresses are %v, want %v", got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		// Each target of an SRV record is a name of its own, with one address.
		for _, ask := range []struct{ service, proto, name string }{{"web", "tcp", "svc.example."}, {"", "", "web.svc.example."}} {
			_, services, err := dns.LookupSRV(t.Context(), ask.service, ask.proto, ask.name)
			if err != nil {
				t.Fatal(err)
			}
			targets = nil
			for _, s := range services {
				if fmt.Sprint(s.Port) != port || s.Weight == 0 {
					t.Errorf("SRV %+v, want port %s and a weight", s, port)
				}
				ips, err := dns.LookupHost(t.Context(), s.Target)
				if err != nil {
					t.Error(err)
				}
				targets = append(targets, ips...)
			}
			if !sameSet(targets, want) {
				t.Errorf("the targets of %s are at %v, want %v", ask.name, targets, want)
			}
		}
	}
	wantAnswers("10.1.0.101", "2001:db8::1")
	four.terminate(t)
	wantAnswers("2001:db8::1")

	// The trap: one value that isn't JSON ends all answers. dockreg refuses to write it.
	const bad = "/skydns/example/svc/web/bad"
	refused := dockreg("--etcd", w.etcd.URL, "--port", port, "--host-port", port, "--ip", "10.1.0.101", "--record", bad+"=running")
	if err := refused.Start(); err != nil {
		t.Fatal(err)
	}
	if code, _ := refused.wait(t, 10*time.Second); code != 2 || !strings.Contains(refused.stderr.String(), "SERVFAIL") {
		t.Errorf("exit code %d, want 2 and why:\n%s", code, refused.stderr.String())
	}
	if _, err := w.etcd.Client.Put(t.Context(), bad, "running"); err != nil {
		t.Fatal(err)
	}
	// A name that CoreDNS has no older answer for, which it would go on with.
	_, err := dns.LookupHost(t.Context(), "svc.example.")
	var wrong *net.DNSError
	if !errors.As(err, &wrong) || wrong.Err != "server misbehaving" {
		t.Errorf("with a value that isn't JSON: %v; want SERVFAIL, or there is no need to refuse it", err)
	}
}

func sameSet(a, b []string) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// askA asks a name server for addresses once, and is more patient than CoreDNS, which waits
// 5 s for etcd.
func askA(server, name string) (ips []netip.Addr, err error) {
	question := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	packet, err := question.Pack()
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("udp", server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	answer := make([]byte, 64<<10)
	n, err := conn.Read(answer)
	if err != nil {
		return nil, err
	}
	var message dnsmessage.Message
	if err := message.Unpack(answer[:n]); err != nil {
		return nil, err
	}
	if message.RCode != dnsmessage.RCodeSuccess {
		return nil, errors.New(message.RCode.String())
	}
	for _, a := range message.Answers {
		if body, ok := a.Body.(*dnsmessage.AResource); ok {
			ips = append(ips, netip.AddrFrom4(body.A))
		}
	}
	return ips, nil
}
