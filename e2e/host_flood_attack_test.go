package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// usage is what a process holds: memory, in KiB, and open files.
func usage(t *testing.T, p *process) (memory, files int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return int(figure(t, string(status), "VmRSS:")), len(open)
}

// flooded has a container attack the service with a script that says "again" after each
// round, and fails the test unless another one is answered meanwhile, and the service holds
// little more than before.
func flooded(t *testing.T, script string) {
	t.Helper()
	folder, p := startHost(t)
	other := visit(t, folder)
	wantSoon(t, other, 10)
	memory, files := usage(t, p)
	attacker := attack(t, folder, script)
	awaitLogged(t, attacker, "again", 1)
	wantSoon(t, other, 10)
	awaitLogged(t, attacker, "again", strings.Count(awaitLogged(t, attacker, "again", 1), "again")+1)
	wantSoon(t, other, 10)
	after, opened := usage(t, p)
	t.Logf("figure: %d KiB and %d files, after %d and %d", after, opened, memory, files)
	if after > memory+20<<10 || opened > files+200 {
		t.Errorf("the service holds %d KiB and %d files, after %d and %d before", after, opened, memory, files)
	}
}

// P11: 10,000 connections of one container on which nothing is asked keep nobody from being
// answered.
func TestP11IdleConnections(t *testing.T) {
	needDocker(t)
	t.Parallel()
	flooded(t, `
while True:
    kept = None # the last ones
    kept = [connect() for _ in range(10000)]
    print("again")
`)
}

// P11: nor do 1,000 requests at once, again and again.
func TestP11RequestsAtOnce(t *testing.T) {
	needDocker(t)
	t.Parallel()
	flooded(t, `
def one(start):
    start.wait()
    tell(connect(), about_self.encode() * 10)
while True:
    start = threading.Barrier(100)
    threads = [threading.Thread(target=one, args=(start,)) for _ in range(100)]
    for t in threads: t.start()
    for t in threads: t.join()
    print("again")
`)
}

// P11: nor does who never reads its answers.
func TestP11UnreadAnswers(t *testing.T) {
	needDocker(t)
	t.Parallel()
	flooded(t, `
while True:
    kept = [connect() for _ in range(30)]
    for s in kept:
        s.setblocking(False)
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            while True: s.send(about_self.encode() * 100)
        except OSError:
            pass
    print("again")
    time.sleep(.1)
`)
}

// P11: what comes slowly, or without an end, is cut off.
func TestP11SlowAndEndlessRequests(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t)
	c := visit(t, folder)
	out := python(t, c, `
def slow(request):
    s = connect()
    s.settimeout(.1) # the time between two bytes
    began = time.monotonic()
    try:
        for i in range(len(request)):
            s.sendall(request[i:i+1])
            try:
                if not s.recv(1):
                    break
                sys.exit("it was answered")
            except TimeoutError:
                pass
    except ConnectionError:
        pass
    return time.monotonic() - began
line = about_self.encode()[:-2]
print("line", slow(b"GET /" + b"x" * 300))
print("headers", slow(line + b"X: " + b"x" * 300))
print("nothing", slow(b"\r\n" * 150))
for request in (line + b"X: " + b"x" * (1 << 20), line + b"X: x\r\n" * (1 << 18), b"G" * (1 << 20), b"GET /" + b"x" * (1 << 20), line + b" x\r\n" * (1 << 18)):
    if tell(connect(), request + b"\r\n\r\n"):
        sys.exit("it was answered")
`)
	for _, what := range []string{"line", "headers", "nothing"} {
		took := figure(t, out, what)
		t.Logf("figure: slow %s, cut off after %.0f ms", what, took*1000)
		if took > 3+busy.Seconds() {
			t.Errorf("slow %s: cut off after %.1f s", what, took)
		}
	}
	wantOwn(t, ask(t, c, request("GET", "/containers/self/json"))[0], c)
}
