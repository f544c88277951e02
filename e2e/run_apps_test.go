package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// scratch is an image of a static app and dockreg, built by make scratch.
var scratch = envOr("DOCKREG_SCRATCH_IMAGE", "dockreg-scratch")

// In an image that has nothing else, in a container that writes nothing and is nobody's, all of
// it works.
func TestRunInScratch(t *testing.T) {
	needDocker(t)
	t.Parallel()
	socket, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		t.Fatal(err)
	}
	group := socket.Sys().(*syscall.Stat_t).Gid
	for name, args := range map[string][]string{
		"as it is": nil,
		"hardened": {"--read-only", "--user", fmt.Sprintf("12345:%d", group), "--cap-drop", "ALL", "--security-opt", "no-new-privileges"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, keys, key := registeredIn(t, append(args, "-e", lateStart, scratch), []string{"--restart", "on-failure"}, "/app")
			answer, err := get(t, strings.TrimPrefix(key, "/service/"))
			if answer != "Hello from scratch\n" || err != nil {
				t.Errorf("the app answered %q, %v", answer, err)
			}
			if out, err := c.Exec("dockreg", "status"); err != nil {
				t.Errorf("status: %v\n%s", err, out)
			}

			crashed := time.Now()
			if _, err := http.Get("http://" + strings.TrimPrefix(key, "/service/") + "/crash"); err == nil {
				t.Error("the app has survived")
			}
			gone := wantGone(t, keys, key, crashed, busy)
			wantPut(t, keys, key, gone.At, time.Minute)

			stopped := time.Now()
			if _, err := c.Do("stop"); err != nil {
				t.Fatal(err)
			}
			wantCode(t, c, 0)
			wantGone(t, keys, key, stopped, busy)
			logs, err := c.Logs()
			if err != nil {
				t.Fatal(err)
			}
			deregistered, signalled := deregisteredAt(t, logs, ""), loggedAt(t, logs, "the app stops")
			if signalled.Sub(deregistered) < time.Second { // of a drain of 2 s
				t.Errorf("deregistered at %s, the app had its signal at %s", deregistered, signalled)
			}
		})
	}
}

// deregisteredAt is when a key, or one whose beginning that is, was last deregistered, by
// dockreg's own clock: Docker notes a line's time when it comes to read it, which may be late.
func deregisteredAt(t *testing.T, logs, key string) time.Time {
	t.Helper()
	found := regexp.MustCompile(`time=(\S+) .*msg=deregistered key=`+regexp.QuoteMeta(key)).FindAllStringSubmatch(logs, -1)
	if len(found) == 0 {
		t.Fatalf("it has not deregistered in\n%s", logs)
	}
	at, err := time.Parse(time.RFC3339Nano, found[len(found)-1][1])
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// lifeline is a pipe that processes of a container hold: /watched/alive. It ends with the last
// of them.
func lifeline(t *testing.T) (args []string, awaitEnd func()) {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/alive", 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-v", dir + ":/watched"}, func() {
		t.Helper()
		pipe, err := os.OpenFile(dir+"/alive", os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pipe.Close() }()
		_ = pipe.SetReadDeadline(time.Now().Add(busy))
		if _, err := io.Copy(io.Discard, pipe); err != nil {
			t.Errorf("somebody holds the pipe: %v", err)
		}
	}
}

// Children that heed no TERM are killed with an app that does, be they in its process group or
// in a session of their own: nobody outlives the container.
func TestRunLeavesNobody(t *testing.T) {
	needDocker(t)
	t.Parallel()
	for name, how := range map[string]string{"in its group": "", "in a session of their own": "setsid"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args, awaitEnd := lifeline(t)
			c, keys, key := registeredIn(t, append(args, apps), []string{"--drain", "0s", "--stop-timeout", "60s"}, "sh", "-c", `
for n in 1 2 3; do
	`+how+` sh -c 'trap "" TERM; exec 3<>/watched/alive; echo holds; while :; do echo on >&3; sleep 0.1; done' &
done
exec node /srv/app.js`)
			awaitLogged(t, c, "holds", 3)
			began := time.Now()
			if _, err := c.Do("stop", "--time", "120"); err != nil {
				t.Fatal(err)
			}
			awaitEnd()
			wantCode(t, c, 0)
			wantGone(t, keys, key, began, busy)
			if took := time.Since(began); took > 30*time.Second { // half the time to be killed in
				t.Errorf("it took %s", took)
			}
		})
	}
}

// An app that puts itself into the background has ended: so has the container, with the code of
// the process that dockreg has started, and no key stays behind.
func TestRunEndsWithAnAppInTheBackground(t *testing.T) {
	needDocker(t)
	t.Parallel()
	t.Run("nginx", func(t *testing.T) {
		t.Parallel()
		const parent = "in-the-background" // as the log may not come to name a key
		c := entered(t, []string{"--key", parent}, "sh", "-c", `sed "s/daemon off/daemon on/" /srv/nginx.conf > /tmp/nginx.conf && exec nginx -c /tmp/nginx.conf`)
		wantCode(t, c, 0)
		wantNoKeys(t, "/"+parent+"/")
	})
	t.Run("registered before it does", func(t *testing.T) {
		t.Parallel()
		args, awaitEnd := lifeline(t)
		c, keys, key := registeredIn(t, append(args, apps), nil, "python3", "-c", `
import http.server, os, signal
signal.signal(signal.SIGUSR1, lambda *_: os._exit(4))
if os.fork():
    while True: signal.pause()
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
alive = os.open("/watched/alive", os.O_RDWR)
http.server.HTTPServer(("", 8000), http.server.SimpleHTTPRequestHandler).serve_forever()
`)
		began := time.Now()
		if _, err := c.Do("kill", "--signal", "USR1"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, c, 4)
		awaitEnd()
		wantGone(t, keys, key, began, busy)
		wantNoKeys(t, key)
	})
}

// wantNoKeys wants etcd itself to have no key, or soon none, that starts like this.
func wantNoKeys(t *testing.T, prefix string) {
	t.Helper()
	err := poll(t, busy, func() error {
		found, err := etcd.Client.Get(t.Context(), prefix, clientv3.WithPrefix())
		if err == nil && found.Count != 0 {
			err = fmt.Errorf("there is %v", found.Kvs)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// An app that crashes has taken its key with it before Docker notices that the container has
// ended; with --restart, each time.
func TestRunCrashTakesTheKeyFirst(t *testing.T) {
	needDocker(t)
	t.Parallel()
	var took []time.Duration
	for range either(3, 1) { // each is started again after a pause that is twice as long
		c, keys, key := registeredIn(t, []string{"-e", lateStart, apps}, []string{"--restart", "on-failure", "--interval", "1m", "--ttl", "2m"}, node...)
		for range 5 {
			killed, err := c.Signal("KILL", "node")
			if err != nil {
				t.Fatal(err)
			}
			gone := wantGone(t, keys, key, killed, 30*time.Second) // long before the next probe
			took = append(took, gone.At.Sub(killed))
			wantPut(t, keys, key, gone.At, time.Minute)
		}
	}
	slices.Sort(took)
	t.Logf("figure: killed to key gone: %v", took)
	if median := took[len(took)/2]; median > time.Second {
		t.Errorf("the median is %s", median)
	}

	c, keys, key := enteredAndRegistered(t, nil, node...)
	killed, err := c.Signal("KILL", "node")
	if err != nil {
		t.Fatal(err)
	}
	wantGone(t, keys, key, killed, busy)
	wantCode(t, c, 137)
	logs, err := c.Logs()
	if err != nil {
		t.Fatal(err)
	}
	deregistered := deregisteredAt(t, logs, key)
	if ended, err := c.Finished(); err != nil || !deregistered.Before(ended) {
		t.Errorf("deregistered at %s, the container ended at %s, %v", deregistered, ended, err)
	}
}
