package main

import (
	"strings"
	"testing"
)

func TestTableIsReplaced(t *testing.T) {
	t.Parallel()
	flags := []option{{"--port", "N", "the app's port", ""}, {"--etcd", "URLS", "a|b", "x"}}
	got, err := withTable("before\n"+tableHead+"| old |\n| older |\n\nafter\n| other |\n", flags)
	want := "before\n" + tableHead +
		"| `--port N` | | the app's port |\n| `--etcd URLS` | `x` | a\\|b; http and https are not mixed |\n\nafter\n| other |\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if again, err := withTable(got, flags); err != nil || again != got {
		t.Errorf("a second time changes it: %v\n%s", err, again)
	}
	if _, err := withTable("no table", flags); err == nil {
		t.Error("a file without a table is written")
	}
}

func TestMarkdownMarksCode(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"needs --ip":                      "needs `--ip`",
		"http://host:port, or host:port;": "`http://host:port`, or `host:port`;",
		"as in {{.ID}}":                   "as in `{{.ID}}`",
		"_etcd-client._tcp.DOMAIN":        "`_etcd-client._tcp.DOMAIN`",
		"0.0.0.0 or ::":                   "0.0.0.0 or ::",
		"etcd's members: all":             "etcd's members: all",
		"/metrics, such as :8379 or":      "`/metrics`, such as `:8379` or",
		"fall x interval":                 "fall × interval",
	} {
		if got := markdown(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// Each note is about a flag that there is: e2e compares the README with the program, in which
// a note without a flag would not show.
func TestNotesEnd(t *testing.T) {
	t.Parallel()
	for flag, note := range notes {
		if !strings.HasPrefix(flag, "--") || strings.HasSuffix(note, ".") {
			t.Errorf("%s: %q", flag, note)
		}
	}
}
