package e2e

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// archs are those that a release is made for here. The compiler has been at this machine's
// one, and takes a minute more for each other one.
var archs = either([]string{"amd64", "arm64"}, []string{runtime.GOARCH})

// released makes a release of a copy of the source, once, and returns its folder, which ends
// with the tests.
var released = sync.OnceValues(func() (folder string, err error) { return releaseIn(filepath.Join(commands, "source")) })

// The same source gives the same binaries, packages, archives, images and lists, wherever it
// lies; and the binaries are static.
func TestBuildIsReproducibleAndStatic(t *testing.T) {
	t.Parallel()
	one, err := released()
	if err != nil {
		t.Fatal(err)
	}
	other, err := releaseIn(filepath.Join(t.TempDir(), "somewhere", "else"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(one)
	// A list of sums and an image of all; and for each architecture a binary, an archive, two
	// packages, an image and a list of what is in it.
	if err != nil || len(files) < 2+6*len(archs) {
		t.Fatalf("a release has %v, %v", files, err)
	}
	for _, file := range files {
		a, err := os.ReadFile(filepath.Join(one, file.Name()))
		b, err2 := os.ReadFile(filepath.Join(other, file.Name()))
		if err = errors.Join(err, err2); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs between two builds of the same source (%v)", file.Name(), err)
		}
	}
	for _, arch := range archs {
		program, err := elf.Open(filepath.Join(one, "dockreg-linux-"+arch))
		if err != nil {
			t.Fatal(err)
		}
		for _, segment := range program.Progs {
			if segment.Type == elf.PT_INTERP {
				t.Errorf("the binary for %s is not static", arch)
			}
		}
		_ = program.Close()
	}
}

// sources are the files that a release is made of, beside those of Go.
var sources = []string{
	"go.mod", "go.sum", "*.go", "Makefile", "*/*.go", "*/*/*.go", "*/*/*/*.go", "web/page/*", "e2e/progress",
	"LICENSE", "README.md", "CHANGELOG.md", "host/*.service", "release/go.*", "release/scripts/*",
}

// releaseIn runs make release on a copy of the source in dir, and returns the folder of what
// it made. Without git the time and the version are what they are told to be.
func releaseIn(dir string) (made string, err error) {
	for _, pattern := range sources {
		files, err := filepath.Glob("../" + pattern)
		if err != nil || len(files) == 0 {
			return "", fmt.Errorf("%s: %v, %w", pattern, files, err)
		}
		for _, file := range files {
			if strings.HasPrefix(file, "../e2e/") && strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			to := filepath.Join(dir, strings.TrimPrefix(file, "../"))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return "", err
			}
			if err := os.WriteFile(to, content, 0o600); err != nil {
				return "", err
			}
		}
	}
	list := strings.Join(archs, " ")
	release := exec.Command("make", "-C", dir, "release", "VERSION=1.2.3", "COMMIT=abc", "RELEASE_ARCHS="+list)
	if out, err := release.CombinedOutput(); err != nil {
		return "", fmt.Errorf("release: %w\n%s", err, out)
	}
	return filepath.Join(dir, "dist"), nil
}
