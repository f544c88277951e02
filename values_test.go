package main

import (
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"dockreg/sidekick"
)

// bad and good are one wrong and one right value of every setting that can be
// wrong.
var (
	bad = map[string]string{
		"port": "0", "ip": "::", "host-port": "65536", "key": "/service", "etcd": "ftp://a:1", "ttl": "8500ms", "check": "ping", "interval": "0s",
		"timeout": "0s", "rise": "0", "fall": "-1", "docker": "ssh://host", "container": "x", "drain": "-1s", "dry-run": "maybe", "log-level": "loud", "log-format": "xml",
		"etcd-cacert": "/no/ca", "etcd-cert": "/no/cert", "etcd-key": "/no/key", "etcd-server-name": "a:1", "etcd-user": "joe:…", "etcd-password-file": "/no/password",
		"etcd-discovery-srv": "a:1",
	}
	good = map[string]string{
		"port": "8000", "ip": "10.1.0.101", "host-port": "9000", "key": "web", "etcd": "a:1", "ttl": "30s", "check": "tcp", "interval": "6s",
		"timeout": "2s", "rise": "2", "fall": "2", "docker": "/run/d.sock", "container": "web", "drain": "1s", "dry-run": "true", "log-level": "warn", "log-format": "json",
		"etcd-cacert": certFile, "etcd-cert": certFile, "etcd-key": keyFile, "etcd-server-name": "etcd-1", "etcd-user": "joe", "etcd-password-file": passwordFile,
		"etcd-discovery-srv": "example.org",
	}
	// beside is a setting that another one is wrong without.
	beside = map[string]string{"etcd-cert": "etcd-key", "etcd-key": "etcd-cert", "etcd-user": "etcd-password-file", "etcd-password-file": "etcd-user"}
)

// lineWithout is a command line that sets required settings, and of one setting
// nothing.
func lineWithout(name string) []string {
	var args []string
	for _, required := range []string{"port", "etcd", "ip", beside[name]} {
		if name == "etcd-discovery-srv" && required == "etcd" {
			continue // in place of which it stands
		}
		if required != name && required != "" {
			args = append(args, "--"+required, good[required])
		}
	}
	return args
}

// P9: a mistake in the environment is one too, and the message names the variable.
func TestP9Environment(t *testing.T) {
	for _, s := range settings {
		if s.name == "value" { // any text will do
			continue
		}
		env := map[string]string{s.env(): bad[s.name]}
		_, lines := configOf(t, env, lineWithout(s.name)...)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], s.env()+` "`+bad[s.name]+`": `) {
			t.Errorf("%s=%s: %q, want one line that names both", s.env(), bad[s.name], lines)
		}
		// The flag beats it, and then it doesn't matter.
		if _, lines := configOf(t, env, append(lineWithout(s.name), "--"+s.name+"="+good[s.name])...); lines != nil {
			t.Errorf("%s=%s beside --%s=%s: %q", s.env(), bad[s.name], s.name, good[s.name], lines)
		}
		// A flag that is wrong is not saved by it.
		env[s.env()] = good[s.name]
		_, lines = configOf(t, env, append(lineWithout(s.name), "--"+s.name+"="+bad[s.name])...)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "--"+s.name+` "`+bad[s.name]+`": `) {
			t.Errorf("--%s=%s beside %s=%s: %q, want one line that names the flag", s.name, bad[s.name], s.env(), good[s.name], lines)
		}
		conf := mustConfig(t, env, lineWithout(s.name)...)
		i := slices.IndexFunc(conf.shown, func(v value) bool { return v.name == s.name })
		if v := conf.shown[i]; v.label != s.env() || !v.given {
			t.Errorf("%s=%s: shown as %+v", s.env(), good[s.name], v)
		}
	}
}

// An empty variable is one that is not set, as those of a compose file often are.
func TestEmptyEnvironment(t *testing.T) {
	env := map[string]string{"DOCKER_HOST": ""}
	for _, s := range settings {
		env[s.env()] = ""
	}
	for _, v := range mustConfig(t, env, "--port", "8000", "--etcd", "a:1").shown {
		if v.given != (v.name == "port" || v.name == "etcd") {
			t.Errorf("--%s: %+v", v.name, v)
		}
	}
	_, lines := configOf(t, env)
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "--port: required") || !strings.HasPrefix(lines[1], "--etcd: required") {
		t.Errorf("%q, want the two that are required", lines)
	}
}

// P9: DOCKER_HOST is Docker's own variable, and named as such.
func TestP9DockerHost(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"ssh://host":         "can't talk to Docker by ssh://",
		"npipe:////./pipe/d": "can't talk to Docker by npipe://",
		folder:               "a folder, not a socket",
		"unix://" + file:     "a file, not a socket",
		"run/docker.sock":    "not an absolute path",
		"unix://docker.sock": "not an absolute path",
		"unix:///":           "a folder, not a socket",
		"tcp://host":         "no host and port after tcp://",
		"tcp://:2375":        "no host and port after tcp://",
		"tcp://host:0":       "no host and port after tcp://",
		"tcp://host:2375/x":  "no host and port after tcp://",
		"host:2375":          "not an absolute path",
	} {
		t.Setenv("DOCKER_HOST", host)
		r := runWith(right()...)
		if start := `dockreg: DOCKER_HOST "` + host + `": ` + want; r.code != exitUsage || !strings.HasPrefix(r.stderr, start) ||
			!strings.Contains(r.stderr, "give") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("exit code %d, %s\nwant one line %s", r.code, r.stderr, start)
		}
	}
}

// What is right is taken as it stands, but for what means the same.
func TestValues(t *testing.T) {
	for name, texts := range map[string]map[string]string{
		"ip":   {"10.1.0.101": "10.1.0.101", "127.0.0.1": "127.0.0.1", "2001:DB8:0::1": "2001:db8::1", "fe80::1": "fe80::1"},
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
				"ip": conf.docker.IP.String(), "key": conf.sidekick.Parent, "etcd": strings.Join(conf.etcd.Endpoints, ","),
				"docker": conf.docker.Host, "container": conf.docker.Container, "check": conf.check.String(),
			}[name]
			if got != want {
				t.Errorf("--%s %s: %q, want %q", name, text, got, want)
			}
		}
	}
}

// P10: a secret that is where it belongs doesn't show either, whatever is wrong.
func TestP10EnvironmentHidesSecrets(t *testing.T) {
	for name, tt := range map[string]struct{ variable, text, want string }{
		"right, beside a mistake": {"DOCKREG_ETCD", "http://joe:hunter2@a:1", "--rise"},
		"no port":                 {"DOCKREG_ETCD", "http://joe:hunter2@a", "DOCKREG_ETCD"},
		"no scheme":               {"DOCKREG_ETCD", "joe:hunter2@a", "DOCKREG_ETCD"},
		"not a URL":               {"DOCKREG_ETCD", "http://joe:hunter2%@a:1", "DOCKREG_ETCD"},
		"a slash in it":           {"DOCKREG_ETCD", "http://joe:1/hunter2@a:1", "DOCKREG_ETCD"},
		"mixed":                   {"DOCKREG_ETCD", "http://joe:hunter2@a:1,https://joe:hunter2@b:1", "http and https mixed"},
		"two passwords":           {"DOCKREG_ETCD", "http://joe:hunter2@a:1,http://joe:hunter22@b:1", "more than one user or password"},
		"no user":                 {"DOCKREG_ETCD", "http://:hunter2@a:1", "a user without a password"},
		"no password":             {"DOCKREG_ETCD", "http://hunter2@a:1", "a user without a password"},
		"Docker by ssh":           {"DOCKER_HOST", "ssh://joe:hunter2@host", "DOCKER_HOST"},
		"Docker by tcp":           {"DOCKREG_DOCKER", "tcp://joe:hunter2@host:2375", "DOCKREG_DOCKER"},
		"a command":               {"DOCKREG_CHECK", "exec:check -p 'hunter2", "DOCKREG_CHECK"},
		"a query":                 {"DOCKREG_CHECK", "http:x?token=hunter2", "DOCKREG_CHECK"},
		"an unknown kind":         {"DOCKREG_CHECK", "curl -u joe:hunter2", "DOCKREG_CHECK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(tt.variable, tt.text)
			args := right("--rise", "0")
			if tt.variable == "DOCKREG_ETCD" {
				args = without(args, "--etcd")
			}
			r := runWith(args...)
			if r.code != exitUsage || !strings.Contains(r.stderr, tt.want) || strings.Contains(r.stdout+r.stderr, "hunter2") {
				t.Errorf("%s=%s: exit code %d, want %q and no secret in\n%s", tt.variable, tt.text, r.code, tt.want, r.stderr)
			}
		})
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
		for _, v := range conf.shown {
			if strings.Contains(v.text, "hunter2") {
				t.Errorf("%q: shown as %q", text, v.text)
			}
		}
	})
}

// FuzzKey: what is accepted is a path that cleaning would leave alone, and nothing
// else is refused but what can't be read.
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
		if conf != nil && conf.sidekick.Parent != text {
			t.Errorf("%q became %q", text, conf.sidekick.Parent)
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
		back, err := netip.ParseAddrPort(strings.TrimPrefix(sidekick.Key("service", conf.address), "/service/"))
		if err != nil || back.Addr() != netip.MustParseAddr(text) || back.Port() != 9000 {
			t.Errorf("%q: %v, %v", text, back, err)
		}
	})
}
