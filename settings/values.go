package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"dockreg/record"
)

// anyText takes any text.
func anyText(text string) (string, error) { return text, nil }

func parsePort(text string) (uint16, error) {
	if strings.Contains(text, "://") {
		return 0, errors.New("not a port, but what a Docker link to a container called dockreg leaves there, or a Kubernetes service of such a name; unset it, or tell Kubernetes enableServiceLinks: false")
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("not a port; give a number from 1 to 65535")
	}
	return uint16(n), nil
}

func parseListenAddress(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if _, notIP := netip.ParseAddr(host); err != nil || !isPort(port) || host != "" && notIP != nil {
		return "", errors.New("not an address to listen at; give a port with a colon, or an IP and a port: :8379 or 127.0.0.1:8379")
	}
	return text, nil
}

func parseIP(text string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(text)
	_, portErr := netip.ParseAddrPort(text)
	const fix = "give the host's IP that consumers dial, such as 10.1.0.101 or 2001:db8::1"
	var none netip.Addr
	switch {
	case text == "":
		return none, errors.New("nothing is there, as where a variable is not set; " + fix)
	case portErr == nil:
		return none, errors.New("an IP with a port; leave the port to Docker or --host-port, and " + fix)
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		return none, errors.New("an IP in brackets; " + fix)
	case err != nil:
		return none, errors.New("not an IP address; " + fix)
	case ip.Unmap().IsUnspecified():
		return none, errors.New("stands for every IP, and nobody can dial it; " + fix)
	case ip.Unmap().IsMulticast() || ip.Unmap() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return none, errors.New("an IP of many hosts, not of one; " + fix)
	case ip.Zone() != "":
		return none, errors.New("has a zone, which means nothing on other hosts; " + fix)
	case ip.Is4In6():
		return none, fmt.Errorf("an IPv4 address written as IPv6; give %s", ip.Unmap())
	case ip.Is6() && ip.IsLinkLocalUnicast():
		return none, errors.New("a link-local IP, which means something in one network alone; " + fix)
	}
	return ip, nil
}

func parseKey(text string) (string, error) {
	switch {
	case text == "":
		return "", errors.New("empty; give the parent of the key, such as service")
	case strings.HasPrefix(text, "/") || strings.HasSuffix(text, "/"):
		return "", errors.New("starts or ends with a slash, which dockreg adds itself; give it without, such as service/web")
	}
	return text, record.CheckKey(text)
}

// Printable returns a text, quoted if a terminal would act on what is in it.
func Printable(text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// digits is a number that lacks its unit.
var digits = regexp.MustCompile(`^[0-9]+$`)

// parseTime reads a time from 0 on.
func parseTime(text string) (time.Duration, error) { return readTime(text, "2s") }

// readTime names a time that would be right.
func readTime(text, example string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case digits.MatchString(text) && text != "0":
		return 0, fmt.Errorf("no unit; give a time such as %ss", text)
	case err != nil:
		return 0, errors.New("not a time; give one such as 500ms, 5s or 1m30s")
	case d < 0:
		return 0, fmt.Errorf("negative; give a time such as %s", example)
	}
	return d, nil
}

// parseSpan reads a time above 0.
func parseSpan(text string) (time.Duration, error) { return readSpan(text, "3s") }

func readSpan(text, example string) (time.Duration, error) {
	d, err := readTime(text, example)
	if err == nil && d == 0 {
		err = fmt.Errorf("too short; give a time above 0, such as %s", example)
	}
	return d, err
}

// mostTTL is etcd's (server/lease, MaxLeaseTTL).
const mostTTL = 9_000_000_000 * time.Second

// parseTTL reads a time in etcd's unit.
func parseTTL(text string) (time.Duration, error) {
	d, err := readSpan(text, "20s")
	if err == nil && d%time.Second != 0 {
		err = fmt.Errorf("etcd counts whole seconds; give %s", d.Truncate(time.Second)+time.Second)
	}
	if err == nil && d > mostTTL {
		err = fmt.Errorf("longer than etcd's longest; give at most %s", mostTTL)
	}
	return d, err
}

func parseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errors.New("not a count; give a number from 1 on")
	}
	return n, nil
}

func parseBool(text string) (bool, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New("neither true nor false; give one of them")
	}
	return b, nil
}

// oneOf takes the names of values.
func oneOf[T any](kind, names string, values map[string]T) func(string) (T, error) {
	return func(text string) (T, error) {
		value, ok := values[text]
		if !ok {
			return value, fmt.Errorf("no such %s; give %s", kind, names)
		}
		return value, nil
	}
}

func isPort(text string) bool {
	_, err := parsePort(text)
	return err == nil
}

// hostName is what a certificate may be for, if it is no IP.
var hostName = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?$`)

func isIP(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}
