package port

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// What sock_diag(7) and linux/inet_diag.h say: struct inet_diag_req_v2, and struct
// inet_diag_msg, which answers it.
const (
	tcpListen = 10 // TCP_LISTEN

	requestLen     = unix.SizeofNlMsghdr + 56
	requestFamily  = unix.SizeofNlMsghdr
	requestProto   = unix.SizeofNlMsghdr + 1
	requestStates  = unix.SizeofNlMsghdr + 4
	requestSrcPort = unix.SizeofNlMsghdr + 8

	answerLen    = 72
	answerFamily = 0
	answerState  = 1
	answerPort   = 4
	answerSrc    = 8
	answerInode  = 68

	// mostAnswered is what fits into one read: netlink(7) wants 8 kB at least, and
	// sends what is more in the next.
	mostAnswered = 8 << 10
)

// diagnose asks the kernel for the listening sockets of a port alone.
func diagnose(port int) (found []Listener, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// The kernel answers at once, or something is very wrong.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	buf := make([]byte, mostAnswered)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := unix.Sendto(fd, request(family, port), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return nil, os.NewSyscallError("sendto", err)
		}
		of, err := answers(fd, port, buf)
		if err != nil {
			return nil, fmt.Errorf("sock_diag: %w", err)
		}
		found = append(found, of...)
	}
	return found, nil
}

func request(family byte, port int) []byte {
	b := make([]byte, requestLen)
	binary.NativeEndian.PutUint32(b, requestLen)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b[requestFamily], b[requestProto] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[requestStates:], 1<<tcpListen)
	binary.BigEndian.PutUint16(b[requestSrcPort:], uint16(port))
	return b
}

// answers reads the answer to one request, which ends with NLMSG_DONE.
func answers(fd, port int, buf []byte) (found []Listener, err error) {
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("recvfrom", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return nil, os.NewSyscallError("netlink message", err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				// With what went wrong, such as that there is no tcp_diag.
				if len(m.Data) >= 4 {
					if n := int32(binary.NativeEndian.Uint32(m.Data)); n < 0 {
						return nil, syscall.Errno(-n)
					}
				}
				return found, nil
			case unix.NLMSG_ERROR:
				if len(m.Data) < 4 {
					return nil, errors.New("an error without a number")
				}
				return nil, syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			}
			if l, ok := parseAnswer(m.Data, port); ok {
				found = append(found, l)
			}
		}
	}
}

// parseAnswer reads a struct inet_diag_msg. A socket that does not listen on the
// port is not ok: a kernel may take the request's port and states as a hint.
func parseAnswer(b []byte, port int) (l Listener, ok bool) {
	if len(b) < answerLen || b[answerState] != tcpListen || int(binary.BigEndian.Uint16(b[answerPort:])) != port {
		return l, false
	}
	width := 4
	if b[answerFamily] == unix.AF_INET6 {
		width = 16
	}
	ip, _ := netip.AddrFromSlice(b[answerSrc : answerSrc+width])
	return dialable(ip, port, binary.NativeEndian.Uint32(b[answerInode:])), true
}
