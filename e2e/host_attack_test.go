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
    while (answer := tell(connect(), request.encode("latin-1"))).startswith("HTTP/1.1 503 "):
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
func askHere(t *testing.T, folder, request string) string {
	t.Helper()
	answer, err := tryHere(folder, request)
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

// P11: a container is told of itself alone, whatever it asks, and changes nothing.
func TestP11OnlyItself(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t)
	victim, attacker := visit(t, folder), visit(t, folder)
	names := map[*testbed.Container]string{}
	for _, c := range []*testbed.Container{victim, attacker} {
		name, err := c.Do("inspect", "--format", "{{.Name}}")
		if err != nil {
			t.Fatal(err)
		}
		names[c] = strings.TrimPrefix(name, "/")
	}
	id, prefix := victim.ID, 1
	for id[:prefix] == attacker.ID[:prefix] {
		prefix++
	}
	upper := "F" + strings.ToUpper(attacker.ID[1:])

	wants := map[string]int{}
	want := func(status int, method string, paths ...string) {
		for _, path := range paths {
			wants[request(method, path)] = status
		}
	}
	for _, other := range []string{id, id[:12], id[:prefix], names[victim], strings.ToUpper(id), upper, "nobody"} {
		want(404, "GET", "/containers/"+other+"/json", "/v1.41/containers/"+other+"/json")
	}
	for _, whose := range []string{id, "self"} {
		c := "/containers/" + whose
		for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "GETX"} {
			want(403, method, c+"/json")
		}
		want(403, "GET", c+"/logs?stdout=1", c+"/top", c+"/stats?stream=false", c+"/changes", c+"/export", c+"/archive?path=/", c+"/attach/ws")
		want(0, "GET", "docker"+c+"/json", "http://%zz"+c+"/json") // no URI
		want(0, "CONNECT", c+"/json")
		want(403, "PUT", c+"/archive?path=/")
		want(403, "POST", c+"/start", c+"/stop", c+"/kill", c+"/restart", c+"/exec", c+"/update", c+"/rename?name=x", c+"/attach?stream=1")
		want(403, "DELETE", c+"?force=1")
		want(403, "GET", "/containers/self/../"+whose+"/json", "/containers/./"+whose+"/json", "/containers/%2e%2e/containers/"+whose+"/json",
			"//containers/"+whose+"/json", "/containers//"+whose+"/json", "/containers/self%2f..%2f"+whose+"/json", "/containers%2f"+whose+"/json",
			c+"/json/", c+"//json", c+"/json?size=1", c+"/json?", c+"/json%3f", c+"/json;x", c+"%00/json", c+"/JSON", c+"\\json", c+"/json/../top",
			"http://docker"+c+"/json", "http+unix://docker"+c+"/json",
			"/v2"+c+"/json", "/v1.999999"+c+"/json", "/V1.41"+c+"/json", "/v1."+c+"/json", "/v1.41/v1.41"+c+"/json", "/v1.41/.."+c+"/json")
	}
	want(403, "GET", "/containers/json", "/containers/json?all=1", "/v1.41/containers/json", "/events", "/info", "/images/json", "/system/df",
		"/networks", "/volumes", "/secrets", "/_ping/..", "/version/", "/", "*", "/containers/-/json", "/containers/"+strings.Repeat("a", 200)+"/json")
	want(403, "POST", "/containers/create", "/build", "/exec/x/start", "/session", "/_ping", "/version", "/containers/prune", "/images/create?fromImage=x")

	var requests []string
	for r := range wants {
		requests = append(requests, r)
	}
	slices.Sort(requests)
	// Each connection's requests are counted, and so this takes a second for each 40.
	for i, answer := range ask(t, attacker, requests...) {
		wantRefused(t, requests[i], answer, wants[requests[i]])
	}
	for i, answer := range ask(t, attacker, request("GET", "/v1.41/containers/self/json"), request("GET", "/containers/"+attacker.ID[:12]+"/json"),
		request("GET", "/containers/"+attacker.ID+"/json"), request("GET", "/v1.24/containers/"+names[attacker]+"/json")) {
		t.Logf("own answer %d", i)
		wantOwn(t, answer, attacker)
	}
	if state, err := victim.Do("inspect", "--format", "{{.State.Status}} {{.RestartCount}}"); err != nil || state != "running 0" {
		t.Errorf("the other container is %s, %v", state, err)
	}
}

// P11: what is in one connection more than one request is read as one, and refused, or not
// read at all.
func TestP11SmuggledRequests(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t)
	victim, attacker := visit(t, folder), visit(t, folder)
	const head = "GET /containers/self/json HTTP/1.1\r\nHost: docker\r\n"
	hidden := request("GET", "/containers/"+victim.ID+"/json")
	length := fmt.Sprintf("Content-Length: %d\r\n", len(hidden))
	attacks := map[string]string{
		"a body":                      head + length + "\r\n" + hidden,
		"two lengths":                 head + length + "Content-Length: 5\r\n\r\n" + hidden,
		"twice the same length":       head + length + length + "\r\n" + hidden,
		"a list of lengths":           head + "Content-Length: 0, 5\r\n\r\n" + hidden,
		"a length with a sign":        head + "Content-Length: +5\r\n\r\n" + hidden,
		"a length below 0":            head + "Content-Length: -1\r\n\r\n" + hidden,
		"a length beyond all":         head + "Content-Length: 99999999999999999999\r\n\r\n" + hidden,
		"chunked":                     head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunked, and a length":       head + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunked, behind a tab":       head + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunked twice":               head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"another encoding":            head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a space before the colon":    head + "Content-Length : 5\r\n\r\n" + hidden,
		"a folded length":             head + "Content-Length:\r\n 5\r\n\r\nhello" + hidden,
		"bare line feeds":             "POST /containers/self/json HTTP/1.1\nHost: docker\n\n" + hidden,
		"bare carriage returns":       "POST /containers/self/json HTTP/1.1\rHost: docker\r\r" + hidden,
		"a NUL in a header":           head + "X: \x00\r\n\r\n" + hidden,
		"a NUL in the path":           "GET /containers/self\x00/json HTTP/1.1\r\nHost: docker\r\n\r\n" + hidden,
		"a NUL in a header's name":    head + "X\x00: x\r\n\r\n" + hidden,
		"a NUL for an end of line":    "GET /containers/" + victim.ID + "/json HTTP/1.1\x00Host: docker\r\n\r\n" + hidden,
		"a line feed in the path":     "GET /containers/self\n/json HTTP/1.1\r\nHost: docker\r\n\r\n" + hidden,
		"a header that is a request":  "GET /containers/x/json HTTP/1.1\r\n" + hidden + hidden,
		"a second request":            hidden + hidden,
		"a second one about oneself":  hidden + request("GET", "/containers/self/json"),
		"a second one, after a list":  request("GET", "/containers/json") + request("GET", "/containers/self/json"),
		"HTTP/0.9":                    "GET /containers/self/json\r\n\r\n" + hidden,
		"HTTP/2's beginning":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
		"an upgrade, with a body":     head + "Connection: Upgrade\r\nUpgrade: tcp\r\n" + length + "\r\n" + hidden,
		"a request to be continued":   head + "Expect: 100-continue\r\n" + length + "\r\n" + hidden,
		"a method that is put over":   head + "X-HTTP-Method-Override: POST\r\n" + length + "\r\n" + hidden,
		"a TLS handshake":             "\x16\x03\x01\x02\x00\x01\x00\x01\u00fc\x03\x03" + hidden,
		"spaces in the request":       "GET  /containers/" + victim.ID + "/json  HTTP/1.1\r\nHost: docker\r\n\r\n" + hidden,
		"nothing before the request":  "\r\n\r\n" + hidden + hidden,
		"a path in the Host, as well": "GET /containers/x/json HTTP/1.1\r\nHost: docker/containers/" + victim.ID + "\r\n\r\n" + hidden,
	}
	var names, requests []string
	for name, r := range attacks {
		names, requests = append(names, name), append(requests, r)
	}
	for i, answer := range ask(t, attacker, requests...) {
		t.Run(names[i], func(t *testing.T) { wantRefused(t, requests[i], answer, 0) })
	}
	wantOwn(t, ask(t, attacker, "GET /containers/self/json HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"+hidden)[0], attacker)
	// One after the other is no trick, and each is answered for itself.
	answer := ask(t, attacker, request("GET", "/containers/self/json")+hidden+hidden)[0]
	own, other, _ := strings.Cut(answer, "}HTTP/1.1 ")
	wantOwn(t, own+"}", attacker)
	wantRefused(t, hidden, "HTTP/1.1 "+other, 404)
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
	attacker, other := visit(t, folder), visit(t, folder)
	for _, command := range []string{"rm -f docker.sock", "mv docker.sock other.sock", "chmod 0 docker.sock", "touch x", "ln -sf /x docker.sock", "mount -o remount,rw /run/dockreg"} {
		if out, err := attacker.Exec("sh", "-c", "cd /run/dockreg && "+command); err == nil {
			t.Errorf("%s: %s", command, out)
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("the folder has %v, %v", files, err)
	}
	wantOwn(t, ask(t, other, request("GET", "/containers/self/json"))[0], other)
}
