package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"dockreg/entrypoint"
)

// TestMain takes away what the one who runs the tests has set.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "DOCKREG_") || strings.HasPrefix(name, "DOCKER_") {
			_ = os.Unsetenv(name)
		}
	}
	prepare(os.Args)
	os.Exit(m.Run())
}

// P10: a dry run shows the settings in force, without what is secret.
func TestP10DryRunHidesSecrets(t *testing.T) {
	t.Setenv("DOCKREG_ETCD", "http://joe:hunter2@127.0.0.1:1")
	t.Setenv("DOCKREG_CHECK", "http:/?token=hunter2")
	r := runWith("--dry-run", "--port", "1", "--ip", "127.0.0.1", "--host-port", "1", "--log-level", "debug")
	for _, want := range []string{"http://127.0.0.1:1 as user joe, with a password", "http:/?…", "DOCKREG_ETCD", "/service/127.0.0.1:1", "running", "nothing: this is a dry run"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.stdout)
		}
	}
	if strings.Contains(r.stdout+r.stderr, "hunter2") {
		t.Errorf("the secret shows in\n%s%s", r.stdout, r.stderr)
	}
}

// A dry run's verdict comes first, with the reasons, and nothing else tells them again.
func TestDryRunsVerdict(t *testing.T) {
	r := runWith(right("--value", "\x1b[2J")...)
	want := "would not be registered: /service/127.0.0.1:1\n" +
		"  the app fails its probe: connection refused: nothing listens on the port\n" +
		"  etcd at http://127.0.0.1:1 can't be reached: connection refused\n" +
		"\n" +
		"key      /service/127.0.0.1:1\n" +
		`record   "\x1b[2J"` + "\n"
	if r.code != exitFault || !strings.HasPrefix(r.stdout, want) || r.stderr != "" {
		t.Errorf("exit code %d\n%s\nwant %s\nand on stderr %q", r.code, r.stdout, want, r.stderr)
	}
	_, settings, _ := strings.Cut(r.stdout, "\nsetting ")
	if strings.Contains(r.stdout, "\x1b") {
		t.Errorf("the terminal would act on it:\n%q", r.stdout)
	}
	if strings.Count(settings, "\n--") != 6 || strings.Contains(settings, "default") {
		t.Errorf("the settings are not those given:\n%s", settings)
	}
	if r := runWith(right("--log-level", "debug")...); !strings.Contains(r.stdout, "\n--rise ") {
		t.Errorf("with --log-level debug it does not show all settings:\n%s", r.stdout)
	}
}

// P10: a dry run shows where a password comes from, and not what it is.
func TestP10DryRunHidesPasswords(t *testing.T) {
	passwordFile := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(passwordFile, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const passwordEnv = "DOCKREG_ETCD_PASSWORD"
	args := []string{"--dry-run", "--port", "1", "--ip", "127.0.0.1", "--host-port", "1", "--etcd", "127.0.0.1:1", "--etcd-user", "joe"}
	byFile := runWith(append(args, "--etcd-password-file", passwordFile)...)
	t.Setenv(passwordEnv, "hunter2")
	byVariable := runWith(args...)
	for want, r := range map[string]result{"joe, with the password in --etcd-password-file": byFile, passwordFile: byFile, "joe, with the password in " + passwordEnv: byVariable} {
		if r.code != exitFault || !strings.Contains(r.stdout, want) || strings.Contains(r.stdout+r.stderr, "hunter2") {
			t.Errorf("exit code %d, want %q and no password in\n%s%s", r.code, want, r.stdout, r.stderr)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, arg := range []string{"help", "h", "--help", "-h"} {
		r := runWith(arg)
		if r.code != 0 || r.stderr != "" {
			t.Errorf("%s: exit code %d, %s", arg, r.code, r.stderr)
		}
		for line := range strings.Lines(r.stdout) {
			if len([]rune(line)) > 107 {
				t.Errorf("%s: too wide for most windows: %s", arg, line)
			}
		}
	}
	for _, arg := range []string{"--version", "-v", "version"} {
		if r := runWith(arg); r.code != 0 || r.stdout != "dockreg "+version+" (commit "+commit+", "+runtime.Version()+")\n" {
			t.Errorf("%s: %+v", arg, r)
		}
	}
}

// Commands that show what is registered register nothing.
func TestHelpOfReaders(t *testing.T) {
	for _, command := range []string{"ls", "watch", "web"} {
		r := runWith(command, "--help")
		if r.code != 0 || strings.Contains(r.stdout, "to register") {
			t.Errorf("%s: exit code %d\n%s", command, r.code, r.stdout)
		}
		var last int
		for _, words := range []string{"\nWhat to show:\n  --key ", "\nWhere etcd is:\n  --etcd ", "\nHow to talk to etcd:\n", "\nHow dockreg runs:\n"} {
			at := strings.Index(r.stdout, words)
			if at <= last {
				t.Errorf("%s: not in its place: %q in\n%s", command, words, r.stdout)
			}
			last = at
		}
	}
}

// A host's service registers nothing either, and is in no container.
func TestHelpOfHost(t *testing.T) {
	r := runWith("host", "--help")
	if r.code != 0 || strings.Contains(r.stdout, "register it") || strings.Contains(r.stdout, "Which container") || !strings.Contains(r.stdout, "\nWhere etcd is:\n  --etcd ") {
		t.Errorf("exit code %d\n%s", r.code, r.stdout)
	}
}

// Who asks for help gets it, and nothing else, whatever else is on the line.
func TestHelpWins(t *testing.T) {
	whole := runWith("help").stdout
	for _, line := range []string{"--port 0 --help", "--no-such 1 -h", "stray --help", "--help --version", "--version --help", "--etcd ftp://a --dry-run --help"} {
		if r := runWith(strings.Fields(line)...); r.code != 0 || r.stdout != whole || r.stderr != "" {
			t.Errorf("%s: exit code %d\nstdout %s\nstderr %s", line, r.code, r.stdout, r.stderr)
		}
	}
	if r := runWith("--value", "-h"); r.code != exitUsage || r.stdout != "" {
		t.Errorf("a value like -h: %+v", r)
	}
	if r := runWith("help", "me"); r.code != exitUsage || r.stdout != "" || !strings.HasPrefix(r.stderr, "dockreg: No help topic for 'me'") {
		t.Errorf("help me: %+v", r)
	}
	if r := runWith("--port", "0", "--version"); r.code != 0 || !strings.HasPrefix(r.stdout, "dockreg "+version+" (commit ") {
		t.Errorf("--version: %+v", r)
	}
}

// Each flag's entry in the help has its placeholder, and ends with its default. The
// groups stand in the order in which one thinks of them.
func TestHelpOfEachFlag(t *testing.T) {
	text := runWith("help").stdout
	fallbacks := map[string]string{
		"record": "plain", "key": "service", "value": "running", "ttl": "20s", "check": "http:/", "interval": "5s", "timeout": "3s", "rise": "1", "fall": "1",
		"docker": "/var/run/docker.sock", "log-level": "info", "log-format": "text",
	}
	flags := 0
	for _, f := range registerCommand(io.Discard, io.Discard).Flags {
		name := f.Names()[0]
		line := regexp.MustCompile(`(?m)^  --` + name + `( [A-Z=]+)? +[^ ]`).FindStringSubmatchIndex(text)
		if line == nil || (line[2] < 0) != (name == "dry-run") {
			t.Errorf("no --%s in the help, or without what it takes", name)
			continue
		}
		entry, _, _ := strings.Cut(text[line[0]:], "\n  --")
		entry, _, _ = strings.Cut(entry, "\n\n")
		fallback, want := fallbacks[name]
		if got := strings.Contains(entry, "(default: "); got != want || want && !strings.HasSuffix(entry, "(default: "+fallback+")") {
			t.Errorf("--%s: %q, want the default %q at its end", name, entry, fallback)
		}
		flags++
	}
	if flags != 31 {
		t.Errorf("%d flags in the help, want 31", flags)
	}
	last := 0
	for _, group := range []string{"What to register", "Where to register it", "How to talk to etcd", "When the app passes", "Which container this is", "How dockreg runs", "Environment", "Exit codes"} {
		at := strings.Index(text, "\n"+group+":\n")
		if at < last {
			t.Errorf("%s stands at %d, want it after %d", group, at, last)
		}
		last = at
	}
	// What the help says of the environment, held against what is read.
	t.Setenv("DOCKREG_HOST_PORT", "0")
	if r := runWith(); !strings.Contains(r.stderr, "DOCKREG_HOST_PORT") || !strings.Contains(text, "--host-port is DOCKREG_HOST_PORT") {
		t.Errorf("--host-port is not read from DOCKREG_HOST_PORT: %s", r.stderr)
	}
}

// The scripts that complete flags are ones that their shells can read, and what they
// ask dockreg for is what it answers.
func TestCompletion(t *testing.T) {
	for shell, check := range map[string][]string{"bash": {"bash", "-n"}, "zsh": {"zsh", "-n"}, "fish": {"fish", "--no-execute"}} {
		r := runWith("completion", shell)
		if r.code != 0 || !strings.Contains(r.stdout, "dockreg") || r.stderr != "" {
			t.Errorf("%s: %+v", shell, r)
		}
		if _, err := exec.LookPath(check[0]); err != nil {
			continue // not installed
		}
		cmd := exec.Command(check[0], check[1:]...)
		cmd.Stdin = strings.NewReader(r.stdout)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	if r := runWith("completion", "fish"); strings.Count(r.stdout, "\ncomplete ") < 25 || !strings.Contains(r.stdout, "-l etcd-cacert") {
		t.Errorf("fish has few flags:\n%s", r.stdout)
	}
	for _, args := range [][]string{{"completion"}, {"completion", "tcsh"}, {"completion", "bash", "zsh"}} {
		if r := runWith(args...); r.code != exitUsage || !strings.Contains(r.stderr, "give bash, zsh or fish") {
			t.Errorf("%q: %+v", args, r)
		}
	}
	args := os.Args
	t.Cleanup(func() { os.Args = args })
	for line, want := range map[string]string{"--etcd-c": "--etcd-cacert\n--etcd-cert\n", "com": "completion"} {
		os.Args = []string{"dockreg", line, "--generate-bash-completion"} // what the library looks at
		if r := runWith(os.Args[1:]...); r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: %+v, want %q", line, r, want)
		}
	}
}

// What stands behind -- is the command of an app: asked about it, dockreg run would start that.
// And -- alone is the beginning of a flag.
func TestCompletionOfAnAppsCommand(t *testing.T) {
	shells := map[string]string{
		"bash": `COMP_WORDS=("$@") COMP_CWORD=$(($#-1)); _dockreg`,
		"zsh":  `words=("$@") CURRENT=$#; compadd() { :; }; _files() { :; }; _dockreg`,
	}
	for shell, complete := range shells {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		script := "compdef() { :; }\n" + runWith("completion", shell).stdout + "dockreg() { echo \"asked: $*\" >&3; }\n" + complete
		for line, want := range map[string]string{
			"dockreg run --port 8000 -- node app.js |": "",
			"dockreg run -- node --|":                  "",
			"dockreg run --port 8000 --|":              "asked: run --port 8000 - --generate-bash-completion\n",
			"dockreg run --port 8000 --ho|":            "asked: run --port 8000 --ho --generate-bash-completion\n",
			"dockreg run --port 8000 |":                "asked: run --port 8000 --generate-bash-completion\n",
		} {
			words := strings.Split(strings.TrimSuffix(line, "|"), " ")
			cmd := exec.Command(shell, append([]string{"-c", "exec 3>&1 >/dev/null\n" + script, shell}, words...)...)
			if out, err := cmd.Output(); string(out) != want {
				t.Errorf("%s, %s: dockreg is %q (%v), want %q", shell, line, out, err, want)
			}
		}
	}
}

// result is what a run of dockreg did.
type result struct {
	code           int
	stdout, stderr string
}

// runWith runs dockreg with these arguments.
func runWith(args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(append([]string{"dockreg"}, args...), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// What an app is asked is not asked of dockreg.
func TestHelpOfAnApp(t *testing.T) {
	for _, line := range []string{"run --port 8000 node --help", "run --port=8000 -- node -h", "run --port 8000 --dry-run node --help"} {
		if r := runWith(strings.Fields(line)...); r.code != exitUsage || r.stdout != "" || !strings.Contains(r.stderr, "--etcd: required") {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if r := runWith(strings.Fields("run --port 0 --help")...); r.code != 0 || !strings.HasPrefix(r.stdout, "dockreg run: ") {
		t.Errorf("its own help: %+v", r)
	}
}

// A sidekick of dockreg run tells a wrong setting from what Go ends a process with that it can't
// start, which is 2.
func TestSidekicksExitCode(t *testing.T) {
	for _, args := range [][]string{{"run", "true"}, {"run", "--check", "exec:x", "-h", "true"}} {
		if code := run(append([]string{sidekickName}, args...), io.Discard, io.Discard); code != entrypoint.ExitUsage {
			t.Errorf("exit code %d of %q, want %d", code, args, entrypoint.ExitUsage)
		}
	}
}
