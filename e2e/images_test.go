package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// The entrypoint of docs/images.md for two ports registers both. A stop deregisters one after the
// other, each with its drain, and then stops the app.
func TestImagesTwoPorts(t *testing.T) {
	needDocker(t)
	t.Parallel()
	doc, err := os.ReadFile("../docs/images.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)ENTRYPOINT (\["dockreg", "run", [^\]]*\\\n[^\]]*\])`).FindSubmatch(doc)
	if found == nil {
		t.Fatal("docs/images.md has no entrypoint for two ports")
	}
	var command []string
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(found[1]), "\\\n", "")), &command); err != nil {
		t.Fatal(err)
	}
	for i, word := range command {
		command[i] = strings.ReplaceAll(word, "http://10.1.0.101:2379", etcd.URL)
	}
	if command[len(command)-1] != "my-app" {
		t.Fatalf("%v does not end with the app", command)
	}
	app := []string{"sh", "-c", `trap 'echo stopping; exit' TERM; for p in 8000 9000; do python3 -m http.server $p & done; while :; do wait; done`}
	command = append(command[:len(command)-1], app...)
	start, keys := time.Now(), follow(t)
	c := keep(t)(docker.Run(slices.Concat([]string{
		"-p", "8000", "-p", "9000", "-v", "/var/run/docker.sock:/var/run/docker.sock",
		"-e", "DOCKREG_IP=" + docker.Gateway, "-e", "DOCKREG_ETCD=" + etcd.URL, "--entrypoint", command[0], apps,
	}, command[1:])...))
	admin, err := docker.AddressOf(c, "9000")
	if err != nil {
		t.Fatal(err)
	}
	outer, inner := keyOf(t, c), "/admin/"+admin
	wantPut(t, keys, outer, start, time.Minute)
	wantPut(t, keys, inner, start, time.Minute)
	stop := time.Now()
	if err := stopped(c); err != nil {
		t.Fatal(err)
	}
	wantGone(t, keys, outer, stop, busy)
	wantGone(t, keys, inner, stop, busy+5*time.Second)
	logs, err := c.Logs()
	if err != nil {
		t.Fatal(err)
	}
	at := []time.Time{deregisteredAt(t, logs, outer), deregisteredAt(t, logs, inner), loggedAt(t, logs, "stopping\n")}
	if at[1].Sub(at[0]) < time.Second || at[2].Sub(at[1]) < time.Second {
		t.Errorf("deregistered, deregistered, stopping: %v; want a drain of 2 s between them\n%s", at, logs)
	}
}

// An image that does not run as root asks Docker with the group of its socket, and not without.
func TestImagesWithoutRoot(t *testing.T) {
	needDocker(t)
	t.Parallel()
	info, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o006 != 0 {
		t.Skip("everybody may open this machine's docker.sock")
	}
	group := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid))
	start, keys := time.Now(), follow(t)
	run := func(options ...string) *testbed.Container {
		return keep(t)(docker.Run(slices.Concat(options, []string{
			"--user", "1000:1000", "-p", "8000", "-v", "/var/run/docker.sock:/var/run/docker.sock", "-e", "DOCKREG_IP=" + docker.Gateway,
			"-e", "DOCKREG_ETCD=" + etcd.URL, "--entrypoint", "dockreg", apps, "run", "--port", "8000", "--", "node", "/srv/app.js",
		})...))
	}
	without, with := run(), run("--group-add", group)
	wantPut(t, keys, keyOf(t, with), start, time.Minute)
	awaitLogged(t, without, "permission denied; run dockreg as root or in the group that owns the socket", 1)
}
