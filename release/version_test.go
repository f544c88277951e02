package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestVersionsOfGitDescribe(t *testing.T) {
	t.Parallel()
	for describe, want := range map[string]version{
		"1.2.3":                  "1.2.3",
		"v1.2.3":                 "1.2.3",
		"1.0.0-dev":              "1.0.0-dev",
		"v1.2.3-rc.1":            "1.2.3-rc.1",
		"v1.2.3-4-gabc1234":      "1.2.3+4.gabc1234",
		"v1.2.3-rc.1-4-gabc1234": "1.2.3-rc.1+4.gabc1234",
	} {
		if got, err := parseVersion(describe); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %s", describe, got, err, want)
		}
	}
	for _, describe := range []string{"", "v1", "abc1234", "1.2", "1.2.3 ", "1.2.3/4"} {
		if got, err := parseVersion(describe); err == nil {
			t.Errorf("%q is taken for %q", describe, got)
		}
	}
	if got := version("1.2.3+4.gabc").tag(); got != "1.2.3-4.gabc" {
		t.Errorf("an image's tag is %s", got)
	}
}

// The commit is in the binary: from the same source it is the same text, in a clone that has
// more commits, too, in which git abbreviates less.
func TestCommitIsTheSameInEachClone(t *testing.T) {
	t.Parallel()
	build := func(length string) string {
		command := exec.CommandContext(t.Context(), "make", "-C", "..", "--dry-run", "build-amd64", "VERSION=1.2.3")
		for _, variable := range os.Environ() {
			if !strings.HasPrefix(variable, "COMMIT=") && !strings.HasPrefix(variable, "MAKE") && !strings.HasPrefix(variable, "MFLAGS=") {
				command.Env = append(command.Env, variable)
			}
		}
		command.Env = append(command.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.abbrev", "GIT_CONFIG_VALUE_0="+length)
		out, err := command.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "main.commit=") {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if small, large := build("7"), build("9"); small != large {
		t.Errorf("%s\n%s", small, large)
	}
}

func TestSourceDateIsNeverGuessed(t *testing.T) {
	t.Parallel()
	if got, err := sourceDate("86400"); err != nil || got.Format("2006-01-02") != "1970-01-02" {
		t.Errorf("86400 is %s, %v", got, err)
	}
	for _, seconds := range []string{"", "yesterday", "-1"} {
		if got, err := sourceDate(seconds); err == nil {
			t.Errorf("%q is %s", seconds, got)
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	if got, err := targetsOf([]string{"armv7", "amd64"}); err != nil || len(got) != 2 || got[0].deb != "armhf" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, archs := range [][]string{nil, {"amd64", "vax"}} {
		if got, err := targetsOf(archs); err == nil {
			t.Errorf("%v are %+v", archs, got)
		}
	}
}
