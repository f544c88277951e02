package host

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// P11: a container learns what it needs to find its address, and nothing else.
func TestP11ItselfAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, asked := range []string{"self", ownID, ownID[:12], ownID[:1], "web"} {
		status, body := w.get(t, "/v1.41/containers/"+asked+"/json")
		var c container.InspectResponse
		if err := json.Unmarshal([]byte(body), &c); err != nil || status != http.StatusOK || c.ID != ownID || c.NetworkSettings.Ports["8000/tcp"][0].HostPort != "32768" {
			t.Errorf("%s: %d, %v, %s", asked, status, err, body)
		}
		if strings.Contains(body, "hunter2") || strings.Contains(body, "4711") {
			t.Errorf("%s: more than is needed: %s", asked, body)
		}
		if n := c.NetworkSettings.Networks["bridge"]; n == nil || n.IPAddress != "172.17.0.2" || n.GlobalIPv6Address != "2001:db8::2" {
			t.Errorf("%s: no address of its own: %s", asked, body)
		}
		if !c.HostConfig.PublishAllPorts || len(c.HostConfig.PortBindings) != 1 || len(c.Config.ExposedPorts) != 1 || c.HostConfig.NetworkMode != "bridge" || !c.State.Running {
			t.Errorf("%s: less than is needed: %s", asked, body)
		}
	}
	_, is := w.get(t, "/containers/"+otherID+"/json")
	_, isNot := w.get(t, "/containers/"+strings.Repeat("c", 64)+"/json")
	if strings.ReplaceAll(is, otherID, "") != strings.ReplaceAll(isNot, strings.Repeat("c", 64), "") {
		t.Errorf("it shows whether there is such a container: %s, %s", is, isNot)
	}
}

// A container that was renamed is known by its new name from its next question on.
func TestRenamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name := func() string {
		t.Helper()
		if status, body := w.get(t, "/containers/self/json"); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		w.containers.mu.Lock()
		defer w.containers.mu.Unlock()
		return w.containers.running[ownID].name
	}
	name()
	w.engine.set(inspected(ownID, "old", "bridge", `null`))
	if now := name(); now != "old" {
		t.Errorf("it is %s", now)
	}
}

// P11: all else is refused, however it is said.
func TestP11Refused(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]int{
		"GET /containers/" + otherID + "/json":                          404,
		"GET /containers/" + otherID[:12] + "/json":                     404,
		"GET /containers/db/json":                                       404,
		"GET /containers/" + ownID + "a/json":                           404,
		"GET /containers/json/json":                                     404,
		"GET /containers/" + strings.ToUpper(ownID) + "/json":           404,
		"GET /containers/json":                                          403,
		"GET /containers/self/json/":                                    403,
		"GET /containers/self/json?size=1":                              403,
		"GET /containers/self/json#":                                    403,
		"GET /containers/self/top":                                      403,
		"GET /containers/self/logs":                                     403,
		"GET /containers/self/archive?path=/":                           403,
		"POST /containers/self/json":                                    403,
		"HEAD /containers/self/json":                                    403,
		"POST /containers/create":                                       403,
		"POST /containers/self/exec":                                    403,
		"DELETE /containers/self":                                       403,
		"GET /images/json":                                              403,
		"GET /info":                                                     403,
		"GET /events":                                                   403,
		"GET /":                                                         403,
		"OPTIONS *":                                                     403,
		"GET http://x/containers/self/json":                             403,
		"CONNECT x:1":                                                   403,
		"PRI *":                                                         403,
		"GET /containers/../containers/json":                            403,
		"GET /containers/self/../" + otherID + "/json":                  403,
		"GET /containers/%2e%2e/json":                                   403,
		"GET /containers/..%2f" + otherID + "/json":                     403,
		"GET //containers/self/json":                                    403,
		"GET /containers//self/json":                                    403,
		"GET /containers/%73elf/json":                                   403,
		"GET /v2/containers/self/json":                                  403,
		"GET /v1.41/v1.41/containers/self/json":                         403,
		"GET /v1.999999/containers/self/json":                           403,
		"GET /V1.41/containers/self/json":                               403,
		"GET /v1.41/../containers/self/json":                            403,
		"GET /dockreg/will/for/192.0.2.1:80":                            404, // without etcd
		"PUT /dockreg/will/1":                                           404,
		"GET /dockreg/will":                                             403,
		"GET /dockreg/will/1":                                           403,
		"PUT /dockreg/will/for/192.0.2.1:80":                            403,
		"get /containers/self/json":                                     403,
		"GET /containers/" + strings.Repeat("a", 200) + "/json":         403,
		"GET /containers/self/json\x00":                                 0, // not HTTP: no answer
		"GET  /containers/self/json":                                    0,
		"GET /containers/self/json HTTP/1.1\r\nTransfer-Encoding: gzip": 0,
	} {
		t.Run(request[:min(60, len(request))], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			said := w.say(t, request+" HTTP/1.1\r\nHost: x\r\n\r\nGET /containers/self/json HTTP/1.1\r\nHost: x\r\n\r\n")
			if want == 0 {
				if said != "" {
					t.Errorf("an answer: %q", said)
				}
				return
			}
			if !strings.HasPrefix(said, "HTTP/1.1 ") || statusOf(said) != want {
				t.Errorf("%q, want %d", said, want)
			}
			if strings.Count(said, "HTTP/1.1 ") != 1 || strings.Contains(said, ownID) && !strings.Contains(request, ownID) {
				t.Errorf("after the refusal there is more: %q", said)
			}
		})
	}
}

func statusOf(said string) (status int) {
	for _, digit := range strings.TrimPrefix(said, "HTTP/1.1 ")[:3] {
		status = 10*status + int(digit-'0')
	}
	return status
}

// A request that can be read in two ways gets one refusal, and nothing that stands behind
// it is read.
func TestP11Smuggling(t *testing.T) {
	t.Parallel()
	const hidden = "GET /containers/self/json HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, request := range map[string]string{
		"a body":              "GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 49\r\n\r\n" + hidden,
		"two lengths":         "GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 49\r\n\r\n" + hidden,
		"chunks and a length": "GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks":              "GET /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"odd chunks":          "GET /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"a negative length":   "GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" + hidden,
		"a length with a +":   "GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: +49\r\n\r\n" + hidden,
		"no HTTP":             "hello\r\n\r\n" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if said := w.say(t, request); strings.Contains(said, ownID) || strings.Contains(said, " 200 ") || strings.Count(said, "HTTP/1.1") > 1 {
				t.Errorf("%q", said)
			}
		})
	}
}

// What Docker's client asks first is answered, and several questions come on one
// connection.
func TestPingAndVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	said := w.say(t, "HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /v1.44/_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if strings.Count(said, "HTTP/1.1 200 OK\r\nServer: dockreg\r\n") != 3 || strings.Count(said, "\r\n\r\nOK") != 1 || strings.Count(said, "Api-Version: 1.44\r\n") != 2 {
		t.Errorf("%q", said)
	}
	if !strings.Contains(said, `"Version":"1.2.3"`) || !strings.Contains(said, `"ApiVersion":"1.44"`) {
		t.Errorf("%q", said)
	}
}

// P11: with --network container:X the caller may ask about X too, and of any other
// container that says so of itself nothing follows.
func TestP11NetworkOfAnotherContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.set(inspected(ownID, "web", "container:"+otherID, "null"))
	if status, body := w.get(t, "/containers/"+otherID+"/json"); status != 200 || !strings.Contains(body, otherID) || strings.Contains(body, "hunter2") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := w.get(t, "/containers/self/json"); status != 200 || !strings.Contains(body, `"NetworkMode":"container:`+otherID) {
		t.Errorf("%d %s", status, body)
	}
	w.engine.set(inspected(ownID, "web", "bridge", "null"))
	w.engine.set(inspected(otherID, "db", "container:"+ownID, "null"))
	if status, body := w.get(t, "/containers/"+otherID+"/json"); status != 404 {
		t.Errorf("%d %s", status, body)
	}
	third := strings.Repeat("c", 64)
	w.engine.set(inspected(ownID, "web", "container:"+otherID, "null"))
	w.engine.set(inspected(otherID, "db", "container:"+third, "null"))
	w.engine.set(inspected(third, "far", "bridge", "null"))
	for _, id := range []string{ownID, otherID, third} {
		if status, body := w.get(t, "/containers/"+id+"/json"); status != 200 || !strings.Contains(body, `"Id":"`+id) {
			t.Errorf("over two hops: %d %s", status, body)
		}
	}
	w.engine.set(inspected(ownID, "web", "container:"+strings.Repeat("d", 64), "null"))
	if status, body := w.get(t, "/containers/self/json"); status != 200 {
		t.Errorf("the other one is gone: %d %s", status, body)
	}
}

// P11: of a container that could answer others in the service's place, the log warns, once a
// minute. This process, which is in the container as far as the service can tell, may write
// to its own folder.
func TestP11WritableFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Service) { s.Folder = t.TempDir() })
	for range 3 {
		if status, body := w.get(t, "/containers/self/json"); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	}
	if n := strings.Count(w.logged(), "a container could put another socket in the place of this service's"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}

// What the host has to mend is told to its log, and the container is told who can't be
// asked; so also by a caller of which only Docker could say that it is in no container.
func TestBrokenEngine(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*world{"in a container": newWorld(t), "unknown": newWorldOf(t, cgroups{"": "/user.slice"})} {
		w.engine.breakDown(errors.New("a secret of the host"))
		for range 3 {
			if status, body := w.get(t, "/containers/self/json"); status != 503 || !strings.Contains(body, "dockreg host can't ask Docker; its log says why") || strings.Contains(body, "secret") {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
		if n := strings.Count(w.logged(), `level=WARN msg="can't answer, because Docker can't be asked" err="a secret of the host"`); n != 1 {
			t.Errorf("%s: %d warnings, want 1", name, n)
		}
	}
}

// P11: who is in no container learns nothing.
func TestP11CallerInNoContainer(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, cgroups{"": "/user.slice"})
	if status, body := w.get(t, "/containers/self/json"); status != 403 || !strings.Contains(body, "no container") {
		t.Errorf("%d %s", status, body)
	}
}

// P11: a connection whose opener has ended is of nobody, whoever holds it now.
func TestP11PassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// A child opens the connection, hands it to a child of its own, and ends; that one asks
	// when it hears that it may.
	opener := exec.Command(os.Args[0], "-test.run=^TestPassedOnHelper$")
	opener.Env = append(os.Environ(), "HOST_SOCKET="+w.path)
	out, err := opener.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.Contains(string(out), ownID) || !strings.Contains(string(out), "has ended") {
		t.Errorf("%s", out)
	}
}
