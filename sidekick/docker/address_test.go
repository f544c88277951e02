package docker

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"

	"dockreg/sidekick"
)

// inspected is what Docker says about one recorded container, and the bytes it
// says it with.
func inspected(t *testing.T, recorded string) (c container.InspectResponse, raw []byte) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "inspect", recorded+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c, raw
}

// addr reads an IP, or none.
func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

// mustSay fails the test unless err holds every one of these texts, begins with cause,
// and has it in its tree. It has to be permanent as cause is; what has no cause of its
// own, nil, may pass by itself.
func mustSay(t *testing.T, err, cause error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", texts)
	}
	var p *sidekick.PermanentError
	if want := cause != nil && !errors.Is(cause, ErrNotDocker); errors.As(err, &p) != want {
		t.Errorf("permanent %t, want %t: %v", !want, want, err)
	}
	for _, known := range []error{ErrNoHostIP, ErrNotPublished, ErrOutOfReach, ErrNoNetwork, ErrNoSuchContainer, ErrUnknownSelf, ErrNotDocker} {
		if is, want := errors.Is(err, known), errors.Is(cause, known); is != want {
			t.Errorf("%v: it is %q: %t, want %t", err, known, is, want)
		}
	}
	if cause != nil && !strings.HasPrefix(err.Error(), cause.Error()+": ") {
		t.Errorf("error %q, want it to begin with %q", err, cause)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q, want it to say %q", err, text)
		}
	}
	for _, flag := range []string{"--ip", "--port", "--host-port", "--container", "--docker", "DOCKREG_"} {
		if strings.Contains(err.Error(), flag) {
			t.Errorf("error %q names %s, of which this package knows nothing", err, flag)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		recorded string
		ip       string
		want     string
	}{
		// Docker publishes on a port of its own choice per family.
		"every IP, v4":    {"both", "10.1.0.101", "10.1.0.101:32797"},
		"every IP, v6":    {"both", "2001:db8::1", "[2001:db8::1]:32796"},
		"-P, v4":          {"publish-all", "10.1.0.101", "10.1.0.101:32798"},
		"-P, v6":          {"publish-all", "2001:db8::1", "[2001:db8::1]:32797"},
		"an older engine": {"old-engine", "10.1.0.101", "10.1.0.101:49153"},

		"one IP":                   {"specific", "", "127.0.0.1:18000"},
		"one IP, the same by --ip": {"specific", "127.0.0.1", "127.0.0.1:18000"},
		"one IPv6":                 {"specific-v6", "", "[::1]:18001"},
		"every IPv6, a v6 by --ip": {"every-v6", "2001:db8::1", "[2001:db8::1]:18012"},

		// As recorded, Docker names them in this order: [::1]:18003,
		// 127.0.0.2:18002, 127.0.0.1:32768.
		"several":                      {"several", "", "127.0.0.2:18002"},
		"several, one of them by --ip": {"several", "127.0.0.1", "127.0.0.1:32768"},
		"every IP before another one":  {"every-and-loopback", "10.1.0.101", "10.1.0.101:18010"},
		"several, the v6 by --ip":      {"several", "::1", "[::1]:18003"},

		"host networking, v4": {"host-network", "10.1.0.101", "10.1.0.101:8000"},
		"host networking, v6": {"host-network", "2001:db8::1", "[2001:db8::1]:8000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := inspected(t, tt.recorded)
			got, _, err := address(c, 8000, addr(tt.ip))
			if err != nil || got.String() != tt.want {
				t.Errorf("address %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// A mistake that waiting can't fix, with what can.
func TestAddressMisconfigured(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		recorded string
		ip       string
		cause    error
		want     []string
	}{
		"every IP, and no --ip":      {"both", "", ErrNoHostIP, []string{"0.0.0.0:32797 and [::]:32796", "every IP of the host", "docker run -p 10.1.0.101::8000"}},
		"every IPv6, and no --ip":    {"every-v6", "", ErrNoHostIP, []string{"[::]:18012"}},
		"older engine, and no --ip":  {"old-engine", "", ErrNoHostIP, []string{"0.0.0.0:49153"}},
		"host network, and no --ip":  {"host-network", "", ErrNoHostIP, []string{"--network host"}},
		"another port is published":  {"other-ports", "10.1.0.101", ErrNotPublished, []string{"port 8000", "9000/tcp on 0.0.0.0:18004", "9001/udp on 127.0.0.1:18005", "docker run -p 8000"}},
		"no port is published":       {"nothing", "10.1.0.101", ErrNotPublished, []string{"port 8000", "no port of it is", "docker run -p 8000"}},
		"loopback, another by --ip":  {"specific", "10.1.0.101", ErrOutOfReach, []string{"port 8000 is published on 127.0.0.1:18000", "nobody can dial at 10.1.0.101", "docker run -p 10.1.0.101::8000"}},
		"loopback, other family":     {"specific", "2001:db8::1", ErrOutOfReach, []string{"127.0.0.1:18000", "2001:db8::1", "docker run -p [2001:db8::1]::8000"}},
		"v6 loopback, another":       {"specific-v6", "2001:db8::1", ErrOutOfReach, []string{"[::1]:18001", "2001:db8::1"}},
		"v6 loopback, other family":  {"specific-v6", "10.1.0.101", ErrOutOfReach, []string{"[::1]:18001", "10.1.0.101"}},
		"several loopbacks, another": {"several", "10.1.0.101", ErrOutOfReach, []string{"127.0.0.2:18002 and 127.0.0.1:32768 and [::1]:18003", "10.1.0.101"}},
		"loopback, another one":      {"specific", "127.0.0.2", ErrOutOfReach, []string{"127.0.0.1:18000", "127.0.0.2"}},
		"no network, although asked": {"no-network", "10.1.0.101", ErrNoNetwork, []string{"port 8000", "--network none", "docker run -p 8000"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := inspected(t, tt.recorded)
			got, _, err := address(c, 8000, addr(tt.ip))
			if got.IsValid() {
				t.Errorf("address %v, want none", got)
			}
			mustSay(t, err, tt.cause, tt.want...)
		})
	}
}

// The app's port is TCP, whatever UDP port has the same number.
func TestAddressIsTCP(t *testing.T) {
	t.Parallel()
	c, _ := inspected(t, "other-ports")
	_, _, err := address(c, 9001, addr("10.1.0.101"))
	mustSay(t, err, ErrNotPublished, "port 9001", "9001/udp on 127.0.0.1:18005")
}

// Docker completes its answer a moment after the start, so it is asked again.
func TestAddressNotYet(t *testing.T) {
	t.Parallel()
	for name, recorded := range map[string]string{
		"-p":             "starting",
		"-p, Ports null": "starting-null",
		"-P":             "starting-all",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := inspected(t, recorded)
			_, _, err := address(c, 8000, addr("10.1.0.101"))
			mustSay(t, err, nil, "port 8000", "yet")
			// What was not asked for will not come.
			_, _, err = address(c, 8001, addr("10.1.0.101"))
			mustSay(t, err, ErrNotPublished, "port 8001")
		})
	}
}

// An IPv4 address may come in IPv6's clothes.
func TestAddressMapped(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{"::ffff:127.0.0.1": "127.0.0.1:8000", "::ffff:0.0.0.0": ""} {
		c, _ := inspected(t, "both")
		c.NetworkSettings.Ports["8000/tcp"] = []nat.PortBinding{{HostIP: ip, HostPort: "8000"}}
		at, _, err := address(c, 8000, netip.Addr{})
		if want == "" {
			mustSay(t, err, ErrNoHostIP, "every IP of the host")
		} else if err != nil || at.String() != want {
			t.Errorf("address %s, %v, want %s", at, err, want)
		}
	}
}

// An answer that makes no sense is never a reason to end.
func TestAddressNonsense(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		binding nat.PortBinding
		want    string
	}{
		"no port yet":      {nat.PortBinding{HostIP: "0.0.0.0"}, `host port ""`},
		"port 0":           {nat.PortBinding{HostIP: "0.0.0.0", HostPort: "0"}, `host port "0"`},
		"port above 65535": {nat.PortBinding{HostIP: "0.0.0.0", HostPort: "65536"}, `host port "65536"`},
		"port range":       {nat.PortBinding{HostIP: "0.0.0.0", HostPort: "8000-8010"}, `host port "8000-8010"`},
		"an IP of a zone":  {nat.PortBinding{HostIP: "fe80::1%eth0", HostPort: "8000"}, `host IP "fe80::1%eth0"`},
		"no IP":            {nat.PortBinding{HostIP: "app-host", HostPort: "8000"}, `host IP "app-host"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := inspected(t, "both")
			c.NetworkSettings.Ports["8000/tcp"] = []nat.PortBinding{tt.binding}
			_, _, err := address(c, 8000, addr("10.1.0.101"))
			mustSay(t, err, nil, tt.want)
		})
	}
}
