package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// readme are the commands in README.md and then in docs/security.md, a block each, and what each shows. A block
// that asks is run until it shows it, as a reader would.
var readme = []struct {
	first       string // how the block starts
	shows, lack string
	ci          []string // not run here: .ci/run runs these in its place
}{
	{first: "make demo", ci: []string{"make demo", "make demo-containers", "make vagrant-demo"}},
	{first: "docker build"},
	{first: "docker exec hello dockreg ls", shows: `^ADDRESS .*\nIP:\d+ .* running .*\nHello from [0-9a-f]{12}\n$`},
	{first: "docker exec hello dockreg --dry-run", shows: `(?s)^would be registered: /service/IP:\d+\n.*app +passes its probe.*dry run.*--port +8000`},
	{first: "docker stop hello", lack: "running"},
	{first: "docker run -d --name dockreg-host"},
	{first: "docker run -d --name safe", shows: `(?s)the key is there, with.*last will +dockreg host takes it`},
	{first: "docker kill safe", lack: "running"},
	{first: "etcdctl --endpoints $ETCD get --prefix --keys-only"},
	{first: "etcdctl --endpoints $ETCD role add", shows: "Authentication Enabled"},
}

// The README's commands, in its order, do what it says.
func TestReadme(t *testing.T) {
	needDocker(t)
	t.Parallel()
	if _, err := exec.LookPath("etcdctl"); err != nil {
		t.Fatal("the README's commands need etcdctl: apt-get install etcd-client")
	}
	ci, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	// An etcd of its own, so that no other test's keys show.
	own, err := testbed.StartVolatileEtcd(docker.Gateway)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	// This machine may have a service of its own.
	folder, err := os.MkdirTemp("", "host")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", "hello", "safe", "dockreg-host-readme").Run() })
	elsewhere := strings.NewReplacer("--name dockreg-host", "--name dockreg-host-readme",
		"/run/dockreg:/run/dockreg ", folder+":/run/dockreg ", "/run/dockreg:/run/dockreg:ro", folder+":/run/dockreg:ro -e DOCKREG_LOG_LEVEL=debug")

	blocks := blocksOf(t, "../README.md", "../docs/security.md")
	if len(blocks) != len(readme) {
		t.Fatalf("the README has %d blocks of commands, this test knows %d", len(blocks), len(readme))
	}
	for i, commands := range blocks {
		want := readme[i]
		if !strings.HasPrefix(commands, want.first) {
			t.Fatalf("block %d starts otherwise than with %q:\n%s", i, want.first, commands)
		}
		for _, line := range want.ci {
			if !strings.Contains(string(ci), "\n"+line+"\n") {
				t.Errorf(".ci/run does not run %q", line)
			}
		}
		if want.ci != nil {
			continue
		}
		if strings.HasPrefix(commands, "docker kill safe") { // the will is told in the background
			awaitLogged(t, &testbed.Container{ID: "safe"}, `msg="the host's service has the last will"`, 1)
		}
		shows := strings.ReplaceAll(want.shows, "IP", regexp.QuoteMeta(docker.Gateway))
		patience := 40 * time.Second
		if want.lack != "" {
			patience = busy // less than until a key lapses that nobody took away: 20 s after its last renewal
		}
		err := poll(t, patience, func() error {
			output := shell(t, elsewhere.Replace(commands), "IP="+docker.Gateway, "ETCD="+own.URL, "PASSWORD=secret", "ROOT_PASSWORD=root-secret", "ETCDCTL_COMMAND_TIMEOUT=1m")
			if !regexp.MustCompile(shows).MatchString(output) {
				return fmt.Errorf("%s\nshows\n%s\nand not %s", commands, output, shows)
			}
			if want.lack != "" && strings.Contains(output, want.lack) {
				return fmt.Errorf("%s\nshows\n%s\nand so %q", commands, output, want.lack)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// blocksOf returns the blocks of commands in documents.
func blocksOf(t *testing.T, documents ...string) (blocks []string) {
	t.Helper()
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			blocks = append(blocks, found[1])
		}
	}
	return blocks
}

// shell runs commands as somebody would who reads them in the project's folder.
func shell(t *testing.T, commands string, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", commands)
	cmd.Dir = ".."
	cmd.Env = append(testbed.CleanEnv(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		t.Fatalf("%s: %v\n%s", commands, err, out)
	}
	return string(out)
}

// Every flag in help is in the README, with the same default, and the other way
// round.
func TestReadmeHasEveryFlag(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary, "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	defaults := regexp.MustCompile(`\(default: (.+?)\)`)
	inHelp := map[string]string{}
	var last string
	for line := range strings.Lines(string(out)) {
		if m := regexp.MustCompile(`^  (--[a-z-]+(?: [A-Z=]+)?)  `).FindStringSubmatch(line); m != nil {
			last = m[1]
			inHelp[last] = ""
		}
		if m := defaults.FindStringSubmatch(line); m != nil {
			inHelp[last] = m[1]
		}
	}
	inReadme := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(--[^`]+)` \\| *([^|]*?) *\\|").FindAllStringSubmatch(string(text), -1) {
		fallback := ""
		if strings.HasPrefix(m[2], "`") {
			fallback = strings.Trim(m[2], "`")
		}
		inReadme[m[1]] = fallback
	}
	if got, want := fmt.Sprint(inReadme), fmt.Sprint(inHelp); got != want || len(inHelp) < 24 {
		t.Errorf("flags and defaults\n in the README %s\n in help       %s", got, want)
	}
}

// The entry in the READMEs is the one that the image runs.
func TestReadmesShowTheShippedEntry(t *testing.T) {
	t.Parallel()
	conf, err := os.ReadFile("../supervisord/supervisord.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, entry, _ := strings.Cut(string(conf), "[program:dockreg]\n")
	entry = regexp.MustCompile(`(?m)^;.*\n`).ReplaceAllString(entry, "")
	for _, file := range []string{"../README.md", "../supervisord/README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "```ini\n[program:dockreg]\n"+entry+"```") {
			t.Errorf("%s shows another entry than\n%s", file, entry)
		}
	}
}

// Where consumers need more time than the image's entry gives them, the examples have an
// entry that is else the same.
func TestExamplesDrainForTheirConsumers(t *testing.T) {
	t.Parallel()
	var programs []string
	for _, file := range []string{"../supervisord/supervisord.conf", "../examples/supervisord.conf"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, regexp.MustCompile(`(?m)^;.*\n`).ReplaceAllString(string(text), ""))
	}
	if want := strings.NewReplacer(" --drain 2s", "", "stopwaitsecs=5", "stopwaitsecs=10").Replace(programs[0]); programs[1] != want {
		t.Errorf("the examples' entry is\n%s\nwant\n%s", programs[1], want)
	}
	for name, slow := range map[string]bool{"haproxy-confd": false, "nginx-confd": false, "grpc-go": false, "haproxy-dns": true, "coredns": true, "traefik": true} {
		text, err := os.ReadFile("../examples/" + name + "/compose.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(string(text), `"../supervisord.conf:/etc/supervisord.conf:ro"`) && strings.Contains(string(text), "stop_grace_period: 20s"); has != slow {
			t.Errorf("%s: drains for longer: %t, want %t", name, has, slow)
		}
	}
}
