package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// tableHead is where the table of flags begins, which ends at the first other line.
const tableHead = "| flag | default | meaning |\n|---|---|---|\n"

// notes are what the README says of a flag beyond its help.
var notes = map[string]string{
	"--record":             "`DOCKREG_RECORD` has one in each line, without the space around it; see [below](#what-consumers-read)",
	"--meta":               "`DOCKREG_META` has one in each line",
	"--etcd":               "http and https are not mixed",
	"--etcd-discovery-srv": "looked up again when a member fails",
	"--docker":             "`dockreg host` in its place; `DOCKER_HOST` is not read with `--host-port`; for TLS `DOCKER_CERT_PATH` and `DOCKER_TLS_VERIFY`; never by a proxy",
	"--drain":              "1 s for `grpc` and `hostport`, 3 s for Traefik, the TTL and 2 s for DNS; a warning if it is less",
	"--metrics":            "see [examples/prometheus](examples/prometheus)",
}

// writeReadme writes the flags that a binary has into a file, in place of those that its
// table has.
func writeReadme(path, binary string) error {
	commands, err := readCommands(binary)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := withTable(string(old), commands[0].flags())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // everybody may read it
}

// withTable returns a text with these flags in its table.
func withTable(text string, flags []option) (string, error) {
	before, rest, ok := strings.Cut(text, tableHead)
	if !ok {
		return "", fmt.Errorf("no table of flags is in it, which begins with %q", tableHead)
	}
	for strings.HasPrefix(rest, "|") {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	var table strings.Builder
	for _, o := range flags {
		fallback := ""
		if o.fallback != "" {
			fallback = "`" + o.fallback + "` "
		}
		meaning := markdown(o.text)
		if note := notes[o.name]; note != "" {
			meaning += "; " + note
		}
		fmt.Fprintf(&table, "| `%s` | %s| %s |\n", strings.TrimSpace(o.name+" "+o.value), fallback, meaning)
	}
	return before + tableHead + table.String() + rest, nil
}

// code is what Markdown might take for its own, and what a reader may type: with dashes in
// front, an address, a path, a variable, a kind.
var code = regexp.MustCompile(`(?:^|[\s(])((?:\S*?(?:--|_|\{\{|=|:/|\.sock|/PORT|[a-z0-9]:[A-Z0-9a-z])\S*?|/[a-z/]+|:\d+))([.,;:)]*(?:\s|$))`)

// markdown marks code in a flag's text.
func markdown(text string) string {
	var out strings.Builder
	for i, word := range strings.Split(text, " ") {
		if i > 0 {
			out.WriteByte(' ')
		}
		if m := code.FindStringSubmatch(word); m != nil {
			word = strings.Replace(word, m[1], "`"+m[1]+"`", 1)
		}
		out.WriteString(strings.ReplaceAll(word, "|", `\|`))
	}
	return strings.Replace(out.String(), " x ", " × ", 1)
}
