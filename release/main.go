// Release makes of dockreg's binaries what people install: archives, Debian and RPM
// packages and images, with their licences, bills of materials and checksums. From the same
// source it makes the same bytes. See the Makefile's target of that name.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal("release: ", err)
	}
}

// release is what all files of one release have in common.
type release struct {
	source  string // the project's folder
	built   string // the folder of the binaries
	out     string // the folder of what is made
	version version
	commit  string
	url     string    // the project's page; "" if it is not known
	time    time.Time // of all that has one
	sbom    string    // the command cyclonedx-gomod

	images map[string]v1.Image // by architecture, once they are made
}

func run(args []string) error {
	r := &release{images: map[string]v1.Image{}}
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&r.source, "source", ".", "the project's `folder`")
	flags.StringVar(&r.built, "built", "dist", "the `folder` of the binaries that make build made")
	flags.StringVar(&r.out, "o", "dist", "the `folder` for the release")
	flags.StringVar(&r.commit, "commit", "unknown", "the source's commit")
	flags.StringVar(&r.url, "url", "", "the project's page")
	flags.StringVar(&r.sbom, "sbom", "cyclonedx-gomod", "the `command` cyclonedx-gomod")
	describe := flags.String("version", "", "the version, as git describe has it")
	archs := flags.String("archs", "amd64", "what to make it for: amd64, arm64, armv7, riscv64")
	readme := flags.String("readme", "", "write the table of flags into this `file`, and do nothing else")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *readme != "" {
		return writeReadme(*readme, r.binary(runtime.GOARCH))
	}
	var err error
	if r.version, err = parseVersion(*describe); err != nil {
		return err
	}
	if r.time, err = sourceDate(os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return err
	}
	if r.sbom, err = exec.LookPath(r.sbom); err != nil {
		return fmt.Errorf("-sbom: %w; make release builds it", err)
	}
	return r.make(strings.Fields(*archs))
}

// sourceDate reads https://reproducible-builds.org/specs/source-date-epoch/.
func sourceDate(seconds string) (time.Time, error) {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: not a number of seconds; give the commit's, as git log -1 --format=%%ct shows it", seconds)
	}
	return time.Unix(n, 0).UTC(), nil
}

// binary is the one for an architecture.
func (r *release) binary(arch string) string { return filepath.Join(r.built, "dockreg-linux-"+arch) }

// named is the path of a file of the release that is for one architecture.
func (r *release) named(arch, ending string) string {
	return filepath.Join(r.out, fmt.Sprintf("dockreg_%s_linux_%s%s", r.version, arch, ending))
}

// make makes the release, in place of an earlier one.
func (r *release) make(archs []string) error {
	targets, err := targetsOf(archs)
	if err != nil {
		return err
	}
	if err := removeEarlier(r.out); err != nil {
		return err
	}
	common, err := r.texts()
	if err != nil {
		return err
	}
	var made []string
	for _, t := range targets {
		modules, err := r.modulesOf(r.binary(t.arch))
		if err != nil {
			return err
		}
		files, err := r.filesFor(t, common, modules)
		if err != nil {
			return err
		}
		bom := func(t target, files []file) (string, error) { return r.writeSBOM(t, files, modules) }
		for _, write := range []func(target, []file) (string, error){r.writeArchive, r.writeDeb, r.writeRPM, r.writeImage, bom} {
			name, err := write(t, files)
			if err != nil {
				return fmt.Errorf("%s: %w", t.arch, err)
			}
			made = append(made, name)
		}
	}
	index, err := r.writeIndex(targets)
	if err != nil {
		return err
	}
	return writeSums(r.out, append(made, index))
}

// target is an architecture, in the words of those who have words for it.
type target struct {
	arch            string // as in the names of files
	deb, rpm        string
	goarch, variant string // as in images
}

var allTargets = []target{
	{"amd64", "amd64", "x86_64", "amd64", ""},
	{"arm64", "arm64", "aarch64", "arm64", "v8"},
	{"armv7", "armhf", "armv7hl", "arm", "v7"},
	{"riscv64", "riscv64", "riscv64", "riscv64", ""},
}

func targetsOf(archs []string) (targets []target, err error) {
	for _, arch := range archs {
		found := false
		for _, t := range allTargets {
			if t.arch == arch {
				targets, found = append(targets, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-archs %q: not one that there are packages for; give some of amd64, arm64, armv7 and riscv64", arch)
		}
	}
	if targets == nil {
		return nil, errors.New("-archs: none is given")
	}
	return targets, nil
}
