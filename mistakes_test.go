package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// right is a command line with nothing wrong in it. A dry run, so that it ends:
// with 1, because nothing listens at either port.
func right(extra ...string) []string {
	return append([]string{"--dry-run", "--port", "1", "--ip", "127.0.0.1", "--host-port", "1", "--etcd", "127.0.0.1:1"}, extra...)
}

// without returns args less one flag and its value.
func without(args []string, flag string) []string {
	for i := range args {
		if args[i] == flag {
			return append(append([]string{}, args[:i]...), args[i+2:]...)
		}
	}
	panic(flag)
}

// instead returns right with another value of a flag.
func instead(flag, value string) []string {
	return append(without(right(), flag), flag, value)
}

func TestRightIsRight(t *testing.T) {
	r := runWith(right()...)
	if r.code != exitFault || !strings.Contains(r.stdout, "/service/127.0.0.1:1") {
		t.Errorf("%+v, want a dry run that ends with 1", r)
	}
}

// P9: each mistake ends dockreg with 2 and one line that names the flag, the value
// and the fix.
func TestP9Mistakes(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args []string
		want string // in the one line
	}{
		{instead("--port", "0"), `--port "0": not a port; give a number from 1 to 65535`},
		{instead("--port", "65536"), `--port "65536": not a port`},
		{instead("--port", "-1"), `--port "-1": not a port`},
		{instead("--port", "http"), `--port "http": not a port`},
		{instead("--port", ""), `--port "": not a port`},
		{instead("--host-port", "0"), `--host-port "0": not a port`},
		{instead("--host-port", "8e3"), `--host-port "8e3": not a port`},
		{without(right(), "--port"), `--port: required; give the app's port`},
		{without(right(), "--etcd"), `--etcd: required; give etcd's address`},
		{without(right(), "--ip"), `--ip: required; --host-port does without Docker`},

		{instead("--ip", "0.0.0.0"), `--ip "0.0.0.0": stands for every IP`},
		{instead("--ip", "::"), `--ip "::": stands for every IP`},
		{instead("--ip", "224.0.0.1"), `--ip "224.0.0.1": an IP of many hosts`},
		{instead("--ip", "ff02::1"), `--ip "ff02::1": an IP of many hosts`},
		{instead("--ip", "255.255.255.255"), `--ip "255.255.255.255": an IP of many hosts`},
		{instead("--ip", "10.1.0.101:8000"), `--ip "10.1.0.101:8000": an IP with a port`},
		{instead("--ip", "[2001:db8::1]:8000"), `--ip "[2001:db8::1]:8000": an IP with a port`},
		{instead("--ip", "[2001:db8::1]"), `--ip "[2001:db8::1]": an IP in brackets`},
		{instead("--ip", "fe80::1%eth0"), `--ip "fe80::1%eth0": has a zone`},
		{instead("--ip", "fe80::1"), `--ip "fe80::1": a link-local IP`},
		{instead("--ip", "::ffff:10.1.0.101"), `--ip "::ffff:10.1.0.101": an IPv4 address written as IPv6; give 10.1.0.101`},
		{instead("--ip", "host-1"), `--ip "host-1": not an IP address; give the host's IP`},
		{instead("--ip", "10.1.0.256"), `--ip "10.1.0.256": not an IP address`},
		{instead("--ip", ""), `--ip "": nothing is there, as where a variable is not set; give the host`},

		{instead("--etcd", ""), `--etcd "": nothing is there, as between two commas, or where a variable is not set`},
		{instead("--etcd", "http://a:2379,,http://b:2379"), `--etcd "": nothing is there`},
		{instead("--etcd", "ftp://a:2379"), `--etcd "ftp://a:2379": etcd is not spoken to by ftp://`},
		{instead("--etcd", "unix:///run/etcd"), `--etcd "unix:///run/etcd": etcd is not spoken to by unix://`},
		{instead("--etcd", "http://a"), `--etcd "http://a": no port; give http://a:2379`},
		{instead("--etcd", "10.0.0.1"), `--etcd "10.0.0.1": no port; give 10.0.0.1:2379`},
		{instead("--etcd", "a/v3"), `--etcd "a/v3": no host, or no port from 1 to 65535; give http://host:port`},
		{instead("--etcd", "https://[::1]/"), `--etcd "https://[::1]/": no port; give https://[::1]:2379`},
		{instead("--etcd", "http://:2379"), `--etcd "http://:2379": no host`},
		{instead("--etcd", "http://a:70000"), `--etcd "http://a:70000": no host, or no port`},
		{instead("--etcd", "http://a b:2379"), `--etcd "http://a b:2379": not a URL`},
		{instead("--etcd", "http://[::1:2379"), `--etcd "http://[::1:2379": not a URL`},
		{instead("--etcd", "http://[fe80::1%25eth0]:2379"), `--etcd "http://[fe80::1%25eth0]:2379": an IPv6 address with a zone`},
		{instead("--etcd", "[fe80::1%eth0]:2379"), `--etcd "[fe80::1%eth0]:2379": an IPv6 address with a zone, which can't be dialled; give a global one, or a name; give http://host:port`},
		{instead("--etcd", "http://a:2379/v3"), `--etcd "http://a:2379/v3": more than a host and a port`},
		{instead("--etcd", "http://a:2379?x=y"), `--etcd "http://a:2379?x=y": more than a host and a port`},
		{instead("--etcd", "http://a:2379,https://b:2379"), `--etcd "http://a:2379,https://b:2379": http and https mixed`},
		{instead("--etcd", "a:2379,https://b:2379"), `http and https mixed`},

		{right("--key", ""), `--key "": empty; give the parent of the key`},
		{right("--key", "/service"), `--key "/service": starts or ends with a slash`},
		{right("--key", "service/"), `--key "service/": starts or ends with a slash`},
		{right("--key", "a//b"), `--key "a//b": has a part that is empty, . or ..`},
		{right("--key", "a/../b"), `--key "a/../b": has a part that is empty, . or ..`},
		{right("--key", "./a"), `--key "./a": has a part that is empty, . or ..`},
		{right("--key", "a\nb"), `--key "a\nb": has a control character`},
		{right("--key", "a\xff"), `--key "a\xff": has a control character, or is not UTF-8`},

		{right("--ttl", "11s"), `--ttl "11s": too short for a renewal to fail, and the next one to save the key; give at least 1 x the interval + the timeout + 4s, 1 x 5s + 3s + 4s`},
		{right("--ttl", "20"), `--ttl "20": no unit; give a time such as 20s`},
		{right("--ttl", "8500ms"), `--ttl "8500ms": etcd counts whole seconds; give 9s`},
		{right("--ttl", "0s"), `--ttl "0s": too short; give a time above 0`},
		{right("--interval", "0s"), `--interval "0s": too short`},
		{right("--interval", "-5s"), `--interval "-5s": negative`},
		{right("--interval", "soon"), `--interval "soon": not a time; give one such as 500ms`},
		{right("--timeout", "0"), `--timeout "0": too short`},
		{right("--timeout", "-1s"), `--timeout "-1s": negative`},
		{right("--timeout", "6s"), `--timeout "6s": longer than the interval, 5s`},
		{right("--drain", "-1s"), `--drain "-1s": negative`},
		{right("--drain", "2"), `--drain "2": no unit; give a time such as 2s`},
		{right("--fall", "4", "--ttl", "26s"), `--ttl "26s": too short for a renewal to fail, and the next one to save the key; give at least 4 x the interval + the timeout + 4s, 4 x 5s + 3s + 4s`},
		{right("--rise", "0"), `--rise "0": not a count; give a number from 1 on`},
		{right("--fall", "0"), `--fall "0": not a count`},
		{right("--fall", "-1"), `--fall "-1": not a count`},
		{right("--rise", "often"), `--rise "often": not a count`},

		{right("--check", "ping"), `--check "ping": not a kind of check; give http:/path, https:/path, tcp, grpc`},
		{right("--check", "http"), `--check "http": no path to ask for; give http:/ or http:/path`},
		{right("--check", "http://localhost:8000/health"), `--check "http:…": a host, which the probe finds by itself; give http:/health`},
		{right("--check", "https://127.0.0.1"), `--check "https:…": a host, which the probe finds by itself; give https:/`},
		{right("--check", "https:health"), `--check "https:…": no path to ask for`},
		{right("--check", "grpc:"), `--check "grpc:": no service after the colon`},
		{right("--check", "tcp:80"), `--check "tcp:…": not a kind of check`},
		{right("--check", "exec:"), `--check "exec:": no command to run`},
		{right("--check", "exec:a 'b"), `a quote is not closed`},
		{right("--check", ""), `--check "": not a kind of check`},

		{right("--docker", "ssh://host"), `--docker "ssh://host": can't talk to Docker by ssh://; give a path, unix:///path or tcp://host:port`},
		{right("--docker", folder), `a folder, not a socket`},
		{right("--docker", "unix://"+file), `a file, not a socket`},
		{right("--docker", "docker.sock"), `--docker "docker.sock": not an absolute path`},
		{right("--docker", "tcp://host"), `--docker "tcp://host": no host and port after tcp://`},
		{right("--container", "a b"), `--container "a b": not a container's id or name`},
		{right("--container", "x"), `--container "x": not a container's id or name`},

		{right("--log-level", "loud"), `--log-level "loud": no such level; give debug, info, warn or error`},
		{right("--log-format", "xml"), `--log-format "xml": no such format; give text or json`},
		{right("--drain=1s", "--drain=2s"), `--drain: given twice`},
		{right("--drain", "1s", "--key", "a", "--drain", "2s"), `--drain: given twice`},
		{right("---key=a"), `a stray argument`},
		{right("--version=maybe"), `invalid boolean value "maybe" for -version`},
		{instead("--port", "+1"), `--port "+1": not a port`},
		{right("--docker", "tcp://secret@host:2375"), `--docker "tcp://…@host:2375": no host and port`},
		{right("--interval", "2000000h", "--timeout", "2000000h"), `--ttl "20s": too short`},
		{instead("--ip", "::ffff:0.0.0.0"), `stands for every IP`},
		{right("--ttl", "500ms"), `--ttl "500ms": etcd counts whole seconds; give 1s`},
		{right("--prot", "80"), `--prot: no such flag; did you mean --port?`},
		{append(right()[1:], "--dry-run=maybe"), `--dry-run "maybe": neither true nor false; give one of them`},
		{right("extra"), `"extra": a stray argument; flags start with --`},
		{right(`"hots`), `a stray argument; flags start with --`},
		{[]string{"watch", "web"}, `"web": a stray argument; flags start with --`},
		{right("hots"), `"hots": a stray argument; did you mean "dockreg host"?`},
		{right("--check", "http:/health", "--intervall", "5s"), `--intervall: no such flag; did you mean --interval?`},
		{right("--", "extra"), `a stray argument`},
		{right("--key"), `--key: no value behind it; give --key NAME`},
		{append(without(right(), "--etcd"), "--etcd", "--drain", "1s"), `--etcd: no value behind it; give --etcd URLS`},
	}
	for _, test := range tests {
		start := time.Now()
		r := runWith(test.args...)
		if took := time.Since(start); took > 5*time.Second { // and waited for nobody
			t.Errorf("%q: took %s", test.args, took)
		}
		lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
		if r.code != exitUsage || r.stdout != "" || len(lines) != 1 ||
			!strings.HasPrefix(r.stderr, "dockreg: ") || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%q: exit code %d, stdout %q, stderr\n%s\nwant 2 and the one line %q", test.args, r.code, r.stdout, r.stderr, test.want)
		}
	}
}

// P9: all mistakes come at once, those of the command line with those of the
// environment.
func TestP9AllMistakesAtOnce(t *testing.T) {
	t.Setenv("DOCKREG_RISE", "0")
	t.Setenv("DOCKREG_DRY_RUN", "maybe")
	r := runWith("--key", "/service", "--drain=1s", "--drain=2s", "--ip", "10.1.0.101:80", "--interval", "1s", "--timeout", "2s", "--ttl", "2s")
	want := []string{
		`--key "/service": starts or ends`, "--drain: given twice", "--etcd: required",
		`DOCKREG_DRY_RUN "maybe": neither true nor false`, `--ip "10.1.0.101:80": an IP with a port`, "--port: required",
		`DOCKREG_RISE "0": not a count`, `--timeout "2s": longer than the interval`, `--ttl "2s": too short`,
	}
	lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
	if r.code != exitUsage || len(lines) != len(want) {
		t.Errorf("exit code %d and %d lines, want 2 and %d:\n%s", r.code, len(lines), len(want), r.stderr)
	}
	for _, line := range want {
		if strings.Count(r.stderr, "dockreg: "+line) != 1 {
			t.Errorf("not once %q in\n%s", line, r.stderr)
		}
	}
}

// P9: what stands before a command's name is no flag of that command.
func TestP9FlagsBeforeACommand(t *testing.T) {
	for line, want := range map[string]string{
		"--port 1 ls --etcd 127.0.0.1:1":     "dockreg: --port: stands before the command ls, which does not look there; give what is that command's behind its name\n",
		"--etcd 127.0.0.1:1 --key a watch":   "dockreg: --key: stands before the command watch, which does not look there; give what is that command's behind its name\ndockreg: --etcd: stands before the command watch, which does not look there; give what is that command's behind its name\n",
		"--log-level debug host":             "dockreg: --log-level: stands before the command host, ",
		"--dry-run version":                  "dockreg: --dry-run: stands before the command version, ",
		"--etcd-password-file hunter2 ls -h": "",
	} {
		r := runWith(strings.Fields(line)...)
		if want == "" && (r.code != 0 || r.stderr != "") || want != "" && (r.code != exitUsage || r.stdout != "" || !strings.HasPrefix(r.stderr, want)) {
			t.Errorf("%s: exit code %d, %s%s\nwant %s", line, r.code, r.stdout, r.stderr, want)
		}
	}
	// The environment is for all of them.
	t.Setenv("DOCKREG_PORT", "1")
	if r := runWith("ls", "--etcd", "127.0.0.1:1"); r.code != exitFault || strings.Contains(r.stderr, "PORT") {
		t.Errorf("%+v", r)
	}
}

// Who gives consumers less time than they need hears of it.
func TestShortDrainIsToldAtStart(t *testing.T) {
	const warning = `level=WARN msg="the drain is shorter than consumers need: after a stop they may still send to the app for a while; leave --drain out, or give it as long" drain=2s needed=3s record=traefik:web`
	for line, warned := range map[string]bool{
		"--record traefik:web --record plain --drain 2s": true,
		"--record traefik:web --drain 3s":                false,
		"--record traefik:web":                           false,
		"--record grpc:web --drain 2s":                   false,
		"--drain 0s":                                     false,
	} {
		r := runWith(right(strings.Fields(line)...)...)
		if r.code != exitFault || strings.Contains(r.stderr, warning) != warned || strings.Contains(r.stderr, "WARN") != warned {
			t.Errorf("%s: exit code %d\n%s", line, r.code, r.stderr)
		}
	}
}

// P9, P10: what is left of a command that was not quoted is nobody's wish for the version
// or for help, and is not repeated.
func TestP9UnquotedCommand(t *testing.T) {
	for _, line := range []string{"--check exec:curl -v hunter2", "--check exec:pgrep --version", "-check exec:foo --help", "--check=exec:redis-cli -h hunter2 ping"} {
		r := runWith(append(right(), strings.Fields(line)...)...)
		if r.code != exitUsage || r.stdout != "" || r.stderr != "dockreg: --check: a stray argument behind it; quote the whole of the check\n" {
			t.Errorf("%s: %+v, want exit code 2 and how to quote", line, r)
		}
	}
	if r := runWith("--check", "tcp", "--version"); r.code != 0 || r.stdout == "" {
		t.Errorf("--version behind another check: %+v", r)
	}
}

// A check that ends with an exit code is no mistake of the command line's.
func TestFailingCommandIsNoMistake(t *testing.T) {
	if r := runWith(right("--check", "exec:false")...); r.code != exitFault || !strings.Contains(r.stdout, "the command ended with exit status 1") {
		t.Errorf("exit code %d, want %d\n%s", r.code, exitFault, r.stderr)
	}
}

// P9: a dry run finds what is wrong with how the app is to be run, too.
func TestP9DryRunOfRun(t *testing.T) {
	r := runWith(append(append([]string{"run"}, right("--stop-timeout", "3s")...), "--", "app")...)
	if r.code != exitUsage || !strings.HasPrefix(r.stderr, `dockreg: --stop-timeout "3s": too short`) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
}
