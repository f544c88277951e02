package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// pythonClient is how an attacker in a container talks to the service: in raw bytes.
const pythonClient = `
import json, os, signal, socket, sys, threading, time
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    while True:
        try:
            s.connect("/run/dockreg/docker.sock")
            return s
        except BlockingIOError: # the queue is full
            time.sleep(.01)
def tell(s, request):
    answer = b""
    try:
        s.sendall(request)
        s.shutdown(socket.SHUT_WR) # so that the service doesn't wait for more
        while more := s.recv(65536):
            answer += more
    except ConnectionError:
        pass
    return answer.decode("latin-1")
def ask(request):
    while (answer := tell(connect(), request.encode("latin-1"))).startswith(("HTTP/1.1 503 ", "HTTP/1.1 429 ")):
        time.sleep(.1) # too many within a second, or Docker is busy
    return answer
about_self = "GET /containers/self/json HTTP/1.1\r\nHost: docker\r\n\r\n"
`

// visit starts a container that sees the service's socket in that folder, and does nothing.
func visit(t *testing.T, folder string, args ...string) *testbed.Container {
	t.Helper()
	args = append([]string{"-v", folder + ":/run/dockreg:ro", "--entrypoint", "sleep"}, args...)
	return keep(t)(docker.Run(append(args, apps, "infinity")...))
}

// attack starts a container that sees the service's socket, and runs a script.
func attack(t *testing.T, folder, script string, args ...string) *testbed.Container {
	t.Helper()
	return keep(t)(docker.Run(append([]string{
		"-v", folder + ":/run/dockreg:ro", "--ulimit", "nofile=20000", "--entrypoint", "python3",
		apps, "-u", "-c", pythonClient + script,
	}, args...)...))
}

// python runs a script in the container, and returns what it prints.
func python(t *testing.T, c *testbed.Container, script string, args ...string) string {
	t.Helper()
	out, err := c.Exec(append([]string{"python3", "-c", pythonClient + script}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ask sends each request from within the container, on a connection of its own, and
// returns all that comes back on that.
func ask(t *testing.T, c *testbed.Container, requests ...string) []string {
	t.Helper()
	text, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	out := python(t, c, `print(json.dumps([ask(r) for r in json.loads(sys.argv[1])]))`, string(text))
	return decode(t, out)
}

// decode reads the answers that a script has printed.
func decode(t *testing.T, out string) (answers []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &answers); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return answers
}

// askHere is ask from this process, which is in no container.
func askHere(t *testing.T, folder, request string) (answer string) {
	t.Helper()
	err := poll(t, time.Minute, func() (err error) {
		if answer, err = tryHere(folder, request); strings.HasPrefix(answer, "HTTP/1.1 503 ") || strings.HasPrefix(answer, "HTTP/1.1 429 ") {
			err = fmt.Errorf("it has no time: %s", answer)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func tryHere(folder, request string) (string, error) {
	conn, err := net.Dial("unix", filepath.Join(folder, "docker.sock"))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte(request)); err != nil {
		return "", err
	}
	_ = conn.(*net.UnixConn).CloseWrite() // so that the service doesn't wait for more
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func request(method, path string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: docker\r\n\r\n"
}

// wantRefused fails the test unless the answer is one refusal with that status, and nothing
// else. The status 0 stands for no answer, or a refusal of any kind.
func wantRefused(t *testing.T, request, answer string, status int) {
	t.Helper()
	head := fmt.Sprintf("HTTP/1.1 %d ", status)
	if status == 0 {
		head = "HTTP/1.1 40"
	}
	if answer == "" && status == 0 {
		return
	}
	if !strings.HasPrefix(answer, head) || strings.Count(answer, "HTTP/1.") > 1 || strings.Contains(answer, `"Id"`) {
		t.Errorf("%q was answered with\n%s\nwant a refusal alone, %d", request, answer, status)
	}
}

// wantOwn fails the test unless the answer is about that container.
func wantOwn(t *testing.T, answer string, c *testbed.Container) {
	t.Helper()
	if !strings.HasPrefix(answer, "HTTP/1.1 200 ") || strings.Count(answer, "HTTP/1.") > 1 || !strings.Contains(answer, fmt.Sprintf(`{"Id":"%s"`, c.ID)) {
		t.Errorf("the answer to %.12s is\n%s", c.ID, answer)
	}
}

// P11: what runs in a container, with what environment and labels and beside what files, is
// not in the answer.
func TestP11NoSecrets(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t)
	const secret = "hunter2hunter2"
	c := visit(t, folder, "-p", "8000", "-e", "SECRET="+secret, "--label", "label-"+secret+"="+secret, "-v", "/volume-"+secret,
		"--tmpfs", "/tmp-"+secret, "--hostname", "host-"+secret, "--add-host", secret+":127.0.0.1", "--workdir", "/"+secret)
	answer := ask(t, c, request("GET", "/containers/self/json"))[0]
	wantOwn(t, answer, c)
	for _, word := range append(strings.Fields("Env Mounts Binds Cmd Args Path Labels Volumes Hostname Image LogPath Pid GraphDriver MacAddress Gateway infinity"), secret, folder) {
		if strings.Contains(answer, word) {
			t.Errorf("%q is in %s", word, answer)
		}
	}
}

// P11: who mounts the folder as the help says can't put a socket of its own there, at which
// it would answer for the service.
func TestP11SocketStays(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t)
	attacker := visit(t, folder)
	for _, command := range []string{"rm -f docker.sock", "mv docker.sock other.sock", "chmod 0 docker.sock", "touch x", "ln -sf /x docker.sock", "mount -o remount,rw /run/dockreg"} {
		if out, err := attacker.Exec("sh", "-c", "cd /run/dockreg && "+command); err == nil {
			t.Errorf("%s: %s", command, out)
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("the folder has %v, %v", files, err)
	}
	wantOwn(t, ask(t, attacker, request("GET", "/containers/self/json"))[0], attacker)
}

// P11: a container that may write to the service's folder, by whatever name it has that, is
// warned of, once a minute.
func TestP11WritableFolder(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, p := startHost(t)
	readOnly := visit(t, folder)
	writable := visit(t, folder, "-v", filepath.Dir(folder)+":/somewhere")
	for range 2 {
		ask(t, readOnly, request("GET", "/containers/self/json"))
		ask(t, writable, request("GET", "/containers/self/json"))
	}
	const warning = "a container could put another socket in the place of this service's"
	p.awaitLogged(t, warning)
	if text := p.stderr.String(); strings.Count(text, warning) != 1 || !strings.Contains(text, "container="+writable.ID[:12]) || strings.Contains(text, "container="+readOnly.ID[:12]) {
		t.Errorf("the log has\n%s", text)
	}
}

// P11: however often a caller is refused, the log says it once in a minute.
func TestP11RefusalsInTheLog(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, p := startHost(t)
	for _, c := range []*testbed.Container{visit(t, folder), visit(t, folder)} {
		ask(t, c, request("GET", "/containers/self/json"))
		forged := request("GET", "/containers/json?\tlevel=ERROR")
		for _, answer := range ask(t, c, slices.Repeat([]string{request("GET", "/events"), request("GET", "/containers/x/json"), forged}, 17)...) {
			wantRefused(t, "the list", answer, 0)
		}
		p.awaitLogged(t, "caller="+c.ID)
		var lines []string
		for line := range strings.Lines(p.stderr.String()) {
			if strings.Contains(line, "msg=refused") && strings.Contains(line, c.ID) {
				lines = append(lines, line)
			}
		}
		if len(lines) != 1 || !strings.Contains(lines[0], "/events") {
			t.Errorf("the log has of %.12s\n%s", c.ID, strings.Join(lines, ""))
		}
	}
}
