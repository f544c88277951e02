package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// texts are what all architectures have in common.
type texts struct {
	man, env, unit, license, readme, changelog []byte
	completion                                 map[string][]byte // by shell
	docs                                       map[string][]byte // by name
}

// file is one of a package or an archive.
type file struct {
	path    string // from the root of a machine
	archive string // in an archive
	mode    fs.FileMode
	content []byte
	config  bool   // an upgrade leaves it as somebody has changed it
	only    string // the kind of package that it is in alone
}

// texts reads and makes them.
func (r *release) texts() (texts, error) {
	binary := r.binary(runtime.GOARCH)
	commands, err := readCommands(binary)
	if err != nil {
		return texts{}, err
	}
	t := texts{man: manPage(commands, r.version, r.time), completion: map[string][]byte{}, docs: map[string][]byte{}}
	if t.env, err = environment(commands); err != nil {
		return texts{}, err
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script, err := output(binary, "completion", shell)
		if err != nil {
			return texts{}, err
		}
		t.completion[shell] = []byte(script)
	}
	for name, to := range map[string]*[]byte{
		"LICENSE": &t.license, "README.md": &t.readme, "CHANGELOG.md": &t.changelog, "host/dockreg-host.service": &t.unit,
	} {
		if *to, err = os.ReadFile(filepath.Join(r.source, name)); err != nil {
			return texts{}, err
		}
	}
	pages, err := filepath.Glob(filepath.Join(r.source, "docs", "*"))
	if err != nil {
		return texts{}, err
	}
	for _, path := range pages {
		if t.docs[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			return texts{}, err
		}
	}
	return t, nil
}

// filesFor are those of an architecture, the binary first.
func (r *release) filesFor(t target, common texts, modules []module) ([]file, error) {
	binary, err := os.ReadFile(r.binary(t.arch))
	if err != nil {
		return nil, fmt.Errorf("%w; make build comes first", err)
	}
	man, err := compressed(common.man)
	if err != nil {
		return nil, err
	}
	changelog, err := compressed(common.changelog)
	if err != nil {
		return nil, err
	}
	files := []file{
		{path: "/usr/bin/dockreg", archive: "dockreg", mode: 0o755, content: binary},
		{path: "/usr/lib/systemd/system/dockreg-host.service", archive: "dockreg-host.service", content: common.unit},
		// It may come to hold a password.
		{path: "/etc/default/dockreg-host", archive: "dockreg-host.env", mode: 0o600, content: common.env, config: true},
		{path: "/usr/share/man/man1/dockreg.1.gz", content: man},
		{archive: "dockreg.1", content: common.man},
		{path: "/usr/share/bash-completion/completions/dockreg", archive: "completions/dockreg.bash", content: common.completion["bash"]},
		{path: "/usr/share/zsh/vendor-completions/_dockreg", content: common.completion["zsh"], only: "deb"},
		{path: "/usr/share/zsh/site-functions/_dockreg", archive: "completions/_dockreg", content: common.completion["zsh"], only: "rpm"},
		{path: "/usr/share/fish/vendor_completions.d/dockreg.fish", archive: "completions/dockreg.fish", content: common.completion["fish"]},
		{path: "/usr/share/doc/dockreg/README.md", archive: "README.md", content: common.readme},
		{path: "/usr/share/doc/dockreg/changelog.gz", content: changelog},
		{archive: "CHANGELOG.md", content: common.changelog},
		{path: "/usr/share/doc/dockreg/copyright", content: []byte(debianCopyright), only: "deb"},
		{path: "/usr/share/licenses/dockreg/LICENSE", archive: "LICENSE", content: common.license, only: "rpm"},
		{path: "/usr/share/doc/dockreg/THIRD_PARTY_LICENSES", archive: "THIRD_PARTY_LICENSES", content: thirdParties(modules)},
	}
	for _, name := range slices.Sorted(maps.Keys(common.docs)) { // to which README.md leads
		files = append(files, file{path: "/usr/share/doc/dockreg/docs/" + name, archive: "docs/" + name, content: common.docs[name]})
	}
	return files, nil
}

const debianCopyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: dockreg

Files: *
Copyright: 2026 The dockreg authors
License: Apache-2.0
 On Debian systems, the full text of the Apache License, Version 2.0, is in
 /usr/share/common-licenses/Apache-2.0. THIRD_PARTY_LICENSES in this folder has the
 licenses of what the program contains.
`

// environment makes the file of the service's settings, all of them with a # in front: a
// machine where nobody has set anything has the defaults.
func environment(commands []command) ([]byte, error) {
	var out strings.Builder
	out.WriteString("# Settings of dockreg's service of a host, dockreg-host.service: the flags of \"dockreg host\",\n" +
		"# see dockreg(1). After a change: systemctl restart dockreg-host\n")
	for _, c := range commands {
		if c.name != "host" {
			continue
		}
		for _, o := range c.flags() {
			value := o.fallback
			if value == "" {
				value = o.value
			}
			fmt.Fprintf(&out, "\n# %s\n#%s=%s\n", o.text, o.env(), value)
		}
		return []byte(out.String()), nil
	}
	return nil, fmt.Errorf("help: there is no command host, whose settings are to be in %s", "/etc/default/dockreg-host")
}

// compressed returns content as gzip has it, without a time and a name.
func compressed(content []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// permissions are those of most files.
func (f file) permissions() fs.FileMode {
	if f.mode == 0 {
		return 0o644
	}
	return f.mode
}
