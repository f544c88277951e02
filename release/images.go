package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image has the binary at /dockreg, to be copied from; and an empty /tmp, which a dockreg that runs
// in it as another user than root has its status socket in.
func (r *release) image(t target, binary []byte) (v1.Image, error) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	tmp := &tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, ModTime: r.time, Uname: "root", Gname: "root", Format: tar.FormatPAX}
	if err := errors.Join(addToTar(w, "dockreg", 0o755, r.time, binary), w.WriteHeader(tmp), w.Close()); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: r.time}, CreatedBy: "COPY dockreg /dockreg",
	}})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, r.imageConfig(t, img))
}

func (r *release) imageConfig(t target, img v1.Image) *v1.ConfigFile {
	config, err := img.ConfigFile()
	if err != nil {
		panic(err) // it was made a line before
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant, config.Created = "linux", t.goarch, t.variant, v1.Time{Time: r.time}
	// With that PATH an entrypoint "dockreg" is found here as in other images.
	config.Config = v1.Config{Entrypoint: []string{"/dockreg"}, Env: []string{"PATH=/"}, WorkingDir: "/", Labels: r.labels()}
	return config
}

// labels are those of
// https://github.com/opencontainers/image-spec/blob/main/annotations.md.
func (r *release) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	labels := map[string]string{
		prefix + "title": "dockreg", prefix + "description": summary, prefix + "licenses": "Apache-2.0",
		prefix + "version": string(r.version), prefix + "revision": r.commit, prefix + "created": r.time.Format(time.RFC3339),
	}
	if r.url != "" {
		labels[prefix+"url"], labels[prefix+"source"] = r.url, r.url
	}
	return labels
}

// writeImage writes what docker load takes.
func (r *release) writeImage(t target, files []file) (string, error) {
	img, err := r.image(t, files[0].content)
	if err != nil {
		return "", err
	}
	r.images[t.arch] = img
	tag, err := name.NewTag("dockreg:" + r.version.tag())
	if err != nil {
		return "", err
	}
	path := r.named(t.arch, "_image.tar")
	return path, tarball.WriteToFile(path, tag, img)
}

// writeIndex writes the images of all architectures as one, an OCI layout in an archive, for
// what puts it into a registry.
func (r *release) writeIndex(targets []target) (string, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, t := range targets {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: r.images[t.arch], Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: t.goarch, Variant: t.variant},
		}})
	}
	annotated, ok := mutate.Annotations(index, r.labels()).(v1.ImageIndex)
	if !ok {
		return "", fmt.Errorf("an index with annotations is none: %T", index)
	}
	folder, err := os.MkdirTemp("", "release")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	layoutPath, err := layout.Write(folder, empty.Index)
	if err != nil {
		return "", err
	}
	err = layoutPath.AppendIndex(annotated, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version.tag()}))
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.out, fmt.Sprintf("dockreg_%s_image.oci.tar", r.version))
	return path, r.writeFolder(path, folder)
}

// writeFolder writes a folder's files into an archive, in the order of their names.
func (r *release) writeFolder(path, folder string) error {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	files := os.DirFS(folder)
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return addToTar(w, path, 0o644, r.time, text)
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, content.Bytes(), 0o644) //nolint:gosec // for everybody
}
