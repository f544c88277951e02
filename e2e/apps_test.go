package e2e

import (
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// apps is the product's image with other apps in it, built by make apps.
var apps = envOr("DOCKREG_APPS_IMAGE", "dockreg-apps")

// watched is an app of another kind, whose probes are so far apart that only a
// sign can be why its key goes soon.
type watched struct {
	*testbed.Container
	t    *testing.T
	keys *testbed.Keys
	key  string
}

// runWatched runs the app in a container, and returns once it has its key. What supervisord
// starts after a crash waits for restart: an app that is back before anybody looked was
// never gone.
func runWatched(t *testing.T, app string, args ...string) *watched {
	t.Helper()
	needDocker(t)
	t.Parallel()
	start := time.Now()
	w := &watched{t: t, keys: follow(t)}
	w.Container = keep(t)(docker.RunApp(apps, etcd.URL, append([]string{
		"-e", "DOCKREG_INTERVAL=1m", "-e", "DOCKREG_TTL=2m", "-e", "DOCKREG_LOG_LEVEL=debug",
		"-e", "APP=sh -c 'while test -e /held; do sleep 0.1; done; exec " + app + "'",
	}, args...)...))
	w.key = keyOf(t, w.Container)
	wantPut(t, w.keys, w.key, start, time.Minute)
	return w
}

func (w *watched) awaitLog(words string, n int) {
	w.t.Helper()
	awaitLogged(w.t, w.Container, words, n)
}

// signal sends a signal to the processes of that name.
func (w *watched) signal(signal, process string) time.Time {
	w.t.Helper()
	at, err := w.Signal(signal, process)
	if err != nil {
		w.t.Fatal(err)
	}
	return at
}

// crash kills the processes of that name. The app stays away until restart.
func (w *watched) crash(process string) time.Time {
	w.t.Helper()
	if _, err := w.Exec("touch", "/held"); err != nil {
		w.t.Fatal(err)
	}
	return w.signal("KILL", process)
}

// restart lets a crashed app start again.
func (w *watched) restart() {
	w.t.Helper()
	if _, err := w.Exec("rm", "/held"); err != nil {
		w.t.Fatal(err)
	}
}

// wantSeen fails the test unless the key goes soon after then.
func (w *watched) wantSeen(then time.Time) (gone time.Time) {
	w.t.Helper()
	e := wantGone(w.t, w.keys, w.key, then, 30*time.Second) // long before the next probe
	w.t.Logf("crash to key gone: %s", e.At.Sub(then))
	return e.At
}

// wantKept fails the test unless the app has answered and the key was there all
// the time since it first came.
func (w *watched) wantKept() {
	w.t.Helper()
	if _, err := get(w.t, strings.TrimPrefix(w.key, "/service/")); err != nil {
		w.t.Errorf("the app does not answer: %v", err)
	}
	for _, e := range w.keys.History() {
		if e.Key == w.key && e.Gone {
			w.t.Errorf("the key was gone: %v", w.keys.History())
		}
	}
}

const (
	nodeApp   = "/usr/bin/node /srv/app.js"
	nginxApp  = "/usr/sbin/nginx -c /srv/nginx.conf"
	pythonApp = "/usr/bin/python3 /srv/server.py"

	byHolders = `msg="watching the app" by="the processes that hold its socket"`
	byOthers  = `msg="watching the app" by="the processes that might hold its socket"`
	byPort    = `msg="watching the app" by="its port"`
)

func TestP1CrashIsSeenAtOnce(t *testing.T) {
	w := runWatched(t, nodeApp)
	w.awaitLog(byHolders, 1)
	gone := w.wantSeen(w.crash("node"))
	w.restart()
	wantPut(t, w.keys, w.key, gone, 40*time.Second) // supervisord's doing
	w.awaitLog(byHolders, 2)
	w.wantSeen(w.crash("node"))
}

// A container without CAP_SYS_PTRACE doesn't show which of another user's
// processes holds the socket.
func TestP1CrashOfAnAppUnderAnotherUser(t *testing.T) {
	w := runWatched(t, nodeApp, "-e", "APP_USER=nobody")
	w.awaitLog(byOthers, 1)
	w.wantSeen(w.crash("node"))
}

func TestP1CrashOfAServerThatForks(t *testing.T) {
	w := runWatched(t, nginxApp)
	w.awaitLog(byHolders, 1)

	// Neither a worker that crashes nor a reload, which replaces all of them, costs
	// the key: the probe decides.
	if _, err := w.Exec("sh", "-c", "kill -KILL $(grep -l 'nginx: worke[r]' /proc/[0-9]*/cmdline | head -n 1 | cut -d / -f 3)"); err != nil {
		t.Fatal(err)
	}
	w.awaitLog("exited on signal 9", 1)
	if _, err := w.Exec("nginx", "-c", "/srv/nginx.conf", "-s", "reload"); err != nil {
		t.Fatal(err)
	}
	w.awaitLog("gracefully shutting down", 2)
	w.wantKept()

	w.wantSeen(w.crash("nginx"))
}

func TestP1CrashOfAServerThatRunsItselfAnew(t *testing.T) {
	w := runWatched(t, pythonApp)
	w.awaitLog(byHolders, 1)
	w.signal("HUP", "python3")
	w.awaitLog("upgraded", 1)
	w.wantKept()
	w.wantSeen(w.crash("python3"))
}

// No process ends when an app closes its listener, but the port shows it.
func TestP1ListenerClosedAndReopened(t *testing.T) {
	w := runWatched(t, pythonApp)
	w.awaitLog(byHolders, 1) // who closes before anybody has looked is not missed until the next probe
	for range 2 {
		gone := w.wantSeen(w.signal("USR1", "python3"))
		w.signal("USR2", "python3")
		wantPut(t, w.keys, w.key, gone, time.Minute)
	}
}

// In a container of its own beside the app's, dockreg sees no process of the app,
// but the port they share.
func TestP1CrashInAnotherPIDNamespace(t *testing.T) {
	w := runWatched(t, nodeApp)
	start := time.Now()
	beside := keep(t)(docker.Run("--network", "container:"+w.ID, "-v", "/var/run/docker.sock:/var/run/docker.sock",
		"--entrypoint", "dockreg", apps, "--port", "8000", "--etcd", etcd.URL, "--ip", docker.Gateway,
		"--key", "beside-a-crash", "--interval", "1m", "--ttl", "2m", "--log-level", "debug"))
	key := strings.Replace(w.key, "/service/", "/beside-a-crash/", 1)
	wantPut(t, w.keys, key, start, time.Minute)
	b := &watched{beside, t, w.keys, key}
	b.awaitLog(byPort, 1)
	b.wantSeen(w.crash("node"))
}
