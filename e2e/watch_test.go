package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/e2e/testbed"
)

// heard is a line of dockreg watch --output json.
type heard struct {
	Event, Key, Value, Error string
	Count                    *int
	Up                       *float64 `json:"up_seconds"`
}

// watcher is a dockreg watch, and what it has said.
type watcher struct {
	*process
	out  journal
	read int // lines
}

func startWatch(t *testing.T, etcd string, flags ...string) *watcher {
	t.Helper()
	w := &watcher{process: dockreg(append([]string{"watch", "--output", "json"}, flags...)...)}
	w.Env = append(w.Env, "DOCKREG_ETCD="+etcd) // it may hold a password
	w.Stdout = &w.out
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.ProcessState == nil {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
		if t.Failed() {
			t.Logf("dockreg watch wrote\n%s%s", w.out.String(), w.stderr.String())
		}
	})
	return w
}

// next waits for the next line.
func (w *watcher) next(t *testing.T) (h heard) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		text, more := w.out.read()
		if lines := strings.SplitAfter(text, "\n"); len(lines) > w.read+1 {
			if err := json.Unmarshal([]byte(lines[w.read]), &h); err != nil {
				t.Fatalf("%v in %s", err, lines[w.read])
			}
			w.read++
			return h
		}
		select {
		case <-more:
		case <-late:
			t.Fatal("nothing more is told")
		}
	}
}

// want wants the next lines to be these: an event and a key each. An etcd that was lost for a
// moment, and is back, is one of a busy machine, and none of these.
func (w *watcher) want(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		h := w.next(t)
		for h.Event != want && (h.Event == "lost" || h.Event == "back") {
			t.Logf("meanwhile: %+v", h)
			h = w.next(t)
		}
		if got := strings.TrimSpace(h.Event + " " + h.Key); got != want {
			t.Fatalf("it tells %q (%+v), want %q", got, h, want)
		}
	}
}

// change does things to an etcd, each within its deadline.
type change struct {
	t *testing.T
	c *clientv3.Client
}

func (c change) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c change) put(keys ...string) (revision int64) {
	c.t.Helper()
	for _, key := range keys {
		done, err := c.c.Put(c.t.Context(), key, "running")
		c.must(err)
		revision = done.Header.Revision
	}
	return revision
}

func (c change) drop(key string) {
	c.t.Helper()
	_, err := c.c.Delete(c.t.Context(), key)
	c.must(err)
}

// dockreg watch misses nothing over an outage that etcd still knows, and says so where
// etcd does not: after a compaction, and with the data lost.
func TestWatchOutlives(t *testing.T) {
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		m := stopWith(t)(testbed.StartAlone(binary)).Members[0]
		change{t, m.Client}.put("/service/10.1.0.101:1")
		w := startWatch(t, m.URL)
		w.want(t, "listed")
		change{t, m.Client}.put("/service/10.1.0.102:1", "/elsewhere/10.1.0.102:1")
		w.want(t, "came /service/10.1.0.102:1")

		// outage lets things be done to an etcd that was away, before the watcher comes back.
		outage := func(lose bool, do func(change)) {
			t.Helper()
			m.Kill()
			w.want(t, "lost")
			c := change{t, nil}
			c.must(w.Process.Signal(syscall.SIGSTOP))
			if lose {
				c.must(m.LoseData())
			}
			c.must(m.Start())
			c.must(m.Ready())
			c.c = m.Client
			do(c)
			c.must(w.Process.Signal(syscall.SIGCONT))
		}
		// event returns the next one, or that after another reason why etcd can't be asked.
		event := func() heard {
			t.Helper()
			for {
				if h := w.next(t); h.Event != "lost" {
					return h
				}
			}
		}
		back := func() {
			t.Helper()
			if h := event(); h.Event != "back" {
				t.Fatalf("it tells %+v, want that etcd can be asked again", h)
			}
		}
		outage(false, func(c change) {
			c.drop("/service/10.1.0.101:1")
			c.put("/service/10.1.0.103:1")
			c.drop("/service/10.1.0.103:1")
		})
		back()
		w.want(t, "went /service/10.1.0.101:1", "came /service/10.1.0.103:1", "went /service/10.1.0.103:1")

		outage(false, func(c change) {
			c.put("/service/10.1.0.104:1")
			c.drop("/service/10.1.0.104:1")
			revision := c.put("/service/10.1.0.105:1")
			_, err := c.c.Compact(t.Context(), revision)
			c.must(err)
		})
		back()
		w.want(t, "gap", "came /service/10.1.0.105:1")

		outage(true, func(c change) { c.put("/service/10.1.0.105:1") })
		back()
		w.want(t, "gap", "went /service/10.1.0.102:1", "went /service/10.1.0.105:1", "came /service/10.1.0.105:1")

		// With as many revisions as before, it looks as if nothing had happened.
		outage(true, func(c change) {
			for range 20 {
				c.put("/elsewhere")
			}
			c.put("/service/10.1.0.106:1")
		})
		back()
		if h := event(); h.Event == "came" { // of the revisions that were not heard of
			w.want(t, "gap", "went /service/10.1.0.105:1")
		} else if h.Event != "gap" {
			t.Fatalf("it tells %+v", h)
		} else {
			w.want(t, "went /service/10.1.0.105:1", "came /service/10.1.0.106:1")
		}
		// An outage that is over before it is noticed.
		before := "/service/10.1.0.106:1"
		for _, revisions := range []int{0, 100} {
			c := change{t, nil}
			c.must(w.Process.Signal(syscall.SIGSTOP))
			m.Kill()
			c.must(m.LoseData())
			c.must(m.Start())
			c.must(m.Ready())
			c.c = m.Client
			for range revisions {
				c.put("/elsewhere")
			}
			key := fmt.Sprintf("/service/10.1.0.107:%d", revisions+1)
			c.put(key)
			c.must(w.Process.Signal(syscall.SIGCONT))
			// What is new may be heard before it is known that all else is.
			want := map[string]bool{"gap": true, "went " + before: true, "came " + key: true}
			for len(want) > 0 {
				h := event()
				if what := strings.TrimSpace(h.Event + " " + h.Key); h.Event != "back" {
					if !want[what] {
						t.Fatalf("with %d revisions it tells %q, want %v", revisions, what, want)
					}
					delete(want, what)
				}
			}
			before = key
		}
		w.terminate(t)
	})
}

// A user who may read the prefix and nothing else can list and watch it; one who may not is
// told what to grant.
func TestReadersNeedLittle(t *testing.T) {
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		m := stopWith(t)(testbed.StartAlone(binary)).Members[0]
		c := change{t, m.Client}
		lease, err := m.Client.Grant(t.Context(), 600)
		c.must(err)
		_, err = m.Client.Put(t.Context(), "/service/10.1.0.101:1", "running", clientv3.WithLease(lease.ID))
		c.must(err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, do := range []func() error{
			func() error { _, err := m.Client.RoleAdd(ctx, "reader"); return err },
			func() error {
				_, err := m.Client.RoleGrantPermission(ctx, "reader", "/service/", clientv3.GetPrefixRangeEnd("/service/"), clientv3.PermissionType(clientv3.PermRead))
				return err
			},
			func() error { _, err := m.Client.UserAdd(ctx, "reader", "secret"); return err },
			func() error { _, err := m.Client.UserGrantRole(ctx, "reader", "reader"); return err },
			func() error { _, err := m.Client.UserAdd(ctx, "root", "secret"); return err },
			func() error { _, err := m.Client.UserGrantRole(ctx, "root", "root"); return err },
			func() error { _, err := m.Client.AuthEnable(ctx); return err },
		} {
			c.must(do())
		}
		url := strings.Replace(m.URL, "http://", "http://reader:secret@", 1)
		if code, out, errs := readEtcd(t, url, "ls"); code != 0 || !strings.Contains(out, "10.1.0.101:1  10.1.0.101  running  ") || strings.Contains(out, "-  ") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		w := startWatch(t, url)
		w.want(t, "listed")
		if code, out, errs := readEtcd(t, url, "ls", "--key", "secret"); code != 1 || out != "" || !strings.Contains(errs, "permission denied") || !strings.Contains(errs, "grant a role of the user read on the prefix /secret/") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
	})
}

// Who looked on has gone: dockreg watch ends with its terminal, though it may have nothing to
// write for days, and so no write that fails.
func TestWatchEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	ours := make(chan os.Signal, 1)
	signal.Notify(ours, syscall.SIGHUP) // or it would inherit that nohup has it ignored
	defer signal.Stop(ours)
	w := startWatch(t, "http://127.0.0.1:1")
	w.want(t, "lost")
	_ = w.Process.Signal(syscall.SIGHUP)
	if code, took := w.wait(t, 30*time.Second); code != -1 {
		t.Errorf("exit code %d after %s, want an end by the signal", code, took)
	}
}
