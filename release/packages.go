package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

const (
	maintainer  = "The dockreg authors <dockreg@localhost>"
	summary     = "Keeps an app's address in etcd while the app answers"
	description = summary + `
dockreg runs beside an app in its Docker container, and keeps the app's address
in etcd while the app answers, and only then. As the service dockreg-host it runs
once on each host, and tells containers about themselves.`
)

func (r *release) writeDeb(t target, all []file) (string, error) {
	info := r.info()
	info.Arch, info.Section, info.Priority = t.deb, "net", "optional"
	info.Suggests = []string{"docker.io | docker-ce"}
	name := r.named(t.arch, ".deb")
	return name, r.pack(name, "deb", deb.Default, info, all)
}

func (r *release) writeRPM(t target, all []file) (string, error) {
	info := r.info()
	info.Arch, info.RPM.Arch, info.Release = t.rpm, t.rpm, "1"
	info.RPM.Summary, info.RPM.Group, info.RPM.Packager = summary, "Unspecified", maintainer
	// Otherwise it is the name of the machine.
	info.RPM.BuildHost = "localhost"
	name := r.named(t.arch, ".rpm")
	return name, r.pack(name, "rpm", rpm.DefaultRPM, info, all)
}

// info is what the kinds of packages have in common. The program is static, and so
// depends on nothing.
func (r *release) info() *nfpm.Info {
	return &nfpm.Info{
		Name: "dockreg", Platform: "linux", Version: string(r.version), VersionSchema: "semver",
		Maintainer: maintainer, Description: description, License: "Apache-2.0", Homepage: r.url,
		MTime: r.time, DisableGlobbing: true,
	}
}

// pack writes a package of the files that are for its kind.
func (r *release) pack(name, kind string, packager nfpm.Packager, info *nfpm.Info, all []file) error {
	staged, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staged) }()
	for i, f := range all {
		if f.path == "" || f.only != "" && f.only != kind {
			continue
		}
		from := filepath.Join(staged, fmt.Sprint(i))
		if err := os.WriteFile(from, f.content, 0o600); err != nil {
			return err
		}
		content := &files.Content{Source: from, Destination: f.path, FileInfo: &files.ContentFileInfo{
			Owner: "root", Group: "root", Mode: f.permissions(), MTime: r.time,
		}}
		if f.config {
			content.Type = files.TypeConfigNoReplace
		}
		info.Contents = append(info.Contents, content)
	}
	script := func(step string) string { return filepath.Join(r.source, "release", "scripts", kind+"-"+step) }
	info.Scripts = nfpm.Scripts{PostInstall: script("postinstall"), PreRemove: script("preremove"), PostRemove: script("postremove")}
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, kind); err != nil {
		return err
	}
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := packager.Package(info, out); err != nil {
		_ = out.Close()
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return out.Close()
}
