package docker

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"

	"dockreg/sidekick/docker/engine"
)

// address picks the address at which the app's port is published, and where Docker has
// published that, out of what Docker says about the container. ip is the host IP to
// register, or invalid.
func address(c container.InspectResponse, port int, ip netip.Addr) (at, on netip.AddrPort, err error) {
	mode := c.HostConfig.NetworkMode
	if mode.IsHost() {
		if !ip.IsValid() {
			return at, on, permanent(ErrNoHostIP, "the container uses the host's network (--network host)")
		}
		at = netip.AddrPortFrom(ip, uint16(port))
		return at, at, nil
	}
	if mode.IsNone() {
		return at, on, permanent(ErrNoNetwork, "%.12s was started with --network none, so that port %d can't be published; start it with: docker run -p %d …", c.ID, port, port)
	}

	wanted := nat.Port(fmt.Sprintf("%d/tcp", port))
	bindings, err := parseBindings(c.NetworkSettings.Ports[wanted])
	if err != nil {
		return at, on, err
	}
	if len(bindings) == 0 {
		if asked(c, wanted) {
			return at, on, fmt.Errorf("%w port %d", ErrNotYet, port)
		}
		return at, on, permanent(ErrNotPublished, "port %d of container %.12s (%s); start it with: docker run -p %d …",
			port, c.ID, published(c.NetworkSettings.Ports), port)
	}
	if on, err = choose(bindings, port, ip); err != nil {
		return at, on, err
	}
	if !ip.IsValid() {
		return on, on, nil
	}
	return netip.AddrPortFrom(ip, on.Port()), on, nil
}

// arrivals returns the container's own IPs: to one of them Docker forwards the
// connections of consumers. There are none in the host's network, and where an engine,
// such as podman without root, forwards in other ways.
func arrivals(c container.InspectResponse) (ips []netip.Addr) {
	for _, n := range c.NetworkSettings.Networks {
		if n == nil {
			continue
		}
		for _, s := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if ip, err := netip.ParseAddr(s); err == nil {
				ips = append(ips, ip)
			}
		}
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	return ips
}

// asked says whether the container was started with wanted to be published, so
// that Docker will publish it.
func asked(c container.InspectResponse, wanted nat.Port) bool {
	if _, ok := c.HostConfig.PortBindings[wanted]; ok {
		return true
	}
	_, exposed := c.Config.ExposedPorts[wanted]
	return exposed && c.HostConfig.PublishAllPorts
}

func parseBindings(bindings []nat.PortBinding) ([]netip.AddrPort, error) {
	var parsed []netip.AddrPort
	for _, b := range bindings {
		on, err := engine.Published(b)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, on)
	}
	return parsed, nil
}

// choose takes, with ip given, the binding on that very IP; if there is none, the one on
// every IP of its family; if there is none, one that something in front of the host may
// translate ip to, of its family before another one. That can't be where one of the two
// is a loopback address. Without ip it takes the first one on a specific IP, IPv4 first.
func choose(bindings []netip.AddrPort, port int, ip netip.Addr) (netip.AddrPort, error) {
	slices.SortStableFunc(bindings, func(a, b netip.AddrPort) int {
		return cmp.Compare(a.Addr().BitLen(), b.Addr().BitLen()) // IPv4 first
	})
	if !ip.IsValid() {
		for _, b := range bindings {
			if !b.Addr().IsUnspecified() {
				return b, nil
			}
		}
		return netip.AddrPort{}, permanent(ErrNoHostIP, "port %d is published on %s, which is every IP of the host (docker run -p 10.1.0.101::%d … would name one)",
			port, join(bindings), port)
	}
	for _, fits := range []func(netip.Addr) bool{
		func(a netip.Addr) bool { return a == ip },
		func(a netip.Addr) bool { return engine.Reaches(a, ip) },
		func(a netip.Addr) bool { return !a.IsLoopback() && !ip.IsLoopback() && a.Is4() == ip.Is4() },
		func(a netip.Addr) bool { return !a.IsLoopback() && !ip.IsLoopback() },
	} {
		if i := slices.IndexFunc(bindings, func(b netip.AddrPort) bool { return fits(b.Addr()) }); i >= 0 {
			return bindings[i], nil
		}
	}
	return netip.AddrPort{}, permanent(ErrOutOfReach, "port %d is published on %s, which nobody can dial at %s; start it with: docker run -p %s:%d …",
		port, join(bindings), ip, net.JoinHostPort(ip.String(), ""), port)
}

func join(bindings []netip.AddrPort) string {
	var s []string
	for _, b := range bindings {
		s = append(s, b.String())
	}
	return strings.Join(s, " and ")
}

// published lists the published ports for a person, such as
// "published: 8080/tcp on 0.0.0.0:32768".
func published(ports nat.PortMap) string {
	var list []string
	for port, bindings := range ports {
		for _, b := range bindings {
			list = append(list, fmt.Sprintf("%s on %s", port, net.JoinHostPort(cmp.Or(b.HostIP, "0.0.0.0"), b.HostPort)))
		}
	}
	if len(list) == 0 {
		return "no port of it is"
	}
	slices.Sort(list)
	return "published: " + strings.Join(list, ", ")
}
