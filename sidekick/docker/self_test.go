package docker

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
)

// The ids of the recorded /proc files.
const (
	ownID     = "ee2c4b4c587293acdeca40d78b19c7eadc5ce4638d4e440cb85d6c2d69608093"
	hostNetID = "397105e78eace5cb395edaf609cec9e039aba301da684f435e0a9d7eedccdaa0"
	// sidecarID was started with --network container:otherID.
	sidecarID = "bae19e101608cc77ee8c3ab5c42f7fc548e088cd423110b6e420631888278d94"
	otherID   = "d9049dec8c1e77b495046560ed11dd65b8660286a25292ebe0c6830dba53a5cd"
)

// procOf is what /proc holds in one recorded surrounding.
func procOf(t *testing.T, recorded string) fs.FS {
	t.Helper()
	dir := filepath.Join("testdata", "proc", recorded)
	// A misspelt name would read as a container without these files.
	if _, err := os.Stat(filepath.Join(dir, "self", "mountinfo")); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(dir)
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		proc     string
		hostname string
		want     []string
	}{
		"cgroup v1":                {"docker-cgroup1", "ee2c4b4c5872", []string{ownID, "ee2c4b4c5872"}},
		"cgroup v2":                {"docker-cgroup2", "ee2c4b4c5872", []string{ownID, "ee2c4b4c5872"}},
		"podman":                   {"podman", "ee2c4b4c5872", []string{ownID, "ee2c4b4c5872"}},
		"host networking":          {"host-network", "app-host", []string{hostNetID}},
		"hostname set by hand":     {"docker-cgroup2", "app-1", []string{ownID}},
		"hostname as of another":   {"docker-cgroup2", "0123456789ab", []string{ownID, "0123456789ab"}},
		"hostname a digit short":   {"docker-cgroup2", "ee2c4b4c587", []string{ownID}},
		"hostname a digit long":    {"docker-cgroup2", "ee2c4b4c58729", []string{ownID}},
		"hostname in upper case":   {"docker-cgroup2", "EE2C4B4C5872", []string{ownID}},
		"not in a container":       {"no-container", "app-host", nil},
		"broken and similar lines": {"odd", "app-1", nil},
		// The files mounted over /etc are not Docker's there, so that the id is in
		// the cgroup's path alone.
		"host's cgroup namespace": {"docker-cgroup2-of-the-host", "app-1", []string{ownID}},
		// The files are the other one's, and so are the published ports.
		"--network container:": {"container-network", "d9049dec8c1e", []string{otherID, sidecarID, "d9049dec8c1e"}},
		// The volume of the inner Docker has a name like an id, and the outer
		// container is in the cgroup's path: neither is this one.
		"Docker in Docker": {"docker-in-docker", "ee2c4b4c5872", []string{ownID, "ee2c4b4c5872"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := candidates(procOf(t, tt.proc), tt.hostname); !slices.Equal(got, tt.want) {
				t.Errorf("candidates\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// A container may hide files of its /proc, or have none.
func TestCandidatesWithoutFiles(t *testing.T) {
	t.Parallel()
	recorded := procOf(t, "docker-in-docker")
	cgroup, err := fs.ReadFile(recorded, "self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		proc     fs.FS
		hostname string
		want     []string
	}{
		"no /proc":                     {fstest.MapFS{}, "app-1", nil},
		"no /proc, but a short id":     {fstest.MapFS{}, "ee2c4b4c5872", []string{"ee2c4b4c5872"}},
		"no mountinfo":                 {fstest.MapFS{"self/cgroup": {Data: cgroup}}, "app-1", []string{ownID}},
		"empty files":                  {fstest.MapFS{"self/cgroup": {}, "self/mountinfo": {}}, "app-1", nil},
		"a folder instead of the file": {fstest.MapFS{"self/mountinfo/x": {}}, "app-1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := candidates(tt.proc, tt.hostname); !slices.Equal(got, tt.want) {
				t.Errorf("candidates\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}
