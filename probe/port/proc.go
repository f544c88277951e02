package port

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// readProc reads the listening sockets of a port out of /proc. It is for where
// sock_diag(7) does not answer, and apps listen elsewhere than on 127.0.0.1 all the same:
//
//   - gVisor (docker run --runtime runsc), whose sock_diag lists no sockets;
//   - qemu-user (docker run --platform with another processor's), which has no
//     NETLINK_SOCK_DIAG;
//   - a kernel without CONFIG_INET_TCP_DIAG, or without that module at hand;
//   - a seccomp profile that denies AF_NETLINK, unlike Docker's default one.
func readProc(port int) (found []Listener, err error) {
	var errs []error
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(file)
		if err != nil {
			errs = append(errs, err)
			continue // no IPv6, most likely
		}
		of, err := parseProc(f, port)
		_ = f.Close()
		if err != nil {
			return nil, err
		}
		found = append(found, of...)
	}
	if len(errs) == 2 {
		return nil, errors.Join(errs...)
	}
	return found, nil
}

// parseProc reads the lines of proc_pid_net(5)'s tcp or tcp6:
//
//	sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …
//	 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   0       0 12345 …
//
// An address is written as 32-bit words in the machine's own byte order.
func parseProc(r io.Reader, port int) (found []Listener, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != "0A" { // TCP_LISTEN
			continue
		}
		addr, hexPort, _ := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(hexPort, 16, 16)
		if err != nil || int(n) != port {
			continue
		}
		raw, err := hex.DecodeString(addr)
		if err != nil || len(raw)%4 != 0 {
			continue
		}
		for i := 0; i < len(raw); i += 4 {
			binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
		}
		ip, ok := netip.AddrFromSlice(raw)
		inode, err := strconv.ParseUint(fields[9], 10, 32)
		if !ok || err != nil {
			continue
		}
		found = append(found, dialable(ip, port, uint32(inode)))
	}
	return found, lines.Err()
}
