package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/e2e/testbed"
)

// get asks the app at address, from outside its container.
func get(t *testing.T, address string) (string, error) {
	t.Helper()
	client := http.Client{Timeout: busy, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// The main job: the key is there, on a lease of 20 s, and whoever dials what it
// says gets the app's own answer.
func TestRegistersWhereTheAppIsReachable(t *testing.T) {
	needDocker(t)
	t.Parallel()
	// Not that a single probe, late on a busy machine, writes something.
	c, keys, key := registered(t, "-e", "DOCKREG_FALL=2")

	found, _ := keys.Get(key)
	if found.Record != "running" {
		t.Errorf("the record is %q, want running", found.Record)
	}
	lease, err := etcd.Client.TimeToLive(t.Context(), found.Lease)
	if err != nil || lease.GrantedTTL != 20 {
		t.Errorf("the lease was granted %+v, want 20 s (%v)", lease, err)
	}
	answer, err := get(t, strings.TrimPrefix(key, "/service/"))
	if want := fmt.Sprintf("Hello from %.12s\n", c.ID); answer != want || err != nil {
		t.Errorf("the app answered %q, %v; want %q", answer, err, want)
	}
	// P7: nothing is written while nothing happens, over two renewals.
	ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
	defer cancel()
	if _, err := keys.Await(ctx, key, false, time.Now()); err == nil {
		t.Errorf("the key was written again: %v", keys.History())
	}
}

// P1: no key before the app listens; it goes when the app crashes, and comes back
// when supervisord has brought the app back.
func TestP1NoKeyWhileTheAppIsDown(t *testing.T) {
	needDocker(t)
	t.Parallel()
	start := time.Now()
	keys := follow(t)
	c := runApp(t, "-e", "START_DELAY=7") // more than the interval, so that a probe sees it down
	started := time.Now()                 // and so the app will listen 7 s after a time before this
	key := keyOf(t, c)
	put := wantPut(t, keys, key, start, time.Minute)
	if early := put.At.Sub(start); early < 7*time.Second {
		t.Errorf("the key came %s after the start, before the app listened", early)
	}
	t.Logf("the key came %s after the start", put.At.Sub(started))
	if _, err := get(t, strings.TrimPrefix(key, "/service/")); err != nil {
		t.Errorf("the key is there, and the app does not answer: %v", err)
	}

	crash, err := c.Signal("KILL", "node")
	if err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, keys, key, crash, 8*time.Second+busy)
	t.Logf("crash to key gone: %s", gone.At.Sub(crash))
	back := wantPut(t, keys, key, gone.At, 20*time.Second)
	if early := back.At.Sub(crash); early < 7*time.Second {
		t.Errorf("the key was back %s after the crash, before the app listened", early)
	}
}

// P1: a hung app still accepts connections; its key goes within interval + timeout.
func TestP1HungApp(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := registered(t)

	hang, err := c.Signal("STOP", "node")
	if err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, keys, key, hang, 8*time.Second+busy)
	t.Logf("hang to key gone: %s", gone.At.Sub(hang))
	if _, err := c.Signal("CONT", "node"); err != nil {
		t.Fatal(err)
	}
	wantPut(t, keys, key, gone.At, time.Minute)
}

// P2: on docker stop the key is gone before the app gets its signal, with the shipped
// configuration of supervisord, and beside an app that has no priority, as most have none.
func TestP2StopDeregistersBeforeTheAppStops(t *testing.T) {
	needDocker(t)
	t.Parallel()
	shipped, err := os.ReadFile("../supervisord/supervisord.conf")
	if err != nil {
		t.Fatal(err)
	}
	without := filepath.Join(t.TempDir(), "supervisord.conf")
	if err := os.WriteFile(without, bytes.Replace(shipped, []byte("\npriority=100\n"), []byte("\n"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"shipped": nil, "no priority": {"-v", without + ":/etc/supervisord.conf:ro"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, keys, key := registered(t, args...)
			if err := stopped(c); err != nil {
				t.Fatal(err)
			}
			wantGone(t, keys, key, time.Time{}, busy)
			logs, err := c.Logs()
			if err != nil {
				t.Fatal(err)
			}
			gone, stopped := deregisteredAt(t, logs, key), loggedAt(t, logs, "the app stops")
			if stopped.Sub(gone) < time.Second { // of a drain of 2 s
				t.Errorf("deregistered at %s, the app got its signal at %s", gone, stopped)
			}
			if state, err := c.Do("inspect", "--format", "{{.State.ExitCode}}"); err != nil || state != "0" {
				t.Errorf("the container ended with %s, %v; want 0: nobody had to be killed", state, err)
			}
		})
	}
}

// stopped stops a container, and gives it longer than Docker does by itself, whose 10 s are
// over on a busy machine.
func stopped(c *testbed.Container) error {
	_, err := c.Do("stop", "--time", "30")
	return err
}

func loggedAt(t *testing.T, logs, words string) time.Time {
	t.Helper()
	at, err := testbed.LoggedAt(logs, words)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// P8: a container that is killed can't deregister; its key lapses in time.
func TestP8KilledContainer(t *testing.T) {
	needDocker(t)
	t.Parallel()
	ttl := either(20*time.Second, 12*time.Second)
	c, keys, key := registered(t, "-e", "DOCKREG_TTL="+ttl.String())

	if _, err := c.Do("kill"); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	gone := wantGone(t, keys, key, time.Time{}, ttl+1500*time.Millisecond+busy)
	t.Logf("kill to key gone: %s", gone.At.Sub(killed))
}

// A container that restarts gets a new host port: the old key goes, a new one
// comes.
func TestRestartOnANewHostPort(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, before := registered(t)

	if _, err := c.Do("restart", "--time", "30"); err != nil { // or it is killed on a busy machine
		t.Fatal(err)
	}
	after := keyOf(t, c)
	if after == before {
		t.Errorf("the engine gave the same port again, %s, which says nothing about a new one", after)
	}
	gone := wantGone(t, keys, before, time.Time{}, busy)
	wantPut(t, keys, after, gone.At, time.Minute)
	if _, there := keys.Get(before); there {
		t.Errorf("the old key, %s, is there again", before)
	}
}

// P4: through the whole of it, a key that someone deletes is back.
func TestP4DeletedKeyComesBack(t *testing.T) {
	needDocker(t)
	t.Parallel()
	_, keys, key := registered(t)
	if _, err := etcd.Client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, keys, key, time.Time{}, busy)
	back := wantPut(t, keys, key, gone.At, time.Second+busy) // before any look that is not for this
	t.Logf("deleted to back: %s", back.At.Sub(gone.At))
	found, err := etcd.Client.Get(t.Context(), key, clientv3.WithCountOnly())
	if err != nil || found.Count != 1 {
		t.Errorf("etcd has %d keys, %v", found.Count, err)
	}
}

// P3: a dockreg that was killed is started again, and takes its own key over, with
// no absence of it.
func TestP3KilledDockregTakesItsKeyOver(t *testing.T) {
	needDocker(t)
	t.Parallel()
	// Neither a probe nor a start that is late on a busy machine costs the key.
	c, keys, key := registered(t, "-e", "DOCKREG_FALL=3", "-e", "DOCKREG_TTL=1m")
	before, _ := keys.Get(key)

	killed, err := c.Signal("KILL", "dockreg")
	if err != nil {
		t.Fatal(err)
	}
	wantPut(t, keys, key, killed, time.Minute)
	if after, _ := keys.Get(key); after.Lease == before.Lease {
		t.Errorf("the key is still on the lease %x of the one that was killed", before.Lease)
	}
	for _, e := range keys.History() {
		if e.Key == key && e.Gone {
			t.Errorf("the key was absent: %v", keys.History())
		}
	}
}

// A wrong setting is said once: supervisord does not start dockreg again.
func TestWrongSettingIsNotRestarted(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c := keep(t)(docker.RunApp(image, "http://etcd", "-e", "IP=10.1.0"))
	once := []string{`dockreg: --ip "10.1.0": `, `dockreg: --etcd "http://etcd": `, "dockreg (exit status 2; expected)"}
	for _, want := range once { // Docker takes in the two streams one beside the other
		awaitLogged(t, c, want, 1)
	}
	logs := awaitLogged(t, c, "app entered RUNNING", 1)
	for _, want := range once {
		if n := strings.Count(logs, want); n != 1 {
			t.Errorf("%q is there %d times, want once, in\n%s", want, n, logs)
		}
	}
}

// Where nobody says where etcd is, supervisord starts the app all the same, and dockreg says what
// is missing: with the entry as it is shipped, and the image's empty variables.
func TestMissingSettingLeavesTheApp(t *testing.T) {
	needDocker(t)
	t.Parallel()
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil || !strings.Contains(string(dockerfile), "\nENV ETCD=\"\" IP=\"\"\n") {
		t.Fatalf("the image has no empty variables (%v)", err)
	}
	entry, err := filepath.Abs("../supervisord/supervisord.conf")
	if err != nil {
		t.Fatal(err)
	}
	c := keep(t)(docker.Run("-p", "8000", "-e", "ETCD=", "-e", "IP=", "-v", entry+":/etc/supervisord.conf:ro", image))
	awaitLogged(t, c, `dockreg: --etcd "": nothing is there`, 1)
	awaitLogged(t, c, "dockreg (exit status 2; expected)", 1)
	address, err := docker.Address(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := poll(t, busy+10*time.Second, func() error { _, err := get(t, address); return err }); err != nil {
		t.Errorf("the app does not answer: %v", err)
	}
}
