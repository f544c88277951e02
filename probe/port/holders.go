package port

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// mostProcesses is how many are watched at the most. Low numbers come first:
	// those are the long-lived ones.
	mostProcesses = 256
	// mostFiles is how many of a process's files are looked at. A server opens its
	// listening socket before it has thousands of connections, so its number is low.
	mostFiles = 4096
)

// holders returns the processes below proc, usually /proc, that hold one of the
// sockets, and those of which it can't be told: to read the links in another
// user's /proc/<pid>/fd takes CAP_SYS_PTRACE, which a container doesn't have by
// default.
func holders(proc string, sockets []Listener) (holding, hidden []int) {
	names, err := readNames(proc)
	if err != nil {
		return nil, nil
	}
	links := make([]string, len(sockets))
	for i, s := range sockets {
		links[i] = fmt.Sprintf("socket:[%d]", s.Inode)
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range pids {
		switch ok, err := holds(fmt.Sprintf("%s/%d/fd", proc, pid), links); {
		case ok && len(holding) < mostProcesses:
			holding = append(holding, pid)
		case errors.Is(err, os.ErrPermission) && len(hidden) < mostProcesses:
			hidden = append(hidden, pid)
		}
	}
	return holding, hidden
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	return d.Readdirnames(-1)
}

// holds says whether dir, a process's fd, has one of the links.
func holds(dir string, links []string) (bool, error) {
	d, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer func() { _ = d.Close() }()
	var link [64]byte
	for seen := 0; seen < mostFiles; {
		names, err := d.Readdirnames(256)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		for _, name := range names {
			n, err := unix.Readlinkat(int(d.Fd()), name, link[:])
			if errors.Is(err, os.ErrPermission) {
				return false, err
			}
			if err == nil && slices.Contains(links, string(link[:n])) {
				return true, nil
			}
		}
		seen += len(names)
	}
	return false, nil
}
