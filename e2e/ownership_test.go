package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// etcdHost is where containers and this process reach an etcd.
func etcdHost() string {
	if docker == nil {
		return "127.0.0.1"
	}
	return docker.Gateway
}

// wantNoEvent wants nothing to happen to key for that long.
func wantNoEvent(t *testing.T, keys *testbed.Keys, key string, d time.Duration) {
	t.Helper()
	since := time.Now()
	lasts(t, d)
	for _, e := range keys.History() {
		if e.Key == key && e.At.After(since) {
			t.Errorf("key %s changed, gone: %v; all that happened: %v", key, e.Gone, keys.History())
		}
	}
}

// P3: a container that is killed and started again on the same host port takes its
// key over at once, and the end of the old lease takes nothing away.
func TestP3RestartOnAFixedPort(t *testing.T) {
	needDocker(t)
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		m := startRelayedCluster(t, binary, etcdHost(), 1).Members[0]
		keys := testbed.FollowKeys(t.Context(), m.Client, "/service/")
		const ttl = 30 * time.Second // for a start on a busy machine
		port := lowPort(t, "0.0.0.0")
		c := keep(t)(docker.RunApp(image, m.URL, "-p", port+":8000", "-e", "DOCKREG_TTL="+ttl.String(), "-e", "DOCKREG_FALL=2"))
		key := "/service/" + docker.Gateway + ":" + port
		first := wantPut(t, keys, key, time.Time{}, time.Minute)
		before, _ := keys.Get(key)

		if _, err := c.Do("kill"); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		if _, err := c.Do("start"); err != nil {
			t.Fatal(err)
		}
		again := wantPut(t, keys, key, first.At, ttl)
		t.Logf("figure: taken over %.1f s after the kill", again.At.Sub(killed).Seconds())
		if after, _ := keys.Get(key); after.Lease == before.Lease {
			t.Errorf("the key is on the old lease, %x", after.Lease)
		}
		wantNoEvent(t, keys, key, time.Until(killed.Add(ttl))+3*time.Second)
		for _, e := range keys.History() {
			if e.Key == key && e.Gone {
				t.Errorf("the key was gone: %v", keys.History())
			}
		}
	})
}

// contested starts an etcd, and an app that more than one dockreg can register there.
func contested(t *testing.T, binary string) (url, port, key string, keys *testbed.Keys) {
	t.Helper()
	m := startRelayedCluster(t, binary, "127.0.0.1", 1).Members[0]
	port = startApp(t)
	return m.URL, port, "/service/127.0.0.1:" + port, testbed.FollowKeys(t.Context(), m.Client, "/service/")
}

// P3: of two dockregs for one address the newer has the key. The older stands by, in
// peace, and has the key again when the newer stops.
func TestP3TwoForOneAddress(t *testing.T) {
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		url, port, key, keys := contested(t, binary)
		const fall = "--fall=2" // one probe that a busy machine is late with takes no key away
		older := besideApp(t, url, port, fall)
		older.awaitLogged(t, "msg=registered")
		newer := besideApp(t, url, port, fall)
		newer.awaitLogged(t, "msg=registered")
		older.awaitLogged(t, "standing by")
		wantNoEvent(t, keys, key, 12*time.Second) // at least two renewals each
		if n := len(keys.History()); n != 2 {
			t.Errorf("%d events, want the two puts: %v", n, keys.History())
		}

		asked := time.Now()
		newer.terminate(t)
		gone := wantGone(t, keys, key, asked, 20*time.Second)
		back := wantPut(t, keys, key, gone.At, 20*time.Second)
		t.Logf("figure: the older has the key %.2f s after the newer stopped", back.At.Sub(gone.At).Seconds())
		if n := strings.Count(older.stderr.String(), "standing by"); n != 1 {
			t.Errorf("the older logged %d times that it stands by, want once", n)
		}
	})
}

// P3: an instance that was stopped for longer than its TTL leaves the key to the one
// that came meanwhile.
func TestP3ResumedAfterItsTTL(t *testing.T) {
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		url, port, key, keys := contested(t, binary)
		stale := besideApp(t, url, port, "--ttl", "12s")
		stale.awaitLogged(t, "msg=registered")
		stopped := time.Now()
		_ = stale.Process.Signal(syscall.SIGSTOP)
		wantGone(t, keys, key, stopped, time.Minute)

		newer := besideApp(t, url, port)
		newer.awaitLogged(t, "msg=registered")
		_ = stale.Process.Signal(syscall.SIGCONT)
		stale.awaitLogged(t, "standing by")
		wantNoEvent(t, keys, key, 12*time.Second)
		if n := len(keys.History()); n != 3 {
			t.Errorf("%d events, want a put, the end of the lease, and a put: %v", n, keys.History())
		}
	})
}

// P8: a paused container's key is gone within its TTL. It is back soon after the
// container goes on.
func TestP8PausedContainer(t *testing.T) {
	needDocker(t)
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		m := startRelayedCluster(t, binary, etcdHost(), 1).Members[0]
		keys := testbed.FollowKeys(t.Context(), m.Client, "/service/")
		c := keep(t)(docker.RunApp(image, m.URL, "-e", "DOCKREG_TTL=12s"))
		key := keyOf(t, c)
		wantPut(t, keys, key, time.Time{}, time.Minute)
		if _, err := c.Do("pause"); err != nil {
			t.Fatal(err)
		}
		paused := time.Now()
		gone := wantGone(t, keys, key, time.Time{}, 13500*time.Millisecond+busy)
		t.Logf("figure: gone %.1f s after the pause", gone.At.Sub(paused).Seconds())
		resumed := time.Now()
		if _, err := c.Do("unpause"); err != nil {
			t.Fatal(err)
		}
		back := wantPut(t, keys, key, gone.At, 20*time.Second)
		t.Logf("figure: back %.2f s after it went on", back.At.Sub(resumed).Seconds())
		wantNoEvent(t, keys, key, 12*time.Second)
	})
}
