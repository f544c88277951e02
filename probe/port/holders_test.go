package port

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// Where there are very many processes with very many files, as with the host's, a scan
// ends, and is not made again before a hundred times as long. Until then what it found is
// looked at again, and who has ended is left out.
func TestHoldersAmongVeryMany(t *testing.T) {
	t.Parallel()
	proc, files := t.TempDir(), t.TempDir()
	for n := range mostFiles {
		if err := os.Symlink("/dev/null", filepath.Join(files, strconv.Itoa(n))); err != nil {
			t.Fatal(err)
		}
	}
	folder := func(pid int) string { return filepath.Join(proc, strconv.Itoa(pid)) }
	process := func(pid int, fd string) {
		if err := os.Mkdir(folder(pid), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(fd, filepath.Join(folder(pid), "fd")); err != nil {
			t.Fatal(err)
		}
	}
	process(10, filesWith(t, "socket:[12]"))
	process(11, filesWith(t, "socket:[12]"))
	for pid := range 100 { // 400,000 files
		process(1000+pid, files)
	}
	h := &holders{proc: proc}
	want := func(sockets []Listener, pids ...int) {
		t.Helper()
		if holding, hidden := h.find(sockets); !slices.Equal(holding, pids) || hidden != nil {
			t.Errorf("%v are held by %v, and hidden are %v; want %v", sockets, holding, hidden, pids)
		}
	}
	sockets := []Listener{{Inode: 12}}
	want(sockets, 10, 11)
	if most := mostOfAll + mostFiles; h.looked > most {
		t.Errorf("%d files were looked at, want %d at the most", h.looked, most)
	}
	h.cost = time.Hour // however slow this machine is
	for n := range 5 {
		before := h.looked
		want(sockets, 10, 11)
		if looked := h.looked - before; looked != 2 {
			t.Errorf("look %d was at %d files, want those of the two that held the socket", n, looked)
		}
	}
	if err := os.RemoveAll(folder(10)); err != nil {
		t.Fatal(err)
	}
	want(sockets, 11)
	before := h.looked
	want([]Listener{{Inode: 13}}) // nobody is known to hold another one
	if h.looked != before {
		t.Error(fmt.Sprint(h.looked-before) + " files were looked at")
	}
	h.at = h.at.Add(-lookShare * h.cost / whileUnknown)
	want([]Listener{{Inode: 12}}, 11) // nobody is known, which makes haste

	// One that comes behind all those is found by the scans after, which go on.
	process(2000, filesWith(t, "socket:[14]"))
	for scans := 0; ; scans++ {
		h.cost = 0
		if holding, _ := h.find([]Listener{{Inode: 14}}); slices.Equal(holding, []int{2000}) {
			break
		}
		if scans == 10 {
			t.Fatal("a high pid is never found")
		}
	}
}

// filesWith are the files of a process that has this one.
func filesWith(t *testing.T, link string) string {
	dir := t.TempDir()
	if err := os.Symlink(link, filepath.Join(dir, "3")); err != nil {
		t.Fatal(err)
	}
	return dir
}
