package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// folder is where the service's socket is, as the kernel knows it, whatever it is called
// in this or in another mount namespace (proc(5), /proc/pid/mountinfo).
type folder struct {
	device string // major:minor
	path   string // within what is on the device
}

// mount is a line of mountinfo.
type mount struct {
	folder        // what is mounted
	on     string // its mount point
	write  bool
}

func mountsOf(pid string) (mounts []mount, err error) {
	text, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(text)) {
		// 36 35 98:0 /root/of/mount /mount/point rw,noatime …
		fields := strings.Fields(line)
		if len(fields) < 6 {
			return nil, fmt.Errorf("not a mount: %.100q", line)
		}
		mounts = append(mounts, mount{
			folder: folder{fields[2], unescape.Replace(fields[3])},
			on:     unescape.Replace(fields[4]),
			write:  fields[5] == "rw" || strings.HasPrefix(fields[5], "rw,"),
		})
	}
	return mounts, nil
}

// folderOf finds a folder of this process's mount namespace.
func folderOf(path string) (folder, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return folder{}, err
	}
	mounts, err := mountsOf("self")
	if err != nil {
		return folder{}, err
	}
	var in *mount
	for i, m := range mounts { // a later one covers an earlier one
		if under(path, m.on) && (in == nil || len(m.on) >= len(in.on)) {
			in = &mounts[i]
		}
	}
	if in == nil {
		return folder{}, errors.New("no mount holds it")
	}
	return folder{in.device, filepath.Join(in.path, strings.TrimPrefix(path, in.on))}, nil
}

// writable says whether one of these mounts lets its user put another file into the
// folder, or another folder in its place.
func (f folder) writable(mounts []mount) bool {
	for _, m := range mounts {
		if m.write && m.device == f.device && under(f.path, m.path) {
			return true
		}
	}
	return false
}

// under says whether a path is a folder's, or the folder itself.
func under(path, folder string) bool {
	return strings.HasPrefix(path+"/", strings.TrimSuffix(folder, "/")+"/")
}
