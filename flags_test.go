package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestMain takes away what the one who runs the tests has set.
func TestMain(m *testing.M) {
	for _, s := range settings {
		_ = os.Unsetenv(s.env())
	}
	for _, name := range []string{passwordEnv, "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"} {
		_ = os.Unsetenv(name)
	}
	code := m.Run()
	_ = os.RemoveAll(certDir)
	os.Exit(code)
}

// What the parser is given after tidy, and what tidy finds wrong.
func TestTidy(t *testing.T) {
	t.Parallel()
	const stray = "a stray argument; every setting is a flag that starts with --"
	for name, tt := range map[string]struct {
		args  string
		want  string
		wrong []string
	}{
		"nothing":                  {"", "", nil},
		"value behind it":          {"--port 8000", "--port=8000", nil},
		"one dash":                 {"-port 8000", "-port=8000", nil},
		"inline value":             {"--port=8000", "--port=8000", nil},
		"inline value with =":      {"--value=a=b", "--value=a=b", nil},
		"empty inline value":       {"--value=", "--value=", nil},
		"value with a dash":        {"--interval -5s", "--interval=-5s", nil},
		"value like some flag":     {"--value --no-such", "--value=--no-such", nil},
		"value like help":          {"--value --help", "--value=--help", nil},
		"value like a flag's name": {"--container docker", "--container=docker", nil},
		"no value before a flag":   {"--value --port 8000", "--port=8000", []string{"--value: no value behind it; give --value TEXT"}},
		"no value before a flag=":  {"--value --port=8000", "--port=8000", []string{"--value: no value behind it; give --value TEXT"}},
		"no value at the end":      {"--port 8000 --ip", "--port=8000", []string{"--ip: no value behind it; give --ip ADDR"}},
		"one without a value":      {"--dry-run --port 8000", "--dry-run=true --port=8000", nil},
		"one told to be false":     {"--dry-run=false", "--dry-run=false", nil},
		"one with a word behind":   {"--dry-run maybe", "--dry-run=true", []string{`"maybe": ` + stray}},
		"repeated":                 {"--etcd a:1 --etcd=b:1", "--etcd=a:1 --etcd=b:1", nil},
		"twice":                    {"--port=1 --port=2", "--port=1", []string{"--port: given twice; give it once"}},
		"twice, without a value":   {"--dry-run=true --dry-run=false", "--dry-run=true", []string{"--dry-run: given twice; give it once"}},
		"stray":                    {"serve --port 8000", "--port=8000", []string{`"serve": ` + stray}},
		"stray dashes":             {"- -- --port 8000", "--port=8000", []string{`"-": ` + stray, `"--": ` + stray}},
		"unknown, with its value":  {"--prot 80 --ip ::1", "--ip=::1", []string{"--prot: no such flag; did you mean --port?"}},
		"unknown, inline":          {"--prot=80 --ip ::1", "--ip=::1", []string{"--prot: no such flag; did you mean --port?"}},
		"unknown, before a flag":   {"--dryrun --ip ::1", "--ip=::1", []string{"--dryrun: no such flag; did you mean --dry-run?"}},
		"unknown, at the end":      {"--ip ::1 --intervall", "--ip=::1", []string{"--intervall: no such flag; did you mean --interval?"}},
		"unknown, like none":       {"--zzzz", "", []string{"--zzzz: no such flag; dockreg help lists them"}},
		"help is a command":        {"help --port", "help", nil},
		"help in front of it all":  {"--port 0 --help --nope", "--help", nil},
		"version in front of all":  {"--port 0 --version x", "--version", nil},
		"help behind a missing":    {"--port --help", "--port=--help", nil}, // and then no port
		"help is not for anywhere": {"--ip ::1 help", "--ip=::1", []string{`"help": ` + stray}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := &mistakes{}
			got := tidy(append([]string{"dockreg"}, strings.Fields(tt.args)...), wrong)
			if !slices.Equal(got, append([]string{"dockreg"}, strings.Fields(tt.want)...)) {
				t.Errorf("%s\n got %q\nwant %s", tt.args, got[1:], tt.want)
			}
			if !slices.Equal(wrong.lines, tt.wrong) {
				t.Errorf("%s: mistakes\n got %q\nwant %q", tt.args, wrong.lines, tt.wrong)
			}
		})
	}
}

// P10: an unknown flag's value may be a password for something else.
func TestP10UnknownFlagsValueIsNotShown(t *testing.T) {
	for _, args := range [][]string{{"--password", "hunter2"}, {"--password=hunter2"}, {"-p=hunter2"}, {"--etdc", "http://joe:hunter2@a:1"}} {
		r := runWith(append(args, right()...)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, "no such flag") || strings.Contains(r.stderr+r.stdout, "hunter2") {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.stderr)
		}
	}
}

// Who asks for help gets it, and nothing else, whatever else is on the line.
func TestHelpWins(t *testing.T) {
	whole := runWith("help").stdout
	for _, line := range []string{"--port 0 --help", "--no-such 1 -h", "stray --help", "help me", "--help --version", "--etcd ftp://a --dry-run --help"} {
		if r := runWith(strings.Fields(line)...); r.code != 0 || r.stdout != whole || r.stderr != "" {
			t.Errorf("%s: exit code %d\nstdout %s\nstderr %s", line, r.code, r.stdout, r.stderr)
		}
	}
	if r := runWith("--port", "0", "--version", "--help"); r.code != 0 || !strings.HasPrefix(r.stdout, "dockreg "+version+" (commit ") {
		t.Errorf("--version: %+v", r)
	}
}

// Each flag's entry in the help has its placeholder, and ends with its default.
func TestHelpOfEachFlag(t *testing.T) {
	t.Parallel()
	text := help()
	for _, s := range settings {
		_, entry, ok := strings.Cut(text, "\n  "+strings.TrimSpace("--"+s.name+" "+s.placeholder)+"  ")
		if !ok {
			t.Errorf("no --%s %s in the help", s.name, s.placeholder)
			continue
		}
		entry, _, _ = strings.Cut(entry, "\n  --")
		entry, _, _ = strings.Cut(entry, "\n\n")
		if got := strings.Contains(entry, "(default: "); got != (s.fallback != "") || s.fallback != "" && !strings.HasSuffix(entry, "(default: "+s.fallback+")") {
			t.Errorf("--%s: %q, want the default %q at its end", s.name, entry, s.fallback)
		}
	}
	// What the help says of the environment, held against what is read.
	if s, _ := find("host-port"); s.env() != "DOCKREG_HOST_PORT" || !strings.Contains(text, "--host-port is DOCKREG_HOST_PORT") {
		t.Errorf("--host-port is %s", s.env())
	}
}
