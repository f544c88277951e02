package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// writeSBOM writes what a binary is made of, as the binary itself tells it
// (https://cyclonedx.org).
func (r *release) writeSBOM(t target, files []file, modules []module) (string, error) {
	name := r.named(t.arch, ".cdx.json")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	args := []string{"bin", "-json", "-std", "-notimestamp", "-noserial", "-version", string(r.version), "-output", name, r.binary(t.arch)}
	cmd := exec.CommandContext(ctx, r.sbom, args...) //nolint:gosec // make release says which command
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cyclonedx-gomod: %w\n%s", err, out)
	}
	return name, r.completeSBOM(name, sha256.Sum256(files[0].content), modules)
}

// completeSBOM adds what the tool does not know: the release's time, a number that follows
// from the binary, the licences. It takes away what tells of the machine: the tool's own sums.
func (r *release) completeSBOM(path string, sum [sha256.Size]byte, modules []module) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(in, cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceOID, sum[:]).URN()
	bom.Metadata.Timestamp = r.time.Format(time.RFC3339)
	for i := range *bom.Metadata.Tools.Tools {
		(*bom.Metadata.Tools.Tools)[i].Hashes = nil
	}
	bom.Metadata.Component.Licenses = licensesOf([]string{"Apache-2.0"})
	for i := range *bom.Components {
		c := &(*bom.Components)[i]
		n := slices.IndexFunc(modules, func(m module) bool { return m.name == c.Name })
		if n < 0 {
			return fmt.Errorf("%s: %s is in the binary, and its licence is not known", path, c.Name)
		}
		c.Licenses = licensesOf(modules[n].kinds)
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := cyclonedx.NewBOMEncoder(out, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(&bom); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

func licensesOf(kinds []string) *cyclonedx.Licenses {
	var all cyclonedx.Licenses
	for _, kind := range kinds {
		all = append(all, cyclonedx.LicenseChoice{License: &cyclonedx.License{ID: kind}})
	}
	return &all
}
