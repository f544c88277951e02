package docker

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// candidate is an id that may be the own container's.
type candidate struct {
	id string
	// byName says that id is what the container calls itself, which anybody could
	// have set by hand: it counts only if Docker's answer bears it out.
	byName bool
}

var (
	hexID = regexp.MustCompile(`[0-9a-f]{64}`)
	// Docker mounts these three files into every container, from a folder of the
	// container's own; podman from its userdata folder.
	mountRoot = regexp.MustCompile(`/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)$`)
	shortID   = regexp.MustCompile(`^[0-9a-f]{12}$`)
)

// candidates reads the own container's possible ids, likeliest first, from the
// files of /proc given as proc, and from hostname. In a container started with
// --network container:X the mounted files, and so the first candidate, are X's,
// whose published ports are the right ones then.
func candidates(proc fs.FS, hostname string) []candidate {
	var found []candidate
	add := func(id string, byName bool) {
		if !slices.ContainsFunc(found, func(c candidate) bool { return c.id == id }) {
			found = append(found, candidate{id, byName})
		}
	}

	// proc(5): 36 35 98:0 /root/of/mount /mount/point options … A file that is not
	// there offers nothing.
	mountinfo, _ := fs.ReadFile(proc, "self/mountinfo")
	for line := range strings.Lines(string(mountinfo)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		switch fields[4] {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
			if m := mountRoot.FindStringSubmatch(fields[3]); m != nil {
				add(m[1], false)
			}
		}
	}

	// cgroups(7): with v1, or with v2 in the host's cgroup namespace, the path's
	// last id is the innermost container's. In its own namespace v2 says 0::/ alone.
	cgroup, _ := fs.ReadFile(proc, "self/cgroup")
	for line := range strings.Lines(string(cgroup)) {
		if ids := hexID.FindAllString(line, -1); ids != nil {
			add(ids[len(ids)-1], false)
		}
	}

	if shortID.MatchString(hostname) {
		add(hostname, true)
	}
	return found
}
