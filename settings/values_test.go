package settings

import (
	"net/netip"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// bad and good are one wrong and one right value of every setting that can be
// wrong.
var (
	bad = map[string]string{
		"port": "0", "ip": "::", "host-port": "65536", "key": "/service", "etcd": "ftp://a:1", "ttl": "8500ms", "check": "ping", "interval": "0s",
		"timeout": "0s", "rise": "0", "fall": "-1", "docker": "ssh://host", "container": "x", "drain": "-1s", "dry-run": "maybe", "log-level": "loud", "log-format": "xml",
		"etcd-cacert": "/proc/no/ca", "etcd-cert": "/proc/no/cert", "etcd-key": "/proc/no/key", "etcd-server-name": "a:1", "etcd-user": "joe:…", "etcd-password-file": "/proc/no/password",
		"etcd-discovery-srv": "a:1", "record": "dns", "meta": "x", "weight": "0", "host-name": "a/b", "status-socket": "run/s", "metrics": "8379",
	}
	good = map[string]string{
		"port": "8000", "ip": "10.1.0.101", "host-port": "9000", "key": "web", "etcd": "a:1", "ttl": "30s", "check": "tcp", "interval": "6s",
		"timeout": "2s", "rise": "2", "fall": "2", "docker": "/run/d.sock", "container": "web", "drain": "1s", "dry-run": "true", "log-level": "warn", "log-format": "json",
		"etcd-cacert": certFile, "etcd-cert": certFile, "etcd-key": keyFile, "etcd-server-name": "etcd-1", "etcd-user": "joe", "etcd-password-file": passwordFile,
		"etcd-discovery-srv": "example.org", "record": "dns:web.svc.example", "meta": "version=2", "weight": "10", "host-name": "app-1", "status-socket": "/run/s", "metrics": ":8379",
	}
	// beside is a setting that another one is wrong without.
	beside = map[string]string{"meta": "record", "weight": "record", "host-name": "record", "etcd-cert": "etcd-key", "etcd-key": "etcd-cert", "etcd-user": "etcd-password-file", "etcd-password-file": "etcd-user"}
)

// lineWithout is a command line that sets required settings, and of one setting
// nothing.
func lineWithout(name string) []string {
	var args []string
	for _, required := range []string{"port", "etcd", "ip", beside[name]} {
		if name == "etcd-discovery-srv" && required == "etcd" {
			continue // in place of which it stands
		}
		if required == "record" {
			args = append(args, "--record", "grpc:web", "--record", "/by/{{.IP}}{{if eq .Port `1`}}{{.Host}}{{end}}=x")
		} else if required != name && required != "" {
			args = append(args, "--"+required, good[required])
		}
	}
	return args
}

// P9: a mistake in the environment is one too, and the message names the variable.
func TestP9Environment(t *testing.T) {
	set, _ := all()
	for _, s := range set.all {
		if s.Name == "value" { // any text will do
			continue
		}
		env := map[string]string{envName(s.Name): bad[s.Name]}
		_, lines := configOf(t, env, lineWithout(s.Name)...)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], envName(s.Name)+` "`+bad[s.Name]+`": `) {
			t.Errorf("%s=%s: %q, want one line that names both", envName(s.Name), bad[s.Name], lines)
		}
		// The flag beats it, and then it doesn't matter.
		if _, lines := configOf(t, env, append(lineWithout(s.Name), "--"+s.Name+"="+good[s.Name])...); lines != nil {
			t.Errorf("%s=%s beside --%s=%s: %q", envName(s.Name), bad[s.Name], s.Name, good[s.Name], lines)
		}
		// A flag that is wrong is not saved by it.
		env[envName(s.Name)] = good[s.Name]
		_, lines = configOf(t, env, append(lineWithout(s.Name), "--"+s.Name+"="+bad[s.Name])...)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "--"+s.Name+` "`+bad[s.Name]+`": `) {
			t.Errorf("--%s=%s beside %s=%s: %q, want one line that names the flag", s.Name, bad[s.Name], envName(s.Name), good[s.Name], lines)
		}
		conf := mustConfig(t, env, lineWithout(s.Name)...)
		if v := conf.shown(s.Name); v.label != envName(s.Name) {
			t.Errorf("%s=%s: shown as %+v", envName(s.Name), good[s.Name], v)
		}
	}
}

// P9: a variable that looks like a setting's, and is none's, is a mistake. What it holds
// may be a password. Those of links and services are somebody else's.
func TestP9UnknownVariables(t *testing.T) {
	for name, want := range map[string]string{
		"DOCKREG_HOSTPORT": "did you mean DOCKREG_HOST_PORT?", "DOCKREG_ETCD_PASWORD": "did you mean DOCKREG_ETCD_PASSWORD?", "DOCKREG_CHEK": "did you mean DOCKREG_CHECK?",
		"DOCKREG_port": "did you mean DOCKREG_PORT?", "DOCKREG_": "dockreg help lists the flags, and each has one",
	} {
		_, lines := configOf(t, map[string]string{name: "hunter2"}, "--port", "1", "--etcd", "a:1")
		if len(lines) != 1 || lines[0] != name+": no such variable; "+want {
			t.Errorf("%s: %q, want %s", name, lines, want)
		}
	}
	mustConfig(t, map[string]string{
		"DOCKREG_PORT_8000_TCP": "tcp://10.0.0.7:8000", "DOCKREG_PORT_8000_TCP_ADDR": "10.0.0.7", "DOCKREG_PORT_8000_TCP_PORT": "8000", "DOCKREG_PORT_8000_TCP_PROTO": "tcp",
		"DOCKREG_PORT_8000_TCP_PORT_START": "8000", "DOCKREG_NAME": "/web/dockreg", "DOCKREG_VERSION": "1.2.3", "DOCKREG_ENV_COLOUR": "red",
		"DOCKREG_SERVICE_HOST": "10.0.0.7", "DOCKREG_SERVICE_PORT": "8000", "DOCKREG_SERVICE_PORT_HTTP": "8000", "DOCKREG_WEB_SERVICE_HOST": "10.0.0.7", "DOCKREG_WEB_PORT": "tcp://10.0.0.7:8000",
		"DOCKREG_WEB_PORT_8000_TCP_ADDR": "10.0.0.7", "DOCKREG_HOSTPORT": "",
	}, "--port", "1", "--etcd", "a:1")
	_, lines := configOf(t, map[string]string{"DOCKREG_PORT": "tcp://10.0.0.7:8000"}, "--etcd", "a:1")
	if len(lines) != 1 || !strings.Contains(lines[0], "enableServiceLinks: false") {
		t.Errorf("%q, want where that comes from", lines)
	}
}

// An empty variable is one that is not set, as those of a compose file often are.
func TestEmptyEnvironment(t *testing.T) {
	env := map[string]string{"DOCKER_HOST": ""}
	set, _ := all()
	for _, s := range set.all {
		env[envName(s.Name)] = ""
	}
	for _, f := range mustConfig(t, env, "--port", "8000", "--etcd", "a:1").set.all {
		if f.isGiven() != (f.Name == "port" || f.Name == "etcd") {
			t.Errorf("--%s is %q, by %s", f.Name, f.text(), f.label())
		}
	}
	_, lines := configOf(t, env)
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "--port: required") || !strings.HasPrefix(lines[1], "--etcd: required") {
		t.Errorf("%q, want the two that are required", lines)
	}
}

// What is right is taken as it stands, except for what means the same.
func TestValues(t *testing.T) {
	for name, texts := range map[string]map[string]string{
		"ip":   {"10.1.0.101": "10.1.0.101", "127.0.0.1": "127.0.0.1", "2001:DB8:0::1": "2001:db8::1", "fd00::1": "fd00::1"},
		"key":  {"a": "a", "service/web": "service/web", "...": "...", "a b/ünï:1": "a b/ünï:1", ".a/..b": ".a/..b"},
		"etcd": {"a:1": "http://a:1", "http://a:65535/": "http://a:65535", "[::1]:1": "http://[::1]:1", "https://a:1 , https://b:1": "https://a:1,https://b:1"},
		"docker": {
			"/no/such.sock": "unix:///no/such.sock", "unix:///no/such.sock": "unix:///no/such.sock", "tcp://d:1": "tcp://d:1", "tcp://[::1]:2375": "tcp://[::1]:2375",
		},
		"container": {"ab": "ab", "web_1.x-y": "web_1.x-y", strings.Repeat("0f", 32): strings.Repeat("0f", 32)},
		"check":     {"tcp": "tcp", "grpc": "grpc", "grpc:a.b/C": "grpc:a.b/C", "http:/a?b=c": "http:/a?…", "https:/": "https:/", "exec:/bin/true": "exec:/bin/true"},
	} {
		for text, want := range texts {
			conf := mustConfig(t, nil, append(lineWithout(name), "--"+name+"="+text)...)
			got := map[string]string{
				"ip": conf.docker.IP.String(), "key": strings.TrimSuffix(strings.TrimPrefix(conf.records.Key(), "/"), "/192.0.2.1:49155"), "etcd": strings.Join(conf.etcd.Endpoints, ","),
				"docker": conf.docker.Host, "container": conf.docker.Container, "check": conf.check,
			}[name]
			if got != want {
				t.Errorf("--%s %s: %q, want %q", name, text, got, want)
			}
		}
	}
}

func TestP10Redact(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"": "", "a:1": "a:1", "http://a:1": "http://a:1", "/run/d.sock": "/run/d.sock", "http://joe:hunter2@a:1": "http://…@a:1", "joe:hunter2@a:1": "…@a:1",
		"http://joe:@hunter2@a:1": "http://…@a:1", "http://joe:hunter2@": "http://…@", "@": "…@", "x://y://hunter2@a": "x://…@a",
	} {
		if got := redact(address); got != want {
			t.Errorf("redact(%q) is %q, want %q", address, got, want)
		}
	}
}

// FuzzEndpoints: a password never shows, and what is accepted can be dialled. There
// is no comma before the password, because that ends an address.
func FuzzEndpoints(f *testing.F) {
	for _, seed := range [][3]string{{"", "", "a:1"}, {"@", "@", "a:1,b:2"}, {"1/", "", "a:1"}, {"%", "#", "[::1]:2379"}, {"?", "", "a"}, {"", "", "a:1,https://b:1"}, {"1@h:1#", "", "a:1"}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, before, after, hosts string) {
		if strings.Contains(before+after, ",") || strings.Contains(hosts, "hunter2") {
			t.Skip()
		}
		text := "http://joe:" + before + "hunter2" + after + "@" + hosts
		conf, lines := configOf(t, map[string]string{"DOCKREG_ETCD": text}, "--port", "8000")
		for _, line := range lines {
			if !strings.HasPrefix(line, "DOCKREG_ETCD ") || strings.Contains(line, "hunter2") {
				t.Errorf("%q: %s", text, line)
			}
		}
		if conf == nil {
			return
		}
		if conf.etcd.Username != "joe" || !strings.Contains(conf.etcd.Password, "hunter2") {
			t.Errorf("%q: user %q, password %q", text, conf.etcd.Username, conf.etcd.Password)
		}
		for _, u := range conf.etcd.Endpoints {
			host, ok := strings.CutPrefix(u, "http://")
			if _, _, found := strings.Cut(host, "hunter2"); !ok || found || strings.ContainsAny(host, "/?#@ ") || !strings.Contains(host, ":") {
				t.Errorf("%q: accepted as %q", text, u)
			}
		}
		for _, f := range conf.set.all {
			if got := conf.shown(f.Name).text; strings.Contains(got, "hunter2") {
				t.Errorf("%q: shown as %q", text, got)
			}
		}
	})
}

// FuzzKey: what is accepted is a path that cleaning would leave alone, and only what
// can't be read is refused.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{"service", "a/b", "a//b", "/a", "a/", ".", "a/..", "…", "a\x00b", "\xff", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		right := text != "" && path.Clean("/"+text) == "/"+text && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
		conf, lines := configOf(t, nil, append(lineWithout("key"), "--key="+text)...)
		if (conf != nil) != right {
			t.Errorf("%q: %q, want it accepted: %t", text, lines, right)
		}
		if conf != nil && conf.records.Key() != "/"+text+"/192.0.2.1:49155" {
			t.Errorf("%q became %q", text, conf.records.Key())
		}
		if conf == nil && (len(lines) != 1 || !strings.HasPrefix(lines[0], `--key "`) || strings.Contains(lines[0], "\n")) {
			t.Errorf("%q: %q, want one line", text, lines)
		}
	})
}

// FuzzIP: what is accepted is one host's IP, which the key gives back.
func FuzzIP(f *testing.F) {
	for _, seed := range []string{"10.1.0.101", "::1", "::", "0.0.0.0", "::ffff:1.2.3.4", "fe80::1%eth0", "[::1]", "1.2.3.4:5", "224.0.0.1", "ff02::1", "a", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		conf, lines := configOf(t, nil, append(lineWithout("ip"), "--host-port=9000", "--ip="+text)...)
		if conf == nil {
			if len(lines) != 1 || !strings.HasPrefix(lines[0], `--ip "`) || strings.Contains(lines[0], "\n") {
				t.Errorf("%q: %q, want one line", text, lines)
			}
			return
		}
		ip := conf.docker.IP
		if !ip.IsGlobalUnicast() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() || ip.Is4In6() || ip.Zone() != "" {
			t.Errorf("%q: accepted as %s", text, ip)
		}
		back, err := netip.ParseAddrPort(conf.address)
		if err != nil || back.Addr() != netip.MustParseAddr(text) || back.Port() != 9000 {
			t.Errorf("%q: %v, %v", text, back, err)
		}
	})
}
