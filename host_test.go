package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// P9: each mistake of dockreg host ends it with 2 and one line that names the flag, the
// value and the fix.
func TestP9HostMistakes(t *testing.T) {
	for args, want := range map[string]string{
		"--listen run/docker.sock":                               `--listen "run/docker.sock": not an absolute path; give the path of a socket in a folder of its own`,
		"--listen /run/../docker.sock":                           `--listen "/run/../docker.sock": not an absolute path`,
		"--listen tcp://0.0.0.0:2375":                            `--listen "tcp://0.0.0.0:2375": not a path, and only of who comes by a socket`,
		"--listen /" + strings.Repeat("a", 107):                  `longer than the 107 bytes`,
		"--listen /var/run/docker.sock":                          `--listen "/var/run/docker.sock": Docker's own socket, as --docker says`,
		"--listen /a/s --docker unix:///a/s":                     `--listen "/a/s": Docker's own socket`,
		"--listen /a/s --docker tcp://10.1.0.101:2375":           `--docker "tcp://10.1.0.101:2375": Docker on another host, perhaps`,
		"--listen /a/s --etcd-user joe":                          `--etcd-user "joe": about an etcd, and none is given`,
		"--listen /a/s --ip 203.0.113.7":                         `--ip "203.0.113.7": for last wills`,
		"--listen /a/s --etcd a:1 --ip 203.0.113.7 --ip 0.0.0.0": `--ip "0.0.0.0": stands for every IP`,
		"--listen /a/s --etcd ftp://a:1":                         `--etcd "ftp://a:1": etcd is not spoken to by ftp://`,
		"--listen /a/s stray":                                    `"stray": a stray argument`,
		"--listen":                                               `--listen: no value behind it`,
		"--lisen /a/s":                                           `--lisen: no such flag; did you mean --listen?`,
		"--port 8000":                                            `--port: no such flag; --help lists all`,
		"--log-level loud --listen /a/s":                         `--log-level "loud": no such level`,
	} {
		r := runWith(append([]string{"host"}, strings.Fields(args)...)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "dockreg: ") {
			t.Errorf("%s: exit code %d, %s\nwant one line with %s", args, r.code, r.stderr, want)
		}
	}
}

// A variable of one command is no mistake beside another one: they may share an
// environment.
func TestVariablesOfAnotherCommand(t *testing.T) {
	t.Setenv("DOCKREG_LISTEN", "/a/s")
	if r := runWith(right()...); r.code != exitFault || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	t.Setenv("DOCKREG_LISEN", "/a/s")
	if r := runWith("host"); r.code != exitUsage || !strings.Contains(r.stderr, "DOCKREG_LISEN: no such variable; did you mean DOCKREG_LISTEN?") {
		t.Errorf("%+v", r)
	}
}

func TestHostHelp(t *testing.T) {
	for _, args := range []string{"host --help", "host -h", "host --listen x --help", "host --no-such --help"} {
		r := runWith(strings.Fields(args)...)
		if r.code != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, "dockreg host: ") {
			t.Errorf("%s: exit code %d, %s%.200s", args, r.code, r.stderr, r.stdout)
		}
		for _, words := range []string{"--listen PATH", "--etcd-password-file FILE", "--ip ADDR", "DOCKREG_LISTEN"} {
			if !strings.Contains(r.stdout, words) {
				t.Errorf("%s: no %s", args, words)
			}
		}
	}
}

// The socket takes the place of one that is dead, and of nothing else.
func TestListen(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // the process's: no parallel test runs now
	folder := filepath.Join(t.TempDir(), "run")
	path := filepath.Join(folder, "docker.sock")
	first, err := listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v, want a socket for everybody", info.Mode(), err)
	}
	if info, err = os.Stat(folder); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v, want a folder into which everybody may look", info.Mode(), err)
	}
	if _, err := listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "somebody listens at "+path+" already") {
		t.Errorf("beside one that is alive: %v", err)
	}
	first.SetUnlinkOnClose(false)
	_ = first.Close()
	again, err := listen(t.Context(), path)
	if err != nil {
		t.Fatalf("in the place of a dead one: %v", err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	_ = again.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is left behind: %v", err)
	}

	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "is no socket; remove it") {
		t.Errorf("in the place of a file: %v", err)
	}
}
