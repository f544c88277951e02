package e2e

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The same source gives the same binary, wherever it lies; and it is static.
func TestBuildIsReproducibleAndStatic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, pattern := range []string{"go.mod", "go.sum", "*.go", "Makefile", "*/*.go", "sidekick/docker/*.go"} {
		files, err := filepath.Glob("../" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			to := filepath.Join(dir, strings.TrimPrefix(file, "../"))
			if strings.HasPrefix(file, "../e2e/") || strings.HasSuffix(file, "_test.go") {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	version, err := exec.Command("make", "-C", "..", "--no-print-directory", "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.Command("make", "-C", dir, "build")
	again.Env = append(os.Environ(), strings.Fields(string(version))...)
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		name := "dist/dockreg-linux-" + arch
		one, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("%s differs between two builds of the same source", name)
		}
		program, err := elf.NewFile(bytes.NewReader(one))
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
