package docker

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"
)

// address picks the address at which the app's port is published, out of what
// Docker says about the container. ip is the host IP to register, or invalid.
func address(c container.InspectResponse, port int, ip netip.Addr) (netip.AddrPort, error) {
	mode := c.HostConfig.NetworkMode
	if mode.IsHost() {
		if !ip.IsValid() {
			return netip.AddrPort{}, permanent(ErrNoHostIP, "the container uses the host's network (--network host)")
		}
		return netip.AddrPortFrom(ip, uint16(port)), nil
	}
	if mode.IsNone() {
		return netip.AddrPort{}, permanent(ErrNoNetwork, "%.12s was started with --network none, so that port %d can't be published; start it with: docker run -p %d …", c.ID, port, port)
	}

	wanted := nat.Port(fmt.Sprintf("%d/tcp", port))
	bindings, err := parseBindings(c.NetworkSettings.Ports[wanted])
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(bindings) == 0 {
		if asked(c, wanted) {
			return netip.AddrPort{}, fmt.Errorf("docker has not published port %d yet", port)
		}
		return netip.AddrPort{}, permanent(ErrNotPublished, "port %d of container %.12s (%s); start it with: docker run -p %d …",
			port, c.ID, published(c.NetworkSettings.Ports), port)
	}
	return choose(bindings, port, ip)
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

// parseBindings reads Docker's bindings: an empty HostIp is how older engines write
// 0.0.0.0. What makes no sense may be complete a moment after the start.
func parseBindings(bindings []nat.PortBinding) ([]netip.AddrPort, error) {
	var parsed []netip.AddrPort
	for _, b := range bindings {
		ip, err := netip.ParseAddr(cmp.Or(b.HostIP, "0.0.0.0"))
		if err != nil || ip.Zone() != "" { // a zone means something on this host alone
			return nil, fmt.Errorf("docker's answer: host IP %.64q: not an IP address that consumers can dial", b.HostIP)
		}
		port, err := strconv.ParseUint(b.HostPort, 10, 16)
		if err != nil || port == 0 {
			return nil, fmt.Errorf("docker's answer: host port %.64q: not a port", b.HostPort)
		}
		parsed = append(parsed, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return parsed, nil
}

// choose takes, with ip given, the binding on that very IP; if there is none, one of
// its family, every IP before another one; if there is none, the first one, IPv4
// first. Without ip it takes the first one on a specific IP, IPv4 first.
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
		func(a netip.Addr) bool { return a.Is4() == ip.Is4() && a.IsUnspecified() },
		func(a netip.Addr) bool { return a.Is4() == ip.Is4() },
	} {
		if i := slices.IndexFunc(bindings, func(b netip.AddrPort) bool { return fits(b.Addr()) }); i >= 0 {
			return netip.AddrPortFrom(ip, bindings[i].Port()), nil
		}
	}
	return netip.AddrPortFrom(ip, bindings[0].Port()), nil
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
