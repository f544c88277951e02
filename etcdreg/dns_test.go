package etcdreg

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/etcdreg/etcd"
)

// listenOn makes a server that is not running yet listen on another address.
func (s *server) listenOn(host string) {
	for i := range s.args {
		s.args[i] = strings.ReplaceAll(s.args[i], "127.0.0.1", host)
	}
	s.url = strings.ReplaceAll(s.url, "127.0.0.1", host)
}

// alone makes a server of one member, which is not running yet.
func alone(t *testing.T, binary string, port int) *server {
	s := newServer(t, binary, "one", port, "http")
	s.joins("http://127.0.0.1:" + strconv.Itoa(freePort(t)))
	return s
}

// P6: the DNS name of etcd is gone for a while, and comes back with another address.
func TestP6DNSNameMoves(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		port := freePort(t)
		before, after := alone(t, binary, port), alone(t, binary, port)
		before.listenOn("127.0.0.2")
		after.listenOn("127.0.0.3")
		before.run()
		before.ready()
		name := "etcd" + strconv.Itoa(port) + ".test"
		inZone(func() { zone.hosts[name+"."] = ips("127.0.0.2") })
		r := registryOf(t, etcd.Config{Endpoints: []string{"http://" + name + ":" + strconv.Itoa(port)}}, 20*time.Second)
		register(t, r)

		inZone(func() { delete(zone.hosts, name+".") })
		before.kill()
		wantDisturbed(t, r, "connection to etcd broke")
		for range 3 {
			if err := r.Register(t.Context(), running); err == nil {
				t.Fatal("registered with no etcd")
			}
		}
		after.run()
		after.ready()
		inZone(func() { zone.hosts[name+"."] = ips("127.0.0.3") })
		start := time.Now()
		registerSoon(t, r)
		t.Logf("figure: back %s after the name had its new address", time.Since(start).Round(time.Millisecond))
		wantKey(t, after.client(), r)
	})
}

// P5, P6: a name stands for all the members at its addresses. One that takes connections
// and says nothing, and one that swallows all that is sent there, cost no more than a
// member of its own would; the certificate is checked for the name.
func TestP5OneNameOfSeveralMembers(t *testing.T) {
	t.Parallel()
	for fault, listen := range map[string]func(*testing.T, string) net.Listener{"silent": silent, "swallowing": swallowing} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, binary string) {
				port := freePort(t)
				name := "several" + strconv.Itoa(port) + ".test"
				a := newAuthority(t)
				certFile, keyFile := a.issue(t, soon, name)
				healthy := newServer(t, binary, "one", port, "https", "--cert-file", certFile, "--key-file", keyFile)
				healthy.tls = trusting(t, certFile, keyFile)
				healthy.joins("http://127.0.0.1:" + strconv.Itoa(freePort(t)))
				healthy.listenOn("127.0.0.3")
				healthy.run()
				healthy.ready()
				for _, ip := range []string{"127.0.0.2", "127.0.0.4"} {
					_ = listen(t, net.JoinHostPort(ip, strconv.Itoa(port)))
				}
				inZone(func() { zone.hosts[name+"."] = ips("127.0.0.2", "127.0.0.3", "127.0.0.4") })
				// Each starts somewhere at random.
				for range 4 {
					r := registryOf(t, etcd.Config{Endpoints: []string{"https://" + name + ":" + strconv.Itoa(port)}, CACertFile: a.file}, 20*time.Second)
					start := time.Now()
					registerSoon(t, r)
					t.Logf("figure: registered after %s", time.Since(start).Round(time.Millisecond))
					wantKey(t, healthy.client(), r)
					if err := unhurried(func() error { return r.Deregister(t.Context()) }); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// silent takes connections, and says nothing.
func silent(t *testing.T, address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// swallowing has taken all the connections that it takes: whoever else wants one gets no
// word, as behind a firewall.
func swallowing(t *testing.T, address string) net.Listener {
	l := silent(t, address)
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), 0) }) // a smaller queue
	soon := time.Minute                                                 // for the first, with which it is full: else it may be this machine that is late
	for err == nil {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", address, soon); err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
		soon = 300 * time.Millisecond
	}
	if !os.IsTimeout(err) {
		t.Fatal(err)
	}
	return l
}

// P6: members are named by SRV records, which are looked up again when one fails.
func TestP6SRVRecordsChange(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		members := startCluster(t, binary)
		domain := "srv" + strings.TrimPrefix(members[0].url, "http://127.0.0.1:") + ".test"
		service := "_etcd-client._tcp." + domain + "."
		name := func(s *server) string { return strings.Replace(s.url, "http://127.0.0.1", "member."+domain, 1) }
		inZone(func() {
			zone.hosts["member."+domain+"."] = ips("127.0.0.1")
			zone.srv[service] = []string{name(members[0])}
		})
		r := registryOf(t, etcd.Config{DiscoverySRV: domain}, 20*time.Second)
		registerSoon(t, r)
		if at := r.client.Member(); at != "http://"+name(members[0]) {
			t.Errorf("uses %s, want the only one that the records name", at)
		}

		inZone(func() { zone.failing[service] = true })
		members[0].kill()
		wantDisturbed(t, r, "connection to etcd broke")
		if err := r.Register(t.Context(), running); err == nil || !strings.Contains(err.Error(), name(members[0])) {
			t.Errorf("Register = %v, want the member's name, though the DNS fails", err)
		}
		inZone(func() {
			delete(zone.failing, service)
			zone.srv[service] = []string{name(members[1]), name(members[2])}
		})
		start := time.Now()
		registerSoon(t, r)
		t.Logf("figure: back %s after the records changed", time.Since(start).Round(time.Millisecond))
		wantKey(t, members[1].client(), r)
	})
}

// P5: a nameserver that says nothing costs a moment: the next one is asked soon.
func TestP5SilentNameserver(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		var r *registration
		err := errors.New("not tried")
		for try := 0; err != nil && try < 5; try++ { // on a quiet machine the first does it
			name := fmt.Sprintf("silent%d-%s", try, strings.Replace(s.url, "http://127.0.0.1:", "", 1)) + ".test"
			inZone(func() {
				zone.hosts[name+"."] = ips("127.0.0.1")
				zone.silent[name+"."] = 2 // for its v4 and its v6 addresses
			})
			r = registryOf(t, etcd.Config{Endpoints: []string{strings.Replace(s.url, "127.0.0.1", name, 1)}}, 20*time.Second)
			err = r.Register(t.Context(), running)
		}
		if err != nil {
			t.Fatalf("never registered by the first call: %v", err)
		}
		wantKey(t, s.client(), r)
	})
}

// P5: a DNS that says nothing keeps nobody from the members that its records named.
func TestP5SilentDNS(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		members := startCluster(t, binary)
		domain := "mute" + strings.TrimPrefix(members[0].url, "http://127.0.0.1:") + ".test"
		service := "_etcd-client._tcp." + domain + "."
		secure := "_etcd-client-ssl._tcp." + domain + "."
		inZone(func() {
			for _, m := range members {
				zone.srv[service] = append(zone.srv[service], strings.Replace(m.url, "http://127.0.0.1", "localhost", 1))
			}
		})
		r := registryOf(t, etcd.Config{DiscoverySRV: domain}, 20*time.Second)
		registerSoon(t, r)
		inZone(func() { zone.silent[service], zone.silent[secure] = 1000, 1000 })
		at := strings.Replace(r.client.Member(), "localhost", "127.0.0.1", 1)
		for _, m := range members {
			if m.url == at {
				m.kill()
			}
		}
		start := time.Now()
		registerSoon(t, r)
		t.Logf("figure: on another member after %s", time.Since(start).Round(time.Millisecond))
	})
}

// Records of members with TLS are preferred, and no DNS can take TLS away.
func TestSRVRecordsWithTLS(t *testing.T) {
	t.Parallel()
	inZone(func() {
		zone.srv["_etcd-client-ssl._tcp.both.test."] = []string{"a.both.test:1", "b.both.test:1"}
		zone.srv["_etcd-client._tcp.both.test."] = []string{"c.both.test:1"}
		zone.srv["_etcd-client._tcp.plain.test."] = []string{"c.plain.test:1"}
		zone.srv["_etcd-client._tcp.failing.test."] = []string{"c.failing.test:1"}
		zone.failing["_etcd-client-ssl._tcp.failing.test."] = true
	})
	for name, tt := range map[string]struct {
		config etcd.Config
		urls   []string
		err    string
	}{
		"both":        {etcd.Config{DiscoverySRV: "both.test"}, []string{"https://a.both.test:1", "https://b.both.test:1"}, ""},
		"plain":       {etcd.Config{DiscoverySRV: "plain.test"}, []string{"http://c.plain.test:1"}, ""},
		"TLS wanted":  {etcd.Config{DiscoverySRV: "plain.test", DiscoveryTLS: true}, nil, "no SRV records _etcd-client-ssl._tcp.plain.test"},
		"none":        {etcd.Config{DiscoverySRV: "none.test"}, nil, "no SRV records _etcd-client-ssl._tcp.none.test or _etcd-client._tcp.none.test"},
		"DNS failing": {etcd.Config{DiscoverySRV: "failing.test"}, nil, "the DNS fails"},
	} {
		t.Run(name, func(t *testing.T) {
			r := registryOf(t, tt.config, 20*time.Second)
			used := map[string]bool{}
			for range 2 { // nobody is there: each call ends with the last one, and the next begins with the first
				err := r.Register(t.Context(), running)
				if err == nil || tt.err != "" && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("Register = %v, want %q", err, tt.err)
				}
				used[r.client.Member()] = true
				for _, u := range tt.urls {
					used[u] = used[u] || err != nil && strings.Contains(err.Error(), u)
				}
			}
			if tt.err == "" && slices.ContainsFunc(tt.urls, func(u string) bool { return !used[u] }) {
				t.Errorf("uses %v, want %q", used, tt.urls)
			}
		})
	}
}
