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

// Each promise of other inits has a test of ours, or is said not to be made.
func TestRunsPromisesNameTheirTests(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/run.md")
	if err != nil {
		t.Fatal(err)
	}
	there := testNames(t)
	name := regexp.MustCompile("`(Test[A-Z]\\w*)`")
	_, table, _ := strings.Cut(string(doc), "| promise | tini |")
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		rows++
		ours := strings.TrimSpace(cells[4])
		found := name.FindAllStringSubmatch(ours, -1)
		if len(found) == 0 && !strings.HasPrefix(ours, "no") {
			t.Errorf("this row has no test: %s", line)
		}
		for _, f := range found {
			if !there[f[1]] {
				t.Errorf("no test is named %s", f[1])
			}
		}
	}
	if rows < 15 {
		t.Errorf("only %d rows", rows)
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
		if d != nil && d.IsDir() && len(d.Name()) > 2 && d.Name()[0] == '.' { // git and go may be at work there
			return fs.SkipDir
		}
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

// Each link in a document leads to a file, or to a heading, that is there; and no document is longer
// than a reader bears.
func TestDocumentsLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings := map[string]map[string]bool{}
	texts := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name[0] == '.' && name != "..": // none of the project's own
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		texts[path], headings[path] = string(text), headingsOf(string(text))
		if n := strings.Count(string(text), "\n"); n > 300 {
			t.Errorf("%s has %d lines, 300 at the most", path, n)
		}
		return err
	})
	if err != nil || len(texts) < 20 {
		t.Fatalf("documents: %d, %v", len(texts), err)
	}
	for path, text := range texts {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			file, heading, _ := strings.Cut(found[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s: %v", path, found[1], err)
			} else if heading != "" && !headings[to][heading] {
				t.Errorf("%s: %s: there is no such heading", path, found[1])
			}
		}
	}
}

// headingsOf returns the names by which GitHub links to headings.
func headingsOf(text string) map[string]bool {
	names := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}
