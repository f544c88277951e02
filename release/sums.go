package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sumsFile is what sha256sum -c reads. It names all files of the release.
const sumsFile = "SHA256SUMS"

func writeSums(folder string, made []string) error {
	slices.Sort(made)
	var out strings.Builder
	for _, path := range made {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(content), filepath.Base(path))
	}
	return os.WriteFile(filepath.Join(folder, sumsFile), []byte(out.String()), 0o644) //nolint:gosec // for everybody
}

// removeEarlier removes the files of an earlier release, which may have other names, and
// leaves whatever else is in the folder.
func removeEarlier(folder string) error {
	path := filepath.Join(folder, sumsFile)
	sums, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return os.MkdirAll(folder, 0o755) //nolint:gosec // for everybody
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(sums)) {
		_, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if name != filepath.Base(name) || !strings.HasPrefix(name, "dockreg_") {
			return fmt.Errorf("%s: %q is no file of a release; remove the folder by hand", path, name)
		}
		if err := os.Remove(filepath.Join(folder, name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return os.Remove(path)
}
