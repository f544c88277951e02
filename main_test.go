package main

import (
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	c := mustConfig(t, nil, "--port", "8000", "--etcd", "10.1.0.101:2379")
	s := c.sidekick
	if s.Parent != "service" || s.Value != "running" || s.Interval != 5*time.Second || s.Timeout != 3*time.Second ||
		s.Rise != 1 || s.Fall != 1 || s.TTL != 20*time.Second || s.Drain != 0 {
		t.Errorf("sidekick %+v", s)
	}
	if got := c.etcd.Endpoints; len(got) != 1 || got[0] != "http://10.1.0.101:2379" || c.etcd.TTL != 20*time.Second {
		t.Errorf("etcd %+v", c.etcd)
	}
	d := c.docker
	if d.Host != "unix:///var/run/docker.sock" || d.Port != 8000 || d.IP.IsValid() || d.Container != "" {
		t.Errorf("docker %+v", d)
	}
	if c.address.IsValid() || c.check.String() != "http:/" || c.dryRun || c.logJSON {
		t.Errorf("%+v", c)
	}
}

func TestEverythingSet(t *testing.T) {
	c := mustConfig(t, nil, "--port=8000", "-ip", "2001:DB8::0:1", "--host-port", "9000", "--key", "service/web", "--value", "a=b",
		"--etcd", "https://a:1,https://b:2/", "--etcd", "https://[::1]:3", "--ttl", "1m", "--check", "exec:check --port 'two words'",
		"--interval", "10s", "--timeout", "500ms", "--rise", "2", "--fall", "3", "--docker", "tcp://d:2375", "--container", "web-1",
		"--drain", "2s", "--dry-run", "--log-level", "warn", "--log-format", "json")
	if want := netip.MustParseAddrPort("[2001:db8::1]:9000"); c.address != want {
		t.Errorf("address %s, want %s", c.address, want)
	}
	if got := strings.Join(c.etcd.Endpoints, " "); got != "https://a:1 https://b:2 https://[::1]:3" {
		t.Errorf("endpoints %s", got)
	}
	s := c.sidekick
	if s.Parent != "service/web" || s.Value != "a=b" || s.TTL != time.Minute || s.Interval != 10*time.Second ||
		s.Timeout != 500*time.Millisecond || s.Rise != 2 || s.Fall != 3 || s.Drain != 2*time.Second {
		t.Errorf("sidekick %+v", s)
	}
	if c.docker.Host != "tcp://d:2375" || c.docker.Container != "web-1" || !c.dryRun || !c.logJSON || c.logLevel.String() != "WARN" {
		t.Errorf("%+v", c)
	}
}

// The environment stands beside the flags: a flag beats it, and an empty variable
// counts as not set.
func TestEnvironment(t *testing.T) {
	env := map[string]string{
		"DOCKREG_PORT": "8000", "DOCKREG_ETCD": "http://joe:hunter2@a:1,http://joe:hunter2@b:2", "DOCKREG_KEY": "", "DOCKREG_VALUE": "env",
		"DOCKREG_HOST_PORT": "9000", "DOCKREG_IP": "10.1.0.101", "DOCKER_HOST": "tcp://d:2375", "DOCKREG_DRY_RUN": "true",
	}
	c := mustConfig(t, env, "--value", "flag")
	if c.address.String() != "10.1.0.101:9000" || c.sidekick.Value != "flag" || c.sidekick.Parent != "service" ||
		c.docker.Host != "tcp://d:2375" || !c.dryRun {
		t.Errorf("%+v", c)
	}
	if c.etcd.Username != "joe" || c.etcd.Password != "hunter2" || strings.Join(c.etcd.Endpoints, " ") != "http://a:1 http://b:2" {
		t.Errorf("etcd %+v", c.etcd)
	}
	env["DOCKREG_DOCKER"] = "/run/host/docker.sock"
	if c := mustConfig(t, env); c.docker.Host != "unix:///run/host/docker.sock" {
		t.Errorf("docker %s, want DOCKREG_DOCKER before DOCKER_HOST", c.docker.Host)
	}
}

// P10: a dry run shows the settings in force, without what is secret.
func TestP10DryRunHidesSecrets(t *testing.T) {
	t.Setenv("DOCKREG_ETCD", "http://joe:hunter2@127.0.0.1:1")
	t.Setenv("DOCKREG_CHECK", "http:/?token=hunter2")
	r := runWith("--dry-run", "--port", "1", "--ip", "127.0.0.1", "--host-port", "1", "--log-level", "debug")
	for _, want := range []string{"http://127.0.0.1:1 as user joe, with a password", "http:/?…", "DOCKREG_ETCD", "/service/127.0.0.1:1", "running", "nothing: this is a dry run"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.stdout)
		}
	}
	if strings.Contains(r.stdout+r.stderr, "hunter2") {
		t.Errorf("the secret shows in\n%s%s", r.stdout, r.stderr)
	}
	for _, want := range []string{"dockreg: the app fails its probe: connection refused", "dockreg: etcd at http://127.0.0.1:1 can't be reached"} {
		if r.code != exitFault || !strings.Contains(r.stderr, want) {
			t.Errorf("exit code %d, no %q in\n%s", r.code, want, r.stderr)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, arg := range []string{"help", "h", "--help", "-h"} {
		r := runWith(arg)
		if r.code != 0 || r.stderr != "" {
			t.Errorf("%s: exit code %d, %s", arg, r.code, r.stderr)
		}
		for _, s := range settings {
			if !strings.Contains(r.stdout, "\n  --"+s.name) || !strings.Contains(r.stdout, s.fallback) {
				t.Errorf("%s: no --%s, or not its default", arg, s.name)
			}
		}
		for line := range strings.Lines(r.stdout) {
			if len([]rune(line)) > 107 {
				t.Errorf("%s: too wide for most windows: %s", arg, line)
			}
		}
	}
	for _, arg := range []string{"--version", "-v"} {
		if r := runWith(arg); r.code != 0 || r.stdout != "dockreg "+version+" (commit "+commit+", "+runtime.Version()+")\n" {
			t.Errorf("%s: %+v", arg, r)
		}
	}
}

// FuzzAddresses: whatever an address says, no password shows, and what is accepted
// can be dialled.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"http://a:1", "a:1", "://", "http://[::1]:2379", "%", "@"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + "hunter2@" + after
		if strings.Contains(after, "hunter2") || strings.HasPrefix(text, "-") || strings.ContainsRune(before, ',') {
			t.Skip()
		}
		if r := runWith(instead("--etcd", text)...); r.code != exitUsage || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%q: exit code %d, %s", text, r.code, r.stderr)
		}
	})
}
