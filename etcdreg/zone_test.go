package etcdreg

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what the tests' DNS server knows. Every name of the tests ends in .test.
var zone = struct {
	sync.Mutex
	hosts   map[string][]netip.Addr // by "name."
	srv     map[string][]string     // host:port, by "_service._tcp.name."
	failing map[string]bool         // names that the server fails to look up
	silent  map[string]int          // how many questions about a name it leaves unanswered
}{hosts: map[string][]netip.Addr{}, srv: map[string][]string{}, failing: map[string]bool{}, silent: map[string]int{}}

func inZone(change func()) {
	zone.Lock()
	defer zone.Unlock()
	change()
}

// startDNS makes this process resolve names by a DNS server of its own, on UDP.
func startDNS() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	go func() {
		packet := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer, err := resolve(packet[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return nil
}

func ips(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

func resolve(packet []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.RecursionAvailable, m.Additionals = true, true, true, nil
	q := m.Questions[0]
	name := q.Name.String()
	head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
	zone.Lock()
	defer zone.Unlock()
	host, known := zone.hosts[name]
	records := zone.srv[name]
	if zone.silent[name] > 0 {
		zone.silent[name]--
		return nil, errors.New("no answer")
	}
	switch {
	case zone.failing[name]:
		m.RCode = dnsmessage.RCodeServerFailure
	case !known && len(records) == 0:
		m.RCode = dnsmessage.RCodeNameError
	case known && q.Type == dnsmessage.TypeA:
		for _, ip := range host {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: ip.As4()}})
		}
	case q.Type == dnsmessage.TypeSRV:
		for _, r := range records {
			target, port, _ := strings.Cut(r, ":")
			number, _ := strconv.ParseUint(port, 10, 16)
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.SRVResource{
				Priority: 10, Weight: 10, Port: uint16(number), Target: dnsmessage.MustNewName(target + "."),
			}})
		}
	}
	return m.Pack()
}
