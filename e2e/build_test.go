package e2e

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// archs are those that make build builds for. The compiler has been at this machine's
// one, and takes a minute more for each other one.
var archs = either([]string{"amd64", "arm64"}, []string{runtime.GOARCH})

// The same source gives the same binary, wherever it lies; and it is static.
func TestBuildIsReproducibleAndStatic(t *testing.T) {
	t.Parallel()
	one, other := buildIn(t, t.TempDir()), buildIn(t, filepath.Join(t.TempDir(), "somewhere", "else"))
	for name := range one {
		if !bytes.Equal(one[name], other[name]) {
			t.Errorf("%s differs between two builds of the same source", name)
		}
		program, err := elf.NewFile(bytes.NewReader(one[name]))
		if err != nil {
			t.Fatal(err)
		}
		for _, segment := range program.Progs {
			if segment.Type == elf.PT_INTERP {
				t.Errorf("%s is not static", name)
			}
		}
	}
}

// buildIn runs make build on a copy of the source in dir, and returns what it made.
func buildIn(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	for _, pattern := range []string{"go.mod", "go.sum", "*.go", "Makefile", "*/*.go", "*/*/*.go", "*/*/*/*.go", "web/page/*", "e2e/progress"} {
		files, err := filepath.Glob("../" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			if strings.HasPrefix(file, "../e2e/") && strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, strings.TrimPrefix(file, "../"))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	build := exec.Command("make", "-C", dir, "build", "VERSION=1.2.3", "COMMIT=abc", "ARCHS="+strings.Join(archs, " "))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	made := map[string][]byte{}
	for _, arch := range archs {
		name := "dockreg-linux-" + arch
		content, err := os.ReadFile(filepath.Join(dir, "dist", name))
		if err != nil {
			t.Fatal(err)
		}
		made[name] = content
	}
	return made
}
