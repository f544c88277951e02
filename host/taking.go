package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
	"dockreg/sidekick/docker/engine"
)

// willTimeout bounds how long it takes to take a will: Docker is asked, and an etcd that may
// be late to connect and to answer.
const willTimeout = askTimeout + 4*etcd.Timeout

var (
	errNoWills  = errors.New("no last wills are taken here: the service was given no etcd")
	errForeign  = errors.New("a key hangs on the lease that is not of an address at which Docker publishes a port of the container, on an IP of the host's interfaces or one that the service was told")
	errHostMode = errors.New("the container uses the host's network, in which no address is one container's own")
)

// answerWill answers what is said about a will: whether there could be one (GET), what it
// is (PUT), that there is none any more (DELETE). A will is a lease. The answer to PUT
// goes on until this service ends, so that the sidekick knows when to say it again.
func (s *Service) answerWill(ctx context.Context, c *conn, method, lease string) (reply, error) {
	if s.wills == nil {
		return reply{}, refuse(http.StatusNotFound, errNoWills)
	}
	ctx, cancel := context.WithTimeout(ctx, willTimeout)
	defer cancel()
	own, network, err := s.askDocker(ctx, c.caller)
	if err != nil {
		return reply{}, err
	}
	id, _ := strconv.ParseInt(lease, 16, 64)
	switch {
	case method == http.MethodGet && lease == "":
		return reply{status: http.StatusNoContent}, nil
	case method == http.MethodDelete && id > 0:
		return reply{status: http.StatusNoContent}, s.wills.withdraw(own.ID, clientv3.LeaseID(id))
	case method != http.MethodPut || id <= 0:
		return reply{}, refuse(http.StatusForbidden, errForbidden)
	}
	l := &lastWill{container: own.ID, lease: clientv3.LeaseID(id), withdrawn: make(chan struct{})}
	if l.keys, l.ttl, err = s.wills.leases.keys(ctx, l.lease); err != nil {
		return reply{}, err
	}
	if err := s.ownKeys(network, l.keys); err != nil {
		return reply{}, refuse(http.StatusForbidden, err)
	}
	keys := l.keys
	if l, err = s.wills.take(ctx, func() (*first, error) { return s.containers.hold(own.ID) }, l); err != nil {
		return reply{}, err
	}
	s.Log.Debug("took a last will", "keys", keys, "container", short(own.ID), "lease", lease)
	return reply{goesOn: func(ctx context.Context) {
		defer s.wills.leave(l)
		select {
		case <-l.withdrawn:
		case <-ctx.Done(): // the sidekick has ended, or this service is about to
		}
	}}, nil
}

// ownKeys says whether keys are all of an address at which Docker publishes a port of the
// container.
func (s *Service) ownKeys(c container.InspectResponse, keys []string) error {
	if c.HostConfig.NetworkMode.IsHost() {
		return errHostMode
	}
	ips, err := hostIPs()
	if err != nil {
		return err
	}
	for _, key := range keys {
		at, err := netip.ParseAddrPort(key[strings.LastIndex(key, "/")+1:])
		if err != nil || !s.publishes(c, at, ips) {
			return fmt.Errorf("%w: %q", errForeign, key)
		}
	}
	return nil
}

// publishes says whether consumers that dial an address get to the container.
func (s *Service) publishes(c container.InspectResponse, at netip.AddrPort, ips []netip.Addr) bool {
	for port, bindings := range c.NetworkSettings.Ports {
		if port.Proto() != "tcp" {
			continue // its numbers are others: consumers dial another container's
		}
		for _, b := range bindings {
			on, err := engine.Published(b)
			if err != nil || on.Port() != at.Port() {
				continue
			}
			ip := at.Addr()
			switch own := slices.Contains(ips, ip); {
			case on.Addr() == ip,
				own && engine.Reaches(on.Addr(), ip),
				!own && slices.Contains(s.IPs, ip) && !on.Addr().IsLoopback(): // something in front translates
				return true
			}
		}
	}
	return false
}

// hostIPs returns the IPs of this host's interfaces.
func hostIPs() (ips []netip.Addr, err error) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("the host's IPs: %w", err)
	}
	for _, a := range found {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				ips = append(ips, ip.Unmap())
			}
		}
	}
	return ips, nil
}
