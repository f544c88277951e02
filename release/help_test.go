package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A program whose help has all that dockreg's has: groups of flags, a text of several lines,
// defaults, commands with a help of their own and without.
const speaker = `#!/bin/sh
case $* in
help) cat <<'END'
dockreg keeps an app's address in etcd

It runs beside
the app.

Usage:
  dockreg --port N [flags]
  dockreg host [flags]

Other commands:
  host                      answer containers
  completion bash|zsh|fish  print what completes

What to register:
  --port N       the app's port
  --docker ADDR  Docker: a path such as /run/x.sock,
                 or tcp://host:port (default: /var/run/docker.sock)
  --dry-run      show it

Environment:
  Each flag can be set there: --port is DOCKREG_PORT.

Exit codes:
  0 stopped as asked
  2 wrong usage
  An etcd is waited for.
END
;;
"host --help") cat <<'END'
dockreg host: answers containers

It runs once.

Usage:
  dockreg host [flags]

Examples:
  dockreg host --etcd …

How dockreg runs:
  --listen PATH  the socket (default: /run/dockreg/docker.sock)
  --etcd URLS    where leases are
END
;;
completion*) echo "dockreg keeps an app's address in etcd" ;;
*) exit 1 ;;
esac
`

// speaking returns the path of a program that says this.
func speaking(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dockreg")
	// A process that another test starts meanwhile would have it open for writing until it is
	// that test's program, and a file that is being written can't be run (execve(2), ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func commandsOf(t *testing.T) []command {
	t.Helper()
	commands, err := readCommands(speaking(t, speaker))
	if err != nil {
		t.Fatal(err)
	}
	return commands
}

func TestHelpIsRead(t *testing.T) {
	t.Parallel()
	commands := commandsOf(t)
	if len(commands) != 3 || commands[1].name != "host" || commands[2].name != "completion" || commands[2].sections != nil {
		t.Fatalf("the commands are %+v", commands)
	}
	want := []option{
		{"--port", "N", "the app's port", ""},
		{"--docker", "ADDR", "Docker: a path such as /run/x.sock, or tcp://host:port", "/var/run/docker.sock"},
		{"--dry-run", "", "show it", ""},
	}
	got := commands[0].flags()
	if len(got) != len(want) {
		t.Fatalf("the flags are %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("flag %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	if got[2].env() != "DOCKREG_DRY_RUN" {
		t.Errorf("%s is set by %s", got[2].name, got[2].env())
	}
	for _, bad := range []string{"#!/bin/sh\nexit 3\n", "#!/bin/sh\necho dockreg does nothing\n"} {
		if got, err := readCommands(speaking(t, bad)); err == nil {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

func TestManPageHasAllOfTheHelp(t *testing.T) {
	t.Parallel()
	page := string(manPage(commandsOf(t), "1.2.3", time.Unix(86400, 0).UTC()))
	for _, want := range []string{
		`.TH DOCKREG 1 1970-01-02 "dockreg 1.2.3" "User Commands"`,
		".SH NAME\ndockreg \\- keeps an app\\(aqs address in etcd\n",
		".SH SYNOPSIS\n.PP\n.nf\ndockreg \\-\\-port N [flags]\n",
		".SH DESCRIPTION\nIt runs beside\nthe app.\n",
		".TP\n\\fB\\-\\-docker\\fR \\fIADDR\\fR\nDocker: a path such as /run/x.sock, or tcp://host:port (default: /var/run/docker.sock)\n",
		".TP\n\\fB\\-\\-dry\\-run\\fR\nshow it\n",
		".SS dockreg host\n",
		"\\fB\\-\\-listen\\fR",
		"dockreg host \\-\\-etcd ...\n",
		".SS dockreg completion\nprint what completes\n",
		".SH EXIT STATUS\n.TP\n.B 0\nstopped as asked\n",
		"An etcd is waited for.",
		".SH ENVIRONMENT\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

// What is to be typed stays in its lines, and what exit codes mean in its order.
func TestSectionsOfAManPage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"In a Dockerfile:\n  COPY dockreg /usr/bin/dockreg\n  ENTRYPOINT [\"dockreg\"]\n": ".PP\n.nf\nCOPY dockreg /usr/bin/dockreg\nENTRYPOINT [\"dockreg\"]\n.fi\n",
		"Exit codes:\n  the app's own, or\n  another\n  126, 127 it can't be run\n  2 wrong usage\n  An etcd\n  is waited for.\n": ".PP\nthe app\\(aqs own, or\nanother\n" +
			".TP\n.B 126, 127\nit can\\(aqt be run\n.TP\n.B 2\nwrong usage\n.PP\nAn etcd\nis waited for.\n",
	} {
		var page strings.Builder
		if writeSection(&page, parseHelp(text)[1]); page.String() != want {
			t.Errorf("%s\nis\n%s\nwant\n%s", text, page.String(), want)
		}
	}
}

func TestRoffTakesNothingForItsOwn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		".so x": `\&.so x`, "'tis": `\&\(aqtis`, `a\n`: `a\en`, "a-b": `a\-b`, "…": "...", "é": `\[u00E9]`, "plain": "plain",
	} {
		if got := roff(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestEnvironmentHasTheServicesFlags(t *testing.T) {
	t.Parallel()
	env, err := environment(commandsOf(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n# the socket\n#DOCKREG_LISTEN=/run/dockreg/docker.sock\n", "\n#DOCKREG_ETCD=URLS\n"} {
		if !strings.Contains(string(env), want) {
			t.Errorf("it lacks %q:\n%s", want, env)
		}
	}
	if _, err := environment(commandsOf(t)[:1]); err == nil {
		t.Error("without the command host nothing is wrong")
	}
}
