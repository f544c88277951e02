package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/licensecheck"
)

// allowed are the licences that a program under Apache-2.0 may contain, if their texts come
// with it. MPL-2.0 also asks to say where the source is: each module's path is said.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// legal are the files that a licence asks to be handed on, except with code and documents,
// which are in no binary.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright|patents)`)

// beside are those of them that are no licence.
var beside = regexp.MustCompile(`(?i)^(notice|copyright|patents)`)

const partiesHead = `dockreg contains the following Go modules, unchanged, under these licenses; std is Go's own
library. The source of each is at its path: go mod download -json PATH@VERSION gets it.

`

// module is one that a binary was made of, or Go's own library.
type module struct {
	name, version string
	kinds, texts  []string // of its licences
}

// modulesOf returns all that a binary was made of, by name.
func (r *release) modulesOf(binary string) ([]module, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	folders, err := r.folders(info)
	if err != nil {
		return nil, err
	}
	var modules []module
	for _, named := range slices.Sorted(maps.Keys(folders)) {
		var m module
		m.name, m.version, _ = strings.Cut(named, " ")
		if m.kinds, m.texts, err = licensesIn(folders[named]); err != nil {
			return nil, fmt.Errorf("licence of %s: %w", named, err)
		}
		modules = append(modules, m)
	}
	return modules, nil
}

// thirdParties are the licences of modules, each text once.
func thirdParties(modules []module) []byte {
	var list, bodies strings.Builder
	owners := map[string][]string{} // by text
	var order []string
	for _, m := range modules {
		name := m.name + " " + m.version
		fmt.Fprintf(&list, "  %s: %s\n", name, strings.Join(m.kinds, ", "))
		for _, text := range m.texts {
			if owners[text] == nil {
				order = append(order, text)
			}
			owners[text] = append(owners[text], name)
		}
	}
	for _, text := range order {
		fmt.Fprintf(&bodies, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(owners[text], "\n"), strings.TrimSpace(text))
	}
	return []byte(partiesHead + list.String() + bodies.String())
}

// folders returns where the sources of a binary's modules are, by path and version, and
// those of Go's own library.
func (r *release) folders(info *buildinfo.BuildInfo) (map[string]string, error) {
	args := []string{"list", "-m", "-f", "{{.Path}} {{.Version}}\t{{.Dir}}"}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		args = append(args, dep.Path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = r.source, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	root, err := goRoot(ctx)
	if err != nil {
		return nil, err
	}
	folders := map[string]string{"std " + info.GoVersion: root}
	for line := range strings.Lines(string(out)) {
		named, folder, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if folder == "" {
			return nil, fmt.Errorf("%s: its source is not here; go mod download gets it", named)
		}
		folders[named] = folder
	}
	return folders, nil
}

// goRoot is the folder of Go itself. Distributions have its licence elsewhere.
func goRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// licensesIn returns the kinds and the texts of the licences in a folder, and an error if
// there is none, or one that is not allowed.
func licensesIn(folder string) (kinds, found []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !legal.MatchString(e.Name()) || slices.Contains([]string{".go", ".docs"}, filepath.Ext(e.Name())) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		found = append(found, string(text))
		if beside.MatchString(e.Name()) {
			continue
		}
		for _, m := range licensecheck.Scan(text).Match {
			if !slices.Contains(allowed, m.ID) {
				return nil, nil, fmt.Errorf("%s is %s, which is none of %s", e.Name(), m.ID, strings.Join(allowed, ", "))
			}
			if !slices.Contains(kinds, m.ID) {
				kinds = append(kinds, m.ID)
			}
		}
	}
	if kinds == nil {
		return nil, nil, fmt.Errorf("%s has no text of %s", folder, strings.Join(allowed, ", "))
	}
	return kinds, found, nil
}
