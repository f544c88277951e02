package docker

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

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
// whose published ports are the right ones then. The last one, by hostname, is 12
// digits that anybody could have set by hand.
func candidates(proc fs.FS, hostname string) []string {
	var found []string
	add := func(id string) {
		if !slices.Contains(found, id) {
			found = append(found, id)
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
				add(m[1])
			}
		}
	}

	// cgroups(7): with v1, or with v2 in the host's cgroup namespace, the path's
	// last id is the innermost container's. In its own namespace v2 says 0::/ alone.
	cgroup, _ := fs.ReadFile(proc, "self/cgroup")
	for line := range strings.Lines(string(cgroup)) {
		if ids := hexID.FindAllString(line, -1); ids != nil {
			add(ids[len(ids)-1])
		}
	}

	if shortID.MatchString(hostname) {
		add(hostname)
	}
	return found
}
