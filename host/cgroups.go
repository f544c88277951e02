package host

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// cgroups are the paths of the groups that a process is in, by hierarchy: the one of
// cgroup v2, or those of v1.
type cgroups map[string]string

// errHidden says that this process sees the groups of others from within a cgroup
// namespace of its own.
var errHidden = errors.New("the cgroups of processes are not to be seen from here; run the service in the host's cgroup namespace: --cgroupns=host")

// cgroupsOf reads what groups the process with that number is in.
func cgroupsOf(pid int) (cgroups, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	return parseCgroups(string(text))
}

// parseCgroups reads a file as cgroups(7) describes it: lines of
// hierarchy:controllers:path. Where there are hierarchies of v1, the one of v2, which
// has the number 0, is not what containers are kept in.
func parseCgroups(text string) (cgroups, error) {
	v1, v2 := cgroups{}, cgroups{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 || !strings.HasPrefix(fields[2], "/") {
			return nil, fmt.Errorf("not a line of cgroups: %.100q", line)
		}
		if fields[2] == "/.." || strings.HasPrefix(fields[2], "/../") {
			return nil, errHidden
		}
		if fields[0] == "0" && fields[1] == "" {
			v2[""] = fields[2]
		} else {
			v1[fields[1]] = fields[2]
		}
	}
	if len(v1) > 0 {
		return v1, nil
	}
	if len(v2) == 0 {
		return nil, errors.New("in no cgroup")
	}
	return v2, nil
}

// contain says whether a process in others is in these, or further in, in each
// hierarchy. The root of a hierarchy contains everything, and so it says nothing: a
// container need not be kept in each.
func (c cgroups) contain(others cgroups) bool {
	told := false
	for hierarchy, path := range c {
		if path == "/" {
			continue
		}
		if other := others[hierarchy]; other != path && !strings.HasPrefix(other, path+"/") {
			return false
		}
		told = true
	}
	return told
}

// String is the longest of the paths, which says most.
func (c cgroups) String() (longest string) {
	for _, path := range c {
		if len(path) > len(longest) || len(path) == len(longest) && path > longest {
			longest = path
		}
	}
	return longest
}
