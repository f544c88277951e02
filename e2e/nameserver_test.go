package e2e

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameserver answers at an IP, on the DNS's port, that there is this name at this host,
// and no other name. Without a name it answers nothing.
func nameserver(t *testing.T, ip, name, host string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", net.JoinHostPort(ip, "53"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if name == "" {
		return
	}
	go func() {
		packet := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			switch q := m.Questions[0]; {
			case q.Name.String() != name:
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(host).As4()},
				})
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
}

// P5: the first of two nameservers says nothing, and a name is looked for in four
// domains before it is found: the second one is asked at once from the second question on.
func TestP5SilentNameserverAndSearchList(t *testing.T) {
	t.Parallel()
	where, err := url.Parse(etcd.URL)
	if err != nil {
		t.Fatal(err)
	}
	nameserver(t, "127.0.53.1", "", "")
	nameserver(t, "127.0.53.2", "etcd-of-all.d.test.", where.Hostname())
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.53.1\nnameserver 127.0.53.2\nsearch a.test b.test c.test d.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := startApp(t)
	p := dockreg("--etcd", "http://etcd-of-all:"+where.Port(), "--port", port, "--host-port", port, "--ip", "127.0.0.1", "--key", "searched")
	p.Cmd = within(p.Cmd, "unshare", "--mount", "sh", "-c", "mount --bind "+conf+` /etc/resolv.conf && exec "$@"`, "sh")
	keys := follow(t)
	start := time.Now()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	wantPut(t, keys, "/searched/127.0.0.1:"+port, start, time.Minute)
	t.Logf("figure: registered after %s", time.Since(start).Round(time.Millisecond))
	p.terminate(t)
}
