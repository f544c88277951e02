// Package port tells what the kernel knows of the app's port, without a word to the
// app: who listens on it, which processes hold it, and signs that they are gone.
package port

import (
	"errors"
	"fmt"
	"net/netip"
)

// Listener is a socket that listens on a TCP port.
type Listener struct {
	// Addr is where to dial it: a wildcard shows as the loopback address of its
	// family.
	Addr netip.AddrPort
	// Loopback says that it hears nobody outside: it listens on a loopback address, and
	// on no wildcard.
	Loopback bool
	// Inode identifies it, in /proc/<pid>/fd too.
	Inode uint32
}

// Listeners returns the sockets that listen on a TCP port in this network
// namespace; none at all is no error. It asks the kernel's socket diagnostics,
// sock_diag(7), Linux 3.3, which takes 0.1 ms. Where those are missing it reads
// /proc/net/tcp, which takes up to 30 ms, because that walks over every connection. An
// error says why neither can tell.
func Listeners(port int) ([]Listener, error) {
	found, err := diagnose(port)
	if err == nil {
		return found, nil
	}
	found, procErr := readProc(port)
	if procErr != nil {
		return nil, fmt.Errorf("who listens on port %d: %w", port, errors.Join(err, procErr))
	}
	return found, nil
}

// dialable makes a listener of what the kernel has.
func dialable(ip netip.Addr, port int, inode uint32) Listener {
	ip = ip.Unmap()
	loopback := ip.IsLoopback()
	switch ip {
	case netip.IPv4Unspecified():
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		ip = netip.IPv6Loopback()
	}
	return Listener{netip.AddrPortFrom(ip, uint16(port)), loopback, inode}
}
