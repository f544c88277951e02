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

	"github.com/docker/docker/api/types/container"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
	"dockreg/sidekick/docker/engine"
)

// willTimeout bounds how long it takes to take a will: Docker is asked, and an etcd that may
// be late to connect and to answer.
const willTimeout = askTimeout + 4*etcd.Timeout

var (
	errNoWills  = errors.New("no last wills are taken here: the service was given no etcd")
	errForeign  = errors.New("not of an address at which Docker publishes a port of the container: neither on an IP of the host's interfaces nor on one that dockreg host was given with --ip")
	errHostMode = errors.New("the container uses the host's network, in which no address is one container's own")
)

// answerWill answers what is said about a will: what it is (PUT), that there is none any
// more (DELETE). A will is a lease. The answer to PUT goes on until this service ends, so
// that the sidekick knows when to say it again. With GET it is asked whether the will of a
// container with some address would be taken.
func (s *Service) answerWill(ctx context.Context, c *conn, method, what string) (reply, error) {
	if s.wills == nil {
		return reply{}, refuse(http.StatusNotFound, errNoWills)
	}
	ctx, cancel := context.WithTimeout(ctx, willTimeout)
	defer cancel()
	networks, err := s.askDocker(ctx, c.caller)
	if err != nil {
		return reply{}, err
	}
	own, network := networks[0], networks[len(networks)-1]
	id, _ := strconv.ParseInt(what, 16, 64)
	switch {
	case method == http.MethodGet:
		return reply{status: http.StatusNoContent}, s.wouldTake(ctx, network, what)
	case method == http.MethodDelete && id > 0:
		return reply{status: http.StatusNoContent}, s.wills.withdraw(own.ID, clientv3.LeaseID(id))
	case method != http.MethodPut || id <= 0:
		return reply{}, refuse(http.StatusForbidden, errForbidden)
	}
	will := &lastWill{container: own.ID, lease: clientv3.LeaseID(id), withdrawn: make(chan struct{})}
	if will.keys, will.ttl, err = s.wills.leases.keys(ctx, will.lease); err != nil {
		return reply{}, err
	}
	if err := s.ownKeys(network, will.keys); err != nil {
		return reply{}, refuse(http.StatusForbidden, err)
	}
	keys := will.keys
	if will, err = s.wills.take(ctx, func() (*firstProcess, error) { return s.containers.hold(own.ID) }, will); err != nil {
		return reply{}, err
	}
	s.Log.Debug("took a last will", "keys", shown(keys), "container", short(own.ID), "lease", what)
	return reply{goesOn: func(ctx context.Context) {
		defer s.wills.leave(will)
		select {
		case <-will.withdrawn:
		case <-ctx.Done(): // the sidekick has ended, or this service is about to
		}
	}}, nil
}

// wouldTake says whether the will of a container with this address would be taken now.
func (s *Service) wouldTake(ctx context.Context, network container.InspectResponse, address string) error {
	if err := s.ownKeys(network, []string{address}); err != nil {
		return refuse(http.StatusForbidden, err)
	}
	return s.wills.leases.reached(ctx)
}

// ownKeys says whether keys are of an address at which Docker publishes a port of the
// container: one of them at least, and none of another one's. No other container's lease has
// a key with this one's address on it.
func (s *Service) ownKeys(c container.InspectResponse, keys []string) error {
	if c.HostConfig.NetworkMode.IsHost() {
		return errHostMode
	}
	ips, err := hostIPs()
	if err != nil {
		return err
	}
	own := false
	for _, key := range keys {
		addresses := record.AddressesIn(key)
		if slices.ContainsFunc(addresses, func(at netip.AddrPort) bool { return !s.publishes(c, at, ips) }) {
			return fmt.Errorf("%q is %w", key, errForeign)
		}
		own = own || addresses != nil
	}
	if !own {
		return fmt.Errorf("%q is %w", keys[0], errForeign)
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
