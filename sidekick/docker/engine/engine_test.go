package engine

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
)

// An engine that is replaced by one that takes none of the former's versions of the API
// is asked in its own from then on. It stands in for two releases of Docker, which one
// machine doesn't have.
func TestEngineIsReplaced(t *testing.T) {
	t.Parallel()
	type release struct{ min, max int64 }
	var now atomic.Pointer[release]
	versioned := regexp.MustCompile(`^/v1\.([0-9]+)/containers/(.*)/json$`)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", fmt.Sprintf("1.%d", now.Load().max))
		asked := versioned.FindStringSubmatch(r.URL.Path)
		switch {
		case r.URL.Path == "/_ping":
		case r.URL.Path == "/containers/json":
			_, _ = fmt.Fprint(w, `[{"Id": "abc"}]`)
		case asked == nil:
			w.WriteHeader(http.StatusForbidden)
		default:
			if minor, _ := strconv.ParseInt(asked[1], 10, 64); minor < now.Load().min || minor > now.Load().max {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = fmt.Fprint(w, `{"message": "client version is too old, or too new"}`)
				return
			}
			_, _ = fmt.Fprintf(w, `{"Id": %q, "Config": {}, "HostConfig": {}, "NetworkSettings": {}}`, asked[2])
		}
	}))
	dir, err := os.MkdirTemp("", "engine") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if server.Listener, err = net.Listen("unix", dir+"/s"); err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Close)
	now.Store(&release{24, 41})
	e, err := New(Config{Host: "unix://" + dir + "/s", UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	for _, r := range []release{{24, 41}, {44, 51}, {24, 41}} {
		now.Store(&r)
		if c, err := e.Inspect(t.Context(), "abc"); err != nil || c.ID != "abc" {
			t.Errorf("of %v: %q, %v", r, c.ID, err)
		}
		if ids, err := e.Running(t.Context()); err != nil || len(ids) != 1 || ids[0] != "abc" {
			t.Errorf("of %v: %v, %v", r, ids, err)
		}
	}
}
