package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var someTime = time.Unix(1e9, 0).UTC()

// releasing is a release into a folder of its own, from the project's sources.
func releasing(t *testing.T) *release {
	t.Helper()
	return &release{source: "..", out: t.TempDir(), version: "1.2.3-rc.1+4.gabc", commit: "abc", time: someTime, images: map[string]v1.Image{}}
}

func program(arch string) []file {
	return []file{
		{path: "/usr/bin/dockreg", archive: "dockreg", mode: 0o755, content: []byte("program for " + arch)},
		{path: "/etc/default/dockreg-host", archive: "dockreg-host.env", mode: 0o600, content: []byte("#"), config: true},
		{path: "/only/in/packages", content: []byte("x")},
	}
}

// The same twice, whenever it is made.
func TestFilesAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	one, other := releasing(t), releasing(t)
	for _, target := range allTargets {
		for i, write := range []func(*release) (string, error){
			func(r *release) (string, error) { return r.writeArchive(target, program(target.arch)) },
			func(r *release) (string, error) { return r.writeDeb(target, program(target.arch)) },
			func(r *release) (string, error) { return r.writeRPM(target, program(target.arch)) },
			func(r *release) (string, error) { return r.writeImage(target, program(target.arch)) },
		} {
			if a, b := contentOf(t)(write(one)), contentOf(t)(write(other)); !bytes.Equal(a, b) {
				t.Errorf("%s: file %d differs", target.arch, i)
			}
		}
	}
	if a, b := contentOf(t)(one.writeIndex(allTargets)), contentOf(t)(other.writeIndex(allTargets)); !bytes.Equal(a, b) {
		t.Error("the index differs")
	}
}

func contentOf(t *testing.T) func(string, error) []byte {
	return func(path string, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
}

func TestArchiveHasItsFiles(t *testing.T) {
	t.Parallel()
	r := releasing(t)
	packed, err := gzip.NewReader(bytes.NewReader(contentOf(t)(r.writeArchive(allTargets[0], program("amd64")))))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for in := tar.NewReader(packed); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %o %s %d", h.Name, h.Mode, h.Uname, h.ModTime.Unix()))
	}
	const folder = "dockreg_1.2.3-rc.1+4.gabc_linux_amd64/"
	want := []string{folder + "dockreg 755 root 1000000000", folder + "dockreg-host.env 644 root 1000000000"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it has %q, want %q", got, want)
	}
}

func TestImagesAreValid(t *testing.T) {
	t.Parallel()
	r := releasing(t)
	for _, target := range allTargets {
		path, err := r.writeImage(target, program(target.arch))
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Errorf("%s: %v", target.arch, err)
		}
		config, err := img.ConfigFile()
		if err != nil || config.Architecture != target.goarch || config.Variant != target.variant || config.Config.Labels["org.opencontainers.image.revision"] != "abc" {
			t.Errorf("%s: %+v, %v", target.arch, config, err)
		}
	}
	path, err := r.writeIndex(allTargets)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for in := tar.NewReader(bytes.NewReader(contentOf(t)(path, nil))); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		content, err2 := io.ReadAll(in)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		to := filepath.Join(folder, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	top, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Error(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3-rc.1-4.gabc" {
		t.Fatalf("%+v, %v", manifest, err)
	}
	inner, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	all, err := inner.IndexManifest()
	if err != nil || len(all.Manifests) != len(allTargets) || all.Manifests[2].Platform.String() != "linux/arm/v7" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestSumsNameTheFilesOfTheLatestRelease(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	made := filepath.Join(folder, "dockreg_1_x")
	kept := filepath.Join(folder, "dockreg-linux-amd64")
	for _, path := range []string{made, kept} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeSums(folder, []string{made}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%x  dockreg_1_x\n", sha256.Sum256([]byte("x")))
	if got := contentOf(t)(filepath.Join(folder, sumsFile), nil); string(got) != want {
		t.Errorf("the sums are %q, want %q", got, want)
	}
	if err := removeEarlier(folder); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(kept) {
		t.Errorf("left are %v, %v", entries, err)
	}
	// Nothing that it did not make is removed.
	for _, line := range []string{"0  ../dockreg_x\n", "0  dockreg-linux-amd64\n"} {
		if err := os.WriteFile(filepath.Join(folder, sumsFile), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := removeEarlier(folder); err == nil {
			t.Errorf("%q is removed", line)
		}
	}
}
