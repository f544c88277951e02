package host

import (
	"os"
	"path/filepath"
	"testing"
)

// A folder is the same one by whatever name it is reached.
func TestFolderOf(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	direct, err := folderOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if by, err := folderOf(link); err != nil || by != direct || direct.device == "" || filepath.Base(direct.path) != filepath.Base(dir) {
		t.Errorf("%+v and by a link %+v, %v", direct, by, err)
	}
	if _, err := folderOf(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there")
	}
}

// P11: who may write to the folder, or to one that it is in, by whatever name that is
// mounted, could put another socket there.
func TestP11Writable(t *testing.T) {
	t.Parallel()
	f := folder{"0:25", "/dockreg"}
	for name, test := range map[string]struct {
		mount mount
		want  bool
	}{
		"itself":              {mount{folder{"0:25", "/dockreg"}, "/run/dockreg", true}, true},
		"by another name":     {mount{folder{"0:25", "/dockreg"}, "/somewhere", true}, true},
		"read-only":           {mount{folder{"0:25", "/dockreg"}, "/run/dockreg", false}, false},
		"what it is in":       {mount{folder{"0:25", "/"}, "/host/run", true}, true},
		"one in it":           {mount{folder{"0:25", "/dockreg/more"}, "/x", true}, false},
		"one named like it":   {mount{folder{"0:25", "/dock"}, "/x", true}, false},
		"on another device":   {mount{folder{"0:26", "/dockreg"}, "/run/dockreg", true}, false},
		"the container's own": {mount{folder{"0:99", "/"}, "/", true}, false},
	} {
		if got := f.writable([]mount{{folder{"0:77", "/"}, "/proc", true}, test.mount}); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
