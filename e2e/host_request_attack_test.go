package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

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
	var answer string
	if err := poll(t, time.Minute, func() error {
		answer = ask(t, attacker, request("GET", "/containers/self/json")+hidden+hidden)[0]
		if late := strings.Contains(answer, "HTTP/1.1 503 ") || strings.Contains(answer, "HTTP/1.1 429 "); late {
			return errors.New("a busy Docker did not answer in time")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	own, other, _ := strings.Cut(answer, "}HTTP/1.1 ")
	wantOwn(t, own+"}", attacker)
	wantRefused(t, hidden, "HTTP/1.1 "+other, 404)
}
