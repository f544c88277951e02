package main

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// parser reads single settings, and notes in wrong what is wrong with them.
type parser struct {
	source
	wrong *mistakes
}

// require notes that a setting is missing, unless it is there, or known to be
// wrong.
func (p parser) require(name, mend string) {
	if v := p.value(name); !v.given && !p.wrong.named[name] {
		p.wrong.add(name, "--%s: required; %s", name, mend)
	}
}

// port returns 0 for a port that is not given, or wrong.
func (p parser) port(name string) uint16 {
	v := p.value(name)
	if !v.given {
		return 0
	}
	n, err := strconv.ParseUint(v.text, 10, 16)
	if err != nil || n == 0 {
		p.wrong.blame(v, "not a port; give a number from 1 to 65535")
		return 0
	}
	return uint16(n)
}

// ip returns the zero Addr for an IP that is not given, or wrong.
func (p parser) ip() netip.Addr {
	v := p.value("ip")
	if !v.given {
		return netip.Addr{}
	}
	ip, err := netip.ParseAddr(v.text)
	_, portErr := netip.ParseAddrPort(v.text)
	const mend = "give the host's IP that consumers dial, such as 10.1.0.101 or 2001:db8::1"
	switch {
	case portErr == nil:
		p.wrong.blame(v, "an IP with a port; leave the port to Docker or --host-port, and %s", mend)
	case strings.HasPrefix(v.text, "[") && strings.HasSuffix(v.text, "]"):
		p.wrong.blame(v, "an IP in brackets; %s", mend)
	case err != nil:
		p.wrong.blame(v, "not an IP address; %s", mend)
	case ip.Unmap().IsUnspecified():
		p.wrong.blame(v, "stands for every IP, and nobody can dial it; %s", mend)
	case ip.Unmap().IsMulticast() || ip.Unmap() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		p.wrong.blame(v, "an IP of many hosts, not of one; %s", mend)
	case ip.Zone() != "":
		p.wrong.blame(v, "has a zone, which means nothing on other hosts; %s", mend)
	case ip.Is4In6():
		p.wrong.blame(v, "an IPv4 address written as IPv6; give %s", ip.Unmap())
	default:
		return ip
	}
	return netip.Addr{}
}

func (p parser) key() string {
	v := p.value("key")
	segments := strings.Split(v.text, "/")
	switch {
	case v.text == "":
		p.wrong.blame(v, "empty; give the parent of the key, such as service")
	case strings.HasPrefix(v.text, "/") || strings.HasSuffix(v.text, "/"):
		p.wrong.blame(v, "starts or ends with a slash, which dockreg adds itself; give it without, such as service/web")
	case slices.Contains(segments, "") || slices.Contains(segments, ".") || slices.Contains(segments, ".."):
		p.wrong.blame(v, "has a part that is empty, . or ..; give names with a slash between, such as service/web")
	case !utf8.ValidString(v.text) || strings.ContainsFunc(v.text, unicode.IsControl):
		p.wrong.blame(v, "has a control character, or is not UTF-8; give plain text, such as service/web")
	}
	return v.text
}

// digits is a number that lacks its unit.
var digits = regexp.MustCompile(`^[0-9]+$`)

// duration reads a time that must be above 0: but the drain, which may be 0.
func (p parser) duration(name string) time.Duration {
	v := p.value(name)
	d, err := time.ParseDuration(v.text)
	switch {
	case digits.MatchString(v.text) && v.text != "0":
		p.wrong.blame(v, "no unit; give a time such as %ss", v.text)
	case err != nil:
		p.wrong.blame(v, "not a time; give one such as 500ms, 5s or 1m30s")
	case d < 0:
		p.wrong.blame(v, "negative; give a time such as %s", v.fallback)
	case d == 0 && name != "drain":
		p.wrong.blame(v, "too short; give a time above 0, such as %s", v.fallback)
	case name == "ttl" && d%time.Second != 0:
		p.wrong.blame(v, "etcd counts whole seconds; give %s", d.Truncate(time.Second)+time.Second)
	}
	return d
}

func (p parser) count(name string) int {
	v := p.value(name)
	n, err := strconv.Atoi(v.text)
	if err != nil || n < 1 {
		p.wrong.blame(v, "not a count; give a number from 1 on")
	}
	return n
}

func (p parser) boolean(name string) bool {
	v := p.value(name)
	if !v.given {
		return false
	}
	b, err := strconv.ParseBool(v.text)
	if err != nil {
		p.wrong.blame(v, "neither true nor false; give one of them")
	}
	return b
}

func (p parser) level() slog.Level {
	v := p.value("log-level")
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[v.text]
	if !ok {
		p.wrong.blame(v, "no such level; give debug, info, warn or error")
	}
	return level
}

func (p parser) logFormat() string {
	v := p.value("log-format")
	if v.text != "text" && v.text != "json" {
		p.wrong.blame(v, "no such format; give text or json")
	}
	return v.text
}

// containerName is what Docker takes as a container's name, of two characters or
// more; an id is one too.
var containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func (p parser) container() string {
	v := p.value("container")
	if v.given && !containerName.MatchString(v.text) {
		p.wrong.blame(v, "not a container's id or name; give what docker ps shows")
	}
	return v.text
}

// docker returns Docker's address as a URL.
func (p parser) docker() string {
	v := p.value("docker")
	const mend = "give a path, unix:///path or tcp://host:port"
	scheme, rest, ok := strings.Cut(v.text, "://")
	if !ok {
		scheme, rest = "unix", v.text
	}
	switch scheme {
	case "tcp":
		if host, port, err := net.SplitHostPort(rest); err != nil || host == "" || strings.Contains(host, "@") || !isPort(port) {
			p.wrong.add(v.name, "%s %q: no host and port after tcp://; %s", v.label, redact(v.text), mend)
		}
	case "unix":
		if !strings.HasPrefix(rest, "/") {
			p.wrong.blame(v, "not an absolute path; %s", mend)
			break
		}
		// A path where nothing is may get its socket later.
		info, err := os.Stat(rest)
		switch {
		case err != nil:
		case info.IsDir():
			p.wrong.blame(v, "a folder, not a socket; docker run -v makes one where the host has no such file: mount the socket, and give its path")
		case info.Mode().Type() != os.ModeSocket:
			p.wrong.blame(v, "a file, not a socket; give the path of Docker's socket")
		}
	default:
		p.wrong.add(v.name, "%s %q: can't talk to Docker by %s://; %s", v.label, redact(v.text), redact(scheme), mend)
	}
	return scheme + "://" + rest
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// redact hides what stands before an @ in an address, whatever else is wrong
// with it.
func redact(address string) string {
	at := strings.LastIndex(address, "@")
	if at < 0 {
		return address
	}
	scheme, _, ok := strings.Cut(address[:at], "://")
	if !ok {
		return "…" + address[at:]
	}
	return scheme + "://…" + address[at:]
}
