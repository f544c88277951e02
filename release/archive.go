package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"time"
)

// writeArchive writes what needs no package manager. All is in a folder of its own.
func (r *release) writeArchive(t target, files []file) (string, error) {
	folder := fmt.Sprintf("dockreg_%s_linux_%s/", r.version, t.arch)
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, f := range files {
		if f.archive == "" {
			continue
		}
		if err := addToTar(w, folder+f.archive, f.permissions().Perm()|0o044, r.time, f.content); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	packed, err := compressed(content.Bytes())
	if err != nil {
		return "", err
	}
	name := r.named(t.arch, ".tar.gz")
	return name, os.WriteFile(name, packed, 0o644) //nolint:gosec // for everybody
}

// addToTar adds a file that is root's, whoever runs this.
func addToTar(w *tar.Writer, name string, mode os.FileMode, at time.Time, content []byte) error {
	err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: int64(len(content)), ModTime: at, Uname: "root", Gname: "root",
		Format: tar.FormatPAX,
	})
	if err == nil {
		_, err = w.Write(content)
	}
	return err
}
