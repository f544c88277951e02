package port

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// mostProcesses is how many are watched at the most. Low numbers come first:
	// those are the long-lived ones.
	mostProcesses = 256
	// mostFiles is how many of a process's files are looked at. A server opens its
	// listening socket before it has thousands of connections, so its number is low.
	mostFiles = 4096
	// mostOfAll is how many files are looked at in one scan: with the host's processes
	// (docker run --pid=host) there may be very many.
	mostOfAll = 1 << 16
	// perFile is about what a look at one costs. The clock would count others' work, too.
	perFile = 2 * time.Microsecond
	// whileUnknown is how much more of the time scans may take while nobody is known who
	// holds the sockets.
	whileUnknown = 10
)

// holders finds the processes that hold sockets.
type holders struct {
	proc string // usually /proc

	of              []Listener // what the latest scan was for
	holding, hidden []int      // what it found
	at              time.Time  // when it was
	cost            time.Duration
	from            int // the pid at which it had enough; 0: it came to the end, or found somebody
	looked          int // files, by all scans
}

// find returns the processes that hold one of the sockets, and those of which it can't be
// told: to read the links in another user's /proc/<pid>/fd takes CAP_SYS_PTRACE, which a
// container doesn't have by default.
//
// It scans all processes, unless that would take more than a hundredth of the time. Then
// those whom the latest scan found are looked at again, if it was for the same sockets.
func (h *holders) find(sockets []Listener) (holding, hidden []int) {
	links := make([]string, len(sockets))
	for i, s := range sockets {
		links[i] = fmt.Sprintf("socket:[%d]", s.Inode)
	}
	since := time.Since(h.at)
	if since >= lookShare*h.cost {
		h.scan(sockets, links)
		return h.holding, h.hidden
	}
	if slices.Equal(h.of, sockets) {
		holding, _, _ = h.look(h.holding, links)
		_, hidden, _ = h.look(h.hidden, links)
	}
	if holding == nil && since >= lookShare*h.cost/whileUnknown {
		h.scan(sockets, links)
		return h.holding, h.hidden
	}
	return holding, hidden
}

// scan looks at all processes, or goes on where the latest scan had enough.
func (h *holders) scan(sockets []Listener, links []string) {
	before := h.looked
	defer func() { h.cost = perFile * time.Duration(h.looked-before) }()
	h.at, h.of, h.holding, h.hidden = time.Now(), slices.Clone(sockets), nil, nil
	names, err := readNames(h.proc)
	if err != nil {
		return
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	next, _ := slices.BinarySearch(pids, h.from)
	pids = slices.Concat(pids[next:], pids[:next])
	var rest []int
	h.holding, h.hidden, rest = h.look(pids, links)
	if h.from = 0; h.holding == nil && len(rest) > 0 {
		h.from = rest[0]
	}
}

// look looks at processes, until it has had enough: the rest is those that it did not look
// at.
func (h *holders) look(pids []int, links []string) (holding, hidden, rest []int) {
	before := h.looked
	for i, pid := range pids {
		if h.looked-before >= mostOfAll {
			return holding, hidden, pids[i:]
		}
		switch ok, err := h.holds(pid, links); {
		case ok && len(holding) < mostProcesses:
			holding = append(holding, pid)
		case errors.Is(err, os.ErrPermission) && len(hidden) < mostProcesses:
			hidden = append(hidden, pid)
		}
	}
	return holding, hidden, nil
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	return d.Readdirnames(-1)
}

// holds says whether a process has one of the links among its files.
func (h *holders) holds(pid int, links []string) (bool, error) {
	d, err := os.Open(fmt.Sprintf("%s/%d/fd", h.proc, pid))
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
		h.looked += len(names)
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
