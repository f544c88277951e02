package etcd

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// hosts looks up what the DNS, or /etc/hosts, says, and remembers what it said, and
// which nameserver did. It is safe for concurrent use.
type hosts struct {
	resolver *net.Resolver

	mu        sync.Mutex
	known     map[string][]netip.Addr // by host, as last looked up
	answering string                  // the nameserver that answered last; "": none, or it doesn't any more
	silent    map[string]time.Time    // nameservers that said nothing when they were last asked, and when that was
}

func newHosts() *hosts {
	h := &hosts{known: map[string][]netip.Addr{}, silent: map[string]time.Time{}}
	h.resolver = &net.Resolver{PreferGo: true, Dial: h.dial}
	return h
}

// lookUpTimeout is how long something may be looked up that was known before: a DNS
// that does not answer must not keep from the members that are known.
const lookUpTimeout = 500 * time.Millisecond

// addresses returns a host's, or what they last were if the DNS doesn't answer. They are in
// an order at random, so that not all of a fleet goes to the first one, except that the
// family that Go would dial comes first.
func (h *hosts) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	h.mu.Lock()
	known := h.known[host]
	h.mu.Unlock()
	if known != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lookUpTimeout)
		defer cancel()
	}
	found, err := h.resolver.LookupNetIP(ctx, "ip", host)
	var dns *net.DNSError
	notFound := errors.As(err, &dns) && dns.IsNotFound
	if err != nil && known != nil && (!notFound || h.standsIn()) {
		return known, nil
	}
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	if err != nil {
		return nil, err
	}
	for i, ip := range found {
		found[i] = ip.Unmap()
	}
	first := found[0].Is4()
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	slices.SortStableFunc(found, func(a, b netip.Addr) int {
		switch {
		case a.Is4() == b.Is4():
			return 0
		case a.Is4() == first:
			return -1
		}
		return 1
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known[host] = found
	return found, nil
}

// count returns how many addresses a host last had; 1 if that is not known.
func (h *hosts) count(host string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(1, len(h.known[host]))
}

// dial connects to a nameserver: to the one that answers, in place of one that doesn't.
//
// Go's resolver waits 5 s for a nameserver before it asks the next one [measured], and
// begins with the first one again for each domain of a search list, which is longer than
// any connecting here lasts: with the first one dead, no name would ever be known.
func (h *hosts) dial(ctx context.Context, network, address string) (net.Conn, error) {
	address = h.nameserver(address)
	dial := (&net.Dialer{}).DialContext
	if net.DefaultResolver.Dial != nil { // the process has a way of its own
		dial = net.DefaultResolver.Dial
	}
	conn, err := dial(ctx, network, address)
	if udp, ok := conn.(*net.UDPConn); ok && err == nil {
		return &nameserver{UDPConn: udp, hosts: h, address: address}, nil
	}
	return conn, err
}

// silentFor is how long a nameserver that said nothing is passed over. The other one may
// know less.
const silentFor = 10 * time.Second

// nameserver returns which one to ask in place of one.
func (h *hosts) nameserver(address string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.silent[address]) < silentFor {
		return cmp.Or(h.answering, address)
	}
	return address
}

// standsIn says whether a nameserver is asked in place of another one.
func (h *hosts) standsIn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for address, at := range h.silent {
		if time.Since(at) < silentFor && address != h.answering {
			return h.answering != ""
		}
	}
	return false
}

// heard takes in whether a nameserver said something.
func (h *hosts) heard(address string, something bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if something {
		h.answering = address
		delete(h.silent, address)
		return
	}
	h.silent[address] = time.Now()
	if h.answering == address {
		h.answering = ""
	}
}

// nameserver is a connection to one, which is not waited for longer than this. The
// last one to be asked has its answer by the next try, which is soon.
type nameserver struct {
	*net.UDPConn
	hosts   *hosts
	address string
	hurried bool // the caller has less time than that
}

const nameserverTimeout = 400 * time.Millisecond

// SetDeadline sets t, or an earlier one.
func (c *nameserver) SetDeadline(t time.Time) error {
	soon := time.Now().Add(nameserverTimeout)
	if c.hurried = !t.IsZero() && t.Before(soon); !c.hurried {
		t = soon
	}
	return c.UDPConn.SetDeadline(t)
}

// Read is how the resolver reads an answer.
func (c *nameserver) Read(p []byte) (int, error) {
	n, err := c.UDPConn.Read(p)
	if err == nil || !c.hurried {
		c.hosts.heard(c.address, err == nil)
	}
	return n, err
}
