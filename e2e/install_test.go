package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// packages is an image in which packages can be installed, built by make images.
var packages = envOr("DOCKREG_PACKAGES_IMAGE", "dockreg-packages")

// releasedFile returns the path of a file of a release, and its name.
func releasedFile(t *testing.T, ending string) (path, name string) {
	t.Helper()
	folder, err := released()
	if err != nil {
		t.Fatal(err)
	}
	name = fmt.Sprintf("dockreg_1.2.3_linux_%s%s", runtime.GOARCH, ending)
	return filepath.Join(folder, name), name
}

// machine is a container in which the release is at /dist.
type machine struct {
	*testbed.Container
	t *testing.T
}

func startMachine(t *testing.T, args ...string) machine {
	t.Helper()
	folder, err := released()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-v", folder + ":/dist:ro"}, args...)
	return machine{keep(t)(docker.Run(args...)), t}
}

// run runs a script, and ends the test if that fails.
func (m machine) run(script string) string {
	m.t.Helper()
	out, err := m.Exec("sh", "-c", "set -e\n"+script)
	if err != nil {
		m.t.Fatalf("%s\n%s\n%v", script, out, err)
	}
	return out
}

// files lists all that is in a container, but for what its package manager keeps for itself:
// logs, lists and caches.
const listFiles = `find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run/systemd -o -path /var/lib/dpkg \
	-o -path /var/lib/apt -o -path /var/cache -o -path /var/log \) -prune -o -print | sort; ls /var/lib/dpkg/info; ls /run`

// A Debian package installs all that it should, and its service runs as the package has it;
// what somebody changed survives an upgrade; purged, it leaves nothing.
func TestDebianPackage(t *testing.T) {
	needDocker(t)
	t.Parallel()
	_, deb := releasedFile(t, ".deb")
	// As a host: it sees all processes, and their cgroups.
	m := startMachine(t, "--pid", "host", "--cgroupns", "host", "-p", "8000", "-v", "/var/run/docker.sock:/var/run/docker.sock", packages)
	before := m.run(listFiles)
	m.run("apt-get install -y /dist/" + deb + " 2>&1")
	if out := m.run("dpkg -V dockreg; dockreg --version; stat -c %a:%U /etc/default/dockreg-host"); !strings.HasPrefix(out, "dockreg 1.2.3 (commit abc, go") || !strings.HasSuffix(out, "\n600:root") {
		t.Errorf("installed is %s", out)
	}
	if out := m.run("man --warnings -P cat dockreg 2>/tmp/warnings; cat /tmp/warnings >&2; test ! -s /tmp/warnings"); !strings.Contains(out, "--host-port N") || !strings.Contains(out, "dockreg host") {
		t.Errorf("the man page is\n%s", out)
	}
	m.run("systemd-analyze verify dockreg-host.service")
	t.Run("completion", func(t *testing.T) { completes(t, m) })

	// An upgrade, with settings of one's own.
	m.run("printf '%s\\n' DOCKREG_IP=" + docker.Gateway + " DOCKREG_ETCD=" + etcd.URL + " >>/etc/default/dockreg-host && systemctl enable dockreg-host && dpkg -i /dist/" + deb)
	if out := m.run("tail -n 1 /etc/default/dockreg-host"); out != "DOCKREG_ETCD="+etcd.URL {
		t.Errorf("after an upgrade the settings are %s", out)
	}
	// What systemd would run, with its environment and without capabilities: systemd itself is
	// not to be had in the host's pid namespace, in which the service has to be. The next
	// test has it.
	m.run(`set -a; . /etc/default/dockreg-host
		command=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/dockreg-host.service)
		setpriv --bounding-set=-all --no-new-privs $command >/tmp/log 2>&1 & echo $! >/tmp/pid`)
	address, err := docker.Address(m.Container)
	if err != nil {
		t.Fatal(err)
	}
	err = poll(t, busy+10*time.Second, func() error {
		out := m.run("dockreg --dry-run --docker /run/dockreg/docker.sock --port 8000 --ip " + docker.Gateway + " --etcd " + etcd.URL + " 2>&1 || true")
		if !strings.Contains(out, address) || !strings.Contains(out, "dockreg host takes it") {
			return fmt.Errorf("it is told\n%s\nand the service logs\n%s", out, m.run("cat /tmp/log"))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	// Killed, it leaves its socket.
	m.run("kill -KILL $(cat /tmp/pid); while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 0.1; done")

	m.run("apt-get purge -y dockreg 2>&1")
	if after := m.run(listFiles); after != before {
		t.Errorf("after a purge these are left over, or missing:\n%s", difference(before, after))
	}
}

// completes has real shells complete what somebody types.
func completes(t *testing.T, m machine) {
	const types = `export HOME=/tmp; printf '%%s\ndockreg --host-po\t7 --vers\t\nexit\n' '%s' | TERM=dumb script -qec '%s' /dev/null; true`
	for shell, command := range map[string]string{
		"bash": fmt.Sprintf(types, ". /usr/share/bash-completion/bash_completion", "bash --norc --noprofile -i"),
		"zsh":  fmt.Sprintf(types, "autoload -Uz compinit; compinit -u", "zsh -f -i"),
	} {
		// Completed it is a command line, and prints this.
		if out := m.run(command); !strings.Contains(out, "\ndockreg 1.2.3 (commit abc, ") {
			t.Errorf("%s completes\n%s", shell, out)
		}
	}
	if out := m.run("HOME=/tmp fish -c 'complete -C \"dockreg --host-p\"'"); !strings.HasPrefix(out, "--host-port\t") {
		t.Errorf("fish completes\n%s", out)
	}
}

// difference are the lines that only one of two texts has.
func difference(before, after string) string {
	var out strings.Builder
	for line := range strings.Lines(after + "\n") {
		if !strings.Contains("\n"+before+"\n", "\n"+line) {
			out.WriteString("+ " + line)
		}
	}
	for line := range strings.Lines(before + "\n") {
		if !strings.Contains("\n"+after+"\n", "\n"+line) {
			out.WriteString("- " + line)
		}
	}
	return out.String()
}

// The service runs under a real systemd, with all that its unit takes away from it, and is not
// started by being installed; a purge stops it.
func TestDebianServiceUnderSystemd(t *testing.T) {
	needDocker(t)
	t.Parallel()
	_, deb := releasedFile(t, ".deb")
	cgroups := []string{"-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil { // v2
		cgroups = []string{"--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"}
	}
	// systemd mounts, for itself and for the service.
	m := startMachine(t, append(cgroups, "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
		"--tmpfs", "/run", "--tmpfs", "/run/lock", "-e", "container=docker", packages, "/lib/systemd/systemd")...)
	err := poll(t, 3*time.Minute, func() error {
		if out, _ := m.Exec("sh", "-c", "systemctl is-system-running || true"); out != "running" && out != "degraded" { // of Debian's own units some need a whole machine
			return fmt.Errorf("systemd is %s", out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m.run("apt-get install -y /dist/" + deb + " 2>&1")
	if out := m.run("systemctl is-active dockreg-host || true; systemctl is-enabled dockreg-host || true"); out != "inactive\ndisabled" {
		t.Errorf("once installed the service is %s", out)
	}
	m.run("systemctl mask dockreg-host && dpkg -i /dist/" + deb + " && systemctl unmask dockreg-host")
	m.run("systemctl enable --now dockreg-host")
	// The socket is there a moment before everybody may open it.
	err = poll(t, busy+20*time.Second, func() error {
		if out := m.run("stat -c %a:%F /run/dockreg/docker.sock 2>&1 || true"); out != "666:socket" {
			return fmt.Errorf("its socket is %s", out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first := m.run("systemctl show -p MainPID --value dockreg-host")
	if out := m.run("grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/" + first + "/status"); strings.Join(strings.Fields(out), " ") !=
		"CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2" {
		t.Errorf("it runs with %s", out)
	}
	m.run("systemd-analyze security --no-pager --threshold=20 dockreg-host")
	// An upgrade starts the new program, a wrong setting ends it for good.
	m.run("dpkg -i /dist/" + deb)
	if second := m.run("systemctl show -p MainPID --value dockreg-host"); second == first || second == "0" {
		t.Errorf("after an upgrade the process is %s, and was %s", second, first)
	}
	m.run("echo DOCKREG_LOG_LEVEL=loud >>/etc/default/dockreg-host; systemctl restart dockreg-host || true")
	err = poll(t, busy+10*time.Second, func() error {
		if out := m.run("systemctl show -p ActiveState -p ExecMainStatus --value dockreg-host"); !regexp.MustCompile(`(?s)2.*failed|failed.*2`).MatchString(out) {
			return fmt.Errorf("with a wrong setting it is %s", out)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	m.run("sed -i '$d' /etc/default/dockreg-host && systemctl restart dockreg-host && apt-get purge -y dockreg 2>&1")
	if out := m.run("systemctl is-active dockreg-host 2>&1 || true; ls /run/dockreg /etc/systemd/system/multi-user.target.wants/dockreg-host.service 2>&1 || true"); !strings.HasPrefix(out, "inactive") || strings.Count(out, "No such file") != 2 {
		t.Errorf("after a purge the service is %s", out)
	}
}

// rpm reads the package, finds its digests right, and installs its files.
func TestRPM(t *testing.T) {
	needDocker(t)
	t.Parallel()
	_, rpm := releasedFile(t, ".rpm")
	m := startMachine(t, packages)
	out := m.run("rpm -K /dist/" + rpm + "; rpm -qpl /dist/" + rpm + "; rpm -qp --qf '%{NAME} %{VERSION} %{RELEASE} %{LICENSE} %{BUILDHOST}\\n' /dist/" + rpm + "; rpm -qpc /dist/" + rpm)
	for _, want := range []string{
		"digests OK\n", "\n/usr/bin/dockreg\n", "\n/usr/lib/systemd/system/dockreg-host.service\n", "\n/usr/share/man/man1/dockreg.1.gz\n",
		"\n/usr/share/licenses/dockreg/LICENSE\n", "\ndockreg 1.2.3 1 Apache-2.0 localhost\n/etc/default/dockreg-host",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("rpm does not say %q:\n%s", want, out)
		}
	}
	m.run("mkdir /tmp/root && rpm --root /tmp/root --nodeps --noscripts -i /dist/" + rpm)
	if out := m.run("/tmp/root/usr/bin/dockreg --version; rpm --root /tmp/root --nodeps --noscripts -V dockreg"); !strings.HasPrefix(out, "dockreg 1.2.3 (commit abc, go") {
		t.Errorf("installed is %s", out)
	}
	m.run("rpm --root /tmp/root --noscripts -e dockreg; test ! -e /tmp/root/usr/bin/dockreg")
}

// The archive needs nothing around it, and the image is there to be copied from.
func TestArchiveAndImage(t *testing.T) {
	needDocker(t)
	t.Parallel()
	archive, _ := releasedFile(t, ".tar.gz")
	tar, loaded := ownImage(t, "archive-image")
	empty, copied := fmt.Sprint("dockreg-archive-test-", os.Getpid()), fmt.Sprint("dockreg-copy-test-", os.Getpid())
	t.Cleanup(func() {
		_ = exec.Command("docker", "rm", "-f", copied).Run()
		_ = exec.Command("docker", "rmi", "-f", empty, copied).Run()
	})
	version := "dockreg 1.2.3 (commit abc, " + runtime.Version() + ")\n"
	program := strings.TrimSuffix(filepath.Base(archive), ".tar.gz") + "/dockreg"
	for _, step := range []struct{ name, commands, want string }{
		{"alone in a root", "docker import " + archive + " " + empty + " >/dev/null && docker run --rm " + empty + " /" + program + " --version", version},
		{"loaded", "docker load -q -i " + tar + " && docker run --rm " + loaded + " --version", "Loaded image: " + loaded + "\n" + version},
		{"copied from", "printf 'FROM " + packages + "\\nCOPY --from=" + loaded + " /dockreg /usr/bin/dockreg\\n' | " +
			"docker build -q -t " + copied + " - >/dev/null 2>&1 && docker run --rm " + copied + " dockreg --version", version},
		{
			"as another user", "docker run -d --rm --name " + copied + " --user 1000 --network none " + loaded + " --port 8000 --host-port 8000 --ip 10.1.0.101 --etcd 127.0.0.1:2379 >/dev/null && " +
				"until docker logs " + copied + " 2>&1 | grep -q 'waiting for the app'; do sleep 0.1; done; docker exec " + copied + " dockreg status | grep '^key'; docker kill " + copied + " >/dev/null",
			"key         /service/10.1.0.101:8000\n",
		},
		{"the sums", "cd " + filepath.Dir(archive) + " && sha256sum --quiet -c SHA256SUMS && echo right", "right\n"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		out, err := exec.CommandContext(ctx, "sh", "-c", step.commands).CombinedOutput()
		cancel()
		if err != nil || string(out) != step.want {
			t.Errorf("%s: %s, %v; want %s", step.name, out, err, step.want)
		}
	}
}

// README.md has the flags that the program has, as make readme writes them.
func TestReadmeHasTheFlagsOfTheProgram(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := released(); err != nil { // which builds what writes it
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	write := exec.Command(filepath.Join(commands, "source", ".cache", "bin", "release"), "-built", "../dist", "-readme", path)
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if written, err := os.ReadFile(path); err != nil || string(written) != string(text) {
		t.Errorf("README.md lacks, or has too much; make readme writes it (%v):\n%s", err, difference(string(text), string(written)))
	}
}
