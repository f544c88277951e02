package client

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A service that has reasons of its own not to take the will is warned of once it had them
// for half a minute, and then once for each.
func TestWarnsOfALongRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		j := journal{log: slog.New(slog.NewTextHandler(&out, nil))}
		fail := func(text string, want int) {
			t.Helper()
			j.failed(&refusedError{http.StatusServiceUnavailable, text})
			if n := strings.Count(out.String(), `level=WARN msg="there is no last will`); n != want {
				t.Errorf("%d warnings, want %d:\n%s", n, want, &out)
			}
		}
		fail("no etcd", 0)
		time.Sleep(warnAfter - 1)
		fail("no etcd", 0)
		time.Sleep(time.Nanosecond)
		fail("no etcd", 1)
		fail("no etcd", 1)
		fail("no Docker", 2)
		j.told(1)
		if !strings.Contains(out.String(), `level=INFO msg="the host's service has the last will again"`) {
			t.Errorf("the end is not told:\n%s", &out)
		}
		fail("no etcd", 2)
	})
}
