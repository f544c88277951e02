package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/docker/go-connections/nat"
)

// Published reads where Docker has published a port: an empty HostIp is how older engines
// write 0.0.0.0. What makes no sense may be complete a moment after the start.
func Published(b nat.PortBinding) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(cmp.Or(b.HostIP, "0.0.0.0"))
	if err != nil || ip.Zone() != "" { // a zone means something on this host alone
		return netip.AddrPort{}, fmt.Errorf("docker's answer: host IP %.64q: not an IP address that consumers can dial", b.HostIP)
	}
	port, err := strconv.ParseUint(b.HostPort, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("docker's answer: host port %.64q: not a port", b.HostPort)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}

// Reaches says whether what is published on one IP can be dialled at another, by all
// that the host itself does.
func Reaches(on, ip netip.Addr) bool {
	return on == ip || on.IsUnspecified() && on.Is4() == ip.Is4()
}
