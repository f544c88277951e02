package docker

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// A Locator is asked again, and finds what is true then.
func TestLocateAgain(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("both", "app")
	_, ready := inspected(t, "both")
	starting := strings.Replace(string(ready), `"Ports": {`, `"Ports": null, "Later": {`, 1)
	e.from(func(w http.ResponseWriter, _ *http.Request) { say(w, starting) })
	l := locator(t, Config{Host: e.onSocket(), IP: addr("10.1.0.101")}, procWith(id), "app-1")
	_, err := l.Locate(t.Context())
	mustSay(t, err, nil, "port 8000", "yet")
	e.from(nil)
	mustLocate(t, l, "10.1.0.101:32797")
}

// Every engine gets its words in an API version that it knows: of 20.10, of 29,
// and of one that is newer than this program.
func TestNegotiation(t *testing.T) {
	t.Parallel()
	for _, api := range []struct{ min, max int }{{12, 41}, {44, 52}, {24, 43}, {44, 99}} {
		t.Run(fmt.Sprintf("1.%d to 1.%d", api.min, api.max), func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t) // which fails the test on another version
			e.min, e.max = api.min, api.max
			id := e.add("specific", "app")
			l := locator(t, Config{Host: e.onSocket()}, procWith(id), "app-1")
			mustLocate(t, l, "127.0.0.1:18000")
			mustLocate(t, l, "127.0.0.1:18000")
			e.mustHaveBeenAsked(id, id)
		})
	}
}

// An engine that is replaced under its containers is spoken to in the versions that the
// new one knows.
func TestEngineIsReplaced(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("specific", "app")
	path := socketPath(t)
	l := locator(t, Config{Host: "unix://" + path}, procWith(id), "app-1")
	for _, api := range []struct{ min, max int }{{12, 41}, {44, 52}, {24, 43}} {
		e.min, e.max = api.min, api.max
		_, stop := e.serve("unix", path)
		mustLocate(t, l, "127.0.0.1:18000")
		stop()
	}
}

// An address that only something in front of the host may bring to where Docker has
// published the port is found, with a warning: once, until that changes.
func TestTranslatedAddress(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		recorded, published, ip string
		want, doubt             string
	}{
		"another IPv4":            {"specific", "192.168.1.5", "10.1.0.101", "10.1.0.101:18000", "192.168.1.5:18000"},
		"IPv4 for IPv6":           {"specific", "192.168.1.5", "2001:db8::1", "[2001:db8::1]:18000", "192.168.1.5:18000"},
		"every IPv4 for IPv6":     {"specific", "0.0.0.0", "2001:db8::1", "[2001:db8::1]:18000", "0.0.0.0:18000"},
		"every IPv6 for IPv4":     {"every-v6", "::", "10.1.0.101", "10.1.0.101:18012", "[::]:18012"},
		"another IPv4, no --ip":   {"specific", "192.168.1.5", "", "192.168.1.5:18000", ""},
		"the very IPv4":           {"specific", "10.1.0.101", "10.1.0.101", "10.1.0.101:18000", ""},
		"every IPv4":              {"specific", "0.0.0.0", "10.1.0.101", "10.1.0.101:18000", ""},
		"every IPv4, on loopback": {"specific", "0.0.0.0", "127.0.0.2", "127.0.0.2:18000", ""},
		"another loopback":        {"specific", "127.0.0.1", "127.0.0.1", "127.0.0.1:18000", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			id := e.add(tt.recorded, "app")
			_, raw := inspected(t, tt.recorded)
			answers := strings.NewReplacer(`"127.0.0.1"`, `"`+tt.published+`"`)
			e.from(body(answers.Replace(string(raw))))
			var log strings.Builder
			l := locator(t, Config{Host: e.onSocket(), IP: addr(tt.ip), Log: slog.New(slog.NewTextHandler(&log, nil))}, procWith(id), "app-1")
			mustLocate(t, l, tt.want)
			mustLocate(t, l, tt.want)
			want := 0
			if tt.doubt != "" {
				want = 1
			}
			if strings.Count(log.String(), "level=WARN") != want || !strings.Contains(log.String(), tt.doubt) {
				t.Errorf("want %d warnings of %s in\n%s", want, tt.doubt, log.String())
			}
			if addr(tt.ip).IsLoopback() {
				return
			}
			e.from(body(strings.NewReplacer(`"127.0.0.1"`, `"192.168.1.6"`, `"::"`, `"192.168.1.6"`).Replace(string(raw))))
			if _, err := l.Locate(t.Context()); err != nil {
				t.Error(err)
			}
			if tt.ip != "" && strings.Count(log.String(), "published=192.168.1.6:") != 1 {
				t.Errorf("no warning of what has changed in\n%s", log.String())
			}
		})
	}
}
