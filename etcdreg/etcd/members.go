package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// members are etcd's, one of which is in use.
type members struct {
	hosts  *hosts
	domain string // whose SRV records name them; empty: urls are given
	secure bool   // speak TLS with all that domain names

	urls  []string
	inUse int       // index of the one in use
	stale bool      // the records are to be looked up, again
	tried time.Time // when they were last looked up while some were known
}

func newMembers(c Config) members {
	m := members{hosts: newHosts(), domain: c.DiscoverySRV, secure: c.DiscoveryTLS, urls: c.Endpoints, stale: c.DiscoverySRV != ""}
	if len(m.urls) > 0 {
		m.inUse = rand.N(len(m.urls)) // not all of a fleet on the first one
	}
	return m
}

// current returns the URL of the member in use, or what is known of it.
func (m *members) current() string {
	if len(m.urls) == 0 {
		return m.domain
	}
	return m.urls[m.inUse]
}

// count returns how many members there are, as far as is known: each address of a name
// may be one. It is 1 at least.
func (m *members) count() (count int) {
	for _, u := range m.urls {
		count += m.hosts.count(hostOf(u))
	}
	return max(1, count)
}

// hostOf returns the host in a member's URL.
func hostOf(member string) string {
	u, err := url.Parse(member)
	if err != nil { // settings and records make none like that
		return ""
	}
	return u.Hostname()
}

// advance makes another member the one in use, after looking which there are.
func (m *members) advance() {
	if len(m.urls) > 0 {
		m.inUse = (m.inUse + 1) % len(m.urls)
	}
	m.stale = m.domain != "" && time.Since(m.tried) > lookUpEvery
}

// lookUpEvery is how far apart the records are looked up at least.
const lookUpEvery = 2 * time.Second

// refresh looks up the records if that is due. A list that can't be looked up stays
// as it was; one that changed is begun from its first, which the records' weights
// choose at random.
func (m *members) refresh(ctx context.Context) error {
	if !m.stale {
		return nil
	}
	if len(m.urls) > 0 {
		m.tried = time.Now()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lookUpTimeout)
		defer cancel()
	}
	found, err := m.lookUp(ctx)
	if err != nil && len(m.urls) == 0 {
		return err
	}
	if err == nil && !sameSet(found, m.urls) {
		m.urls, m.inUse = found, 0
	}
	m.stale = false
	return nil
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// lookUp asks the DNS for etcd's members, as etcd's own tools do: the service
// etcd-client-ssl is spoken to with TLS, etcd-client without
// (https://etcd.io/docs/v3.5/op-guide/clustering/#dns-discovery). Where there are
// records of the first, the second's are not used.
func (m *members) lookUp(ctx context.Context) (urls []string, err error) {
	services := []struct{ name, scheme string }{{"etcd-client-ssl", "https"}, {"etcd-client", "http"}}
	if m.secure {
		services = services[:1]
	}
	for _, s := range services {
		_, records, lookUpErr := m.hosts.resolver.LookupSRV(ctx, s.name, "tcp", m.domain)
		var dns *net.DNSError
		if lookUpErr != nil && (!errors.As(lookUpErr, &dns) || !dns.IsNotFound) {
			// Not on to the next: a DNS that fails must not take TLS away.
			return nil, fmt.Errorf("look up the SRV records _%s._tcp.%s: %w", s.name, m.domain, dnsReason(lookUpErr))
		}
		for _, r := range records {
			host := net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port)))
			urls = append(urls, s.scheme+"://"+host)
		}
		if len(urls) > 0 {
			return urls, nil
		}
	}
	if m.secure {
		return nil, fmt.Errorf("the DNS has no SRV records _etcd-client-ssl._tcp.%s", m.domain)
	}
	return nil, fmt.Errorf("the DNS has no SRV records _etcd-client-ssl._tcp.%s or _etcd-client._tcp.%s", m.domain, m.domain)
}
