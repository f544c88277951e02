package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each row of docs/reliability.md names the tests that show it, and a promise.
func TestReliabilityNamesItsTests(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	there := testNames(t)
	named := map[string]bool{}
	name, promise := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`"), regexp.MustCompile(`^(P\d+|–)$`) // –: none is about this
	rows, promises := 0, map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		for _, found := range name.FindAllStringSubmatch(line, -1) {
			named[found[1]] = true
			if !there[found[1]] {
				t.Errorf("no test is named %s", found[1])
			}
		}
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 7 || cells[1] == " fault " || strings.HasPrefix(cells[1], "---") {
			continue
		}
		rows++
		p := strings.TrimSpace(cells[3])
		promises[p] = true
		if !promise.MatchString(p) || !name.MatchString(cells[5]) || strings.TrimSpace(cells[4]) == "" {
			t.Errorf("this row lacks a promise, a figure or a test: %s", line)
		}
	}
	if rows < 30 || len(promises) < 8 {
		t.Errorf("only %d rows, of the promises %v", rows, promises)
	}
	for test := range there {
		if faults.MatchString(test) && !named[test] {
			t.Errorf("%s is in no row", test)
		}
	}
}

// faults are the tests whose place is in that document.
var faults = regexp.MustCompile(`^Fuzz|^Test(P[56]|Hostile|Soak)`)

// testNames returns the names of all tests of the project.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	test := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range test.FindAllSubmatch(source, -1) {
			names[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
