package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// P11: a connection says who its opener is, and so it is worth nothing when that has ended,
// whoever has it then.
func TestP11PassedOnConnection(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t)
	c := visit(t, folder)
	// The opener, which may have been answered before, hands its connection on, and ends.
	out := python(t, c, `
def passed_on(inherited, answered, reaped):
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        while True:
            s = connect()
            if not answered:
                break
            s.sendall(about_self.encode())
            if b'"Id"' in s.recv(65536):
                break
        if inherited:
            if os.fork() != 0:
                os._exit(0)
            here.close()
            there.recv(1) # told that the opener has ended
            there.sendall(tell(s, about_self.encode()).encode())
            os._exit(0)
        socket.send_fds(there, [b"x"], [s.fileno()])
        os._exit(0)
    there.close()
    if not inherited:
        s = socket.socket(fileno=socket.recv_fds(here, 1, 1)[1][0])
        s.settimeout(20)
    os.waitid(os.P_PID, pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
    if inherited:
        here.sendall(b"x")
        answer = b""
        while more := here.recv(65536):
            answer += more
        answer = answer.decode()
    else:
        answer = tell(s, about_self.encode())
    if not reaped:
        os.waitid(os.P_PID, pid, os.WEXITED)
    return answer
ask(about_self)
print(json.dumps([passed_on(i, a, r) for i in (False, True) for a in (False, True) for r in (False, True)]))
`)
	answers := decode(t, out)
	if len(answers) != 8 {
		t.Fatalf("%d answers", len(answers))
	}
	for i, answer := range answers {
		how := fmt.Sprintf("inherited: %t, answered before: %t, reaped: %t", i&4 != 0, i&2 != 0, i&1 != 0)
		status := 403
		if i&2 == 0 {
			status = 0 // it may have ended before it was let in
		}
		wantRefused(t, how, answer, status)
	}
	wantOwn(t, ask(t, c, request("GET", "/containers/self/json"))[0], c)
}

// P11: names of cgroups say nothing: a process in a group with another container's id, made
// within its own container's group, is told of its own container.
func TestP11CgroupOfAnothersName(t *testing.T) {
	needDocker(t)
	if os.Geteuid() != 0 {
		t.Skip("only root makes cgroups")
	}
	t.Parallel()
	folder, _ := startHost(t)
	victim, attacker := visit(t, folder), visit(t, folder)
	groups := cgroupsOf(t, attacker)
	for i, group := range groups {
		groups[i] = filepath.Join(group, victim.ID)
		if err := os.Mkdir(groups[i], 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := poll(t, 10*time.Second, func() error { return os.Remove(groups[i]) }); err != nil {
				t.Error(err)
			}
		})
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // without which none may enter
			if text, err := os.ReadFile(filepath.Join(group, file)); err == nil {
				_ = os.WriteFile(filepath.Join(groups[i], file), text, 0o644)
			}
		}
	}
	answer := make(chan string)
	go func() {
		defer close(answer)
		out, err := attacker.Exec("python3", "-c", pythonClient+`
deadline = time.monotonic() + 20
while not all(sys.argv[1] in group for group in open("/proc/self/cgroup") if group.split(":", 2)[2] != "/\n"):
    if time.monotonic() > deadline:
        sys.exit("still in " + open("/proc/self/cgroup").read())
    time.sleep(.02)
print(json.dumps([ask(r) for r in (about_self, about_self.replace("self", sys.argv[1]))]))
`, victim.ID)
		if err != nil {
			out = err.Error()
		}
		answer <- out
	}()
	err := poll(t, 50*time.Second, func() error { // a busy Docker may be late to start it
		pids, err := os.ReadFile(filepath.Join(filepath.Dir(groups[0]), "cgroup.procs"))
		if err != nil {
			return err
		}
		for _, pid := range strings.Fields(string(pids)) {
			line, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
			if !strings.Contains(string(line), "deadline") || !strings.HasPrefix(string(line), "python3") {
				continue
			}
			for _, group := range groups {
				if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(pid), 0o644); err != nil {
					return fmt.Errorf("move into %s: %w", group, err)
				}
			}
			return nil
		}
		return fmt.Errorf("the attacker's process is not there")
	})
	if err != nil {
		t.Error(err)
	}
	if answers := decode(t, <-answer); len(answers) == 2 {
		wantOwn(t, answers[0], attacker)
		wantRefused(t, "the other's id", answers[1], 404)
	}
}

// cgroupsOf returns the folders of the groups that a container's first process is in, one
// in each hierarchy that has a group for it.
func cgroupsOf(t *testing.T, c *testbed.Container) (folders []string) {
	t.Helper()
	pid := firstOf(t, c)
	lines, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		hierarchies := []string{strings.TrimPrefix(fields[1], "name=")}
		if fields[1] == "" {
			hierarchies = []string{"unified", ""} // beside those of v1, or alone
		}
		for _, hierarchy := range hierarchies {
			folder := filepath.Join("/sys/fs/cgroup", hierarchy, fields[2])
			if _, err := os.Stat(filepath.Join(folder, "cgroup.procs")); err == nil && fields[2] != "/" {
				folders = append(folders, folder)
				break
			}
		}
	}
	if len(folders) == 0 {
		t.Skipf("no cgroups of process %d are to be seen", pid)
	}
	return folders
}

// P11: who is in no container is told nothing, and keeps no container from being answered.
func TestP11ProcessInNoContainer(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t, "--etcd", etcd.URL)
	for _, r := range []string{
		request("GET", "/containers/self/json"), request("GET", "/containers/a/json"), request("GET", "/containers/json"),
		request("GET", "/dockreg/will"), request("PUT", "/dockreg/will/1"), request("DELETE", "/dockreg/will/1"),
	} {
		wantRefused(t, r, askHere(t, folder, r), 403)
	}

	// The service asks Docker what runs for who is in no container that it knows. Many of
	// them are no reason to wait for a container that has only just started.
	ctx := t.Context()
	for range 24 {
		go func() {
			for ctx.Err() == nil {
				_, _ = tryHere(folder, request("GET", "/containers/self/json"))
				time.Sleep(10 * time.Millisecond) // or nothing else here, such as the tests' etcd, has a processor
			}
		}()
	}
	c := attack(t, folder, timed+`
print("answered after " + str(timed()))
signal.pause()`)
	took := figure(t, awaitLogged(t, c, "answered after ", 1), "answered after ")
	t.Logf("figure: the first question of a container was answered within %.0f ms", took*1000)
	if took > (2*time.Second + busy).Seconds() {
		t.Errorf("a container was answered after %.1f s", took)
	}
}

// timed says how long it takes until one's own answer is there.
const timed = `
def timed():
    began = time.monotonic()
    while '"Id":"' + socket.gethostname() not in (answer := tell(connect(), about_self.encode())):
        print("waiting", time.monotonic() - began, answer)
        time.sleep(.1)
    return time.monotonic() - began
`

// figure returns the number behind these words.
func figure(t *testing.T, text, words string) float64 {
	t.Helper()
	var n float64
	_, rest, _ := strings.Cut(text, words)
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatalf("%v behind %q in %s", err, words, text)
	}
	return n
}

// wantSoon fails the test unless the service answers the container within 2 s, each of n
// times.
func wantSoon(t *testing.T, c *testbed.Container, n int) {
	t.Helper()
	took := figure(t, python(t, c, timed+`print("longest", max(timed() for _ in range(int(sys.argv[1]))))`, strconv.Itoa(n)), "longest")
	t.Logf("figure: answered within %.0f ms", took*1000)
	if took > (2*time.Second + busy).Seconds() {
		t.Errorf("the container was answered after %.1f s", took)
	}
}
