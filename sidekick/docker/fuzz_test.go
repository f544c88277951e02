package docker

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"

	"dockreg/sidekick/docker/engine"
)

// recordings are the contents of recorded files.
func recordings(f *testing.F, pattern string) (contents []string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		f.Fatalf("%s: %v, %v", pattern, files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		contents = append(contents, string(content))
	}
	return contents
}

// FuzzCandidates: whatever is in the files, a candidate is an id that stands there or
// the short id that the hostname is, once, and the own container's line comes first.
func FuzzCandidates(f *testing.F) {
	cgroups := recordings(f, "proc/*/self/cgroup")
	for i, mountinfo := range recordings(f, "proc/*/self/mountinfo") {
		f.Add(mountinfo, cgroups[i], "ee2c4b4c5872")
	}
	f.Add("", "", "app-1")
	f.Add("1 2 3:4 /"+otherID+"/hosts /etc/hosts", otherID+otherID, sidecarID)
	f.Fuzz(func(t *testing.T, mountinfo, cgroup, hostname string) {
		t.Parallel()
		found := candidates(fstest.MapFS{"self/mountinfo": {Data: []byte(mountinfo)}, "self/cgroup": {Data: []byte(cgroup)}}, hostname)
		for i, id := range found {
			byFile := len(id) == 64 && strings.Contains(mountinfo+"\n"+cgroup, id)
			byName := len(id) == 12 && id == hostname && i == len(found)-1
			if !byFile && !byName || strings.Trim(id, "0123456789abcdef") != "" || slices.Index(found, id) != i {
				t.Errorf("candidate %q of %q", id, found)
			}
		}
		own := "36 35 98:0 /var/lib/docker/containers/" + ownID + "/hostname /etc/hostname rw\n"
		found = candidates(fstest.MapFS{"self/mountinfo": {Data: []byte(own + mountinfo)}, "self/cgroup": {Data: []byte(cgroup)}}, hostname)
		if len(found) == 0 || found[0] != ownID {
			t.Errorf("candidates %q, want the own one first", found)
		}
	})
}

// FuzzAnswer: the address is one that the answer says the port is published at, and
// that others can dial, or there is none.
func FuzzAnswer(f *testing.F) {
	for _, answer := range recordings(f, "inspect/*.json") {
		for _, ip := range []string{"", "10.1.0.101", "2001:db8::1"} {
			f.Add(answer, uint16(8000), ip)
		}
		for _, odd := range []string{"::ffff:127.0.0.1", "::ffff:0.0.0.0", "fe80::1%eth0", "::"} {
			f.Add(strings.ReplaceAll(answer, "127.0.0.1", odd), uint16(8000), "")
		}
	}
	for _, part := range []string{``, `, "Config": {}`, `, "Config": {}, "NetworkSettings": {}`} {
		f.Add(`{"HostConfig": {"PublishAllPorts": true}`+part+`}`, uint16(0), "")
	}
	f.Fuzz(func(t *testing.T, answer string, port uint16, ip string) {
		t.Parallel()
		var c container.InspectResponse
		given, err := netip.ParseAddr(ip)
		if ip != "" && (err != nil || given.IsUnspecified() || given.Is4In6() || given.Zone() != "") ||
			json.Unmarshal([]byte(answer), &c) != nil {
			t.Skip() // --ip takes none of these
		}
		asked := ""
		if c.ContainerJSONBase != nil {
			asked = c.ID
		}
		if engine.Usable(c, asked) != nil {
			return
		}
		at, _, err := address(c, int(port), given)
		if err != nil {
			if at.IsValid() || err.Error() == "" {
				t.Errorf("%s and %q", at, err)
			}
			return
		}
		if at.Addr().IsUnspecified() || at.Addr().Is4In6() || at.Addr().Zone() != "" || at.Port() == 0 && port != 0 {
			t.Errorf("%s can't be dialled", at)
		}
		if given.IsValid() && at.Addr() != given {
			t.Errorf("%s, want it on %s", at, given)
		}
		if c.HostConfig.NetworkMode.IsHost() {
			if at.Port() != port || !given.IsValid() {
				t.Errorf("%s on the host's network, with --ip %q and --port %d", at, ip, port)
			}
			return
		}
		published := c.NetworkSettings.Ports[nat.Port(strconv.Itoa(int(port))+"/tcp")]
		if !slices.ContainsFunc(published, func(b nat.PortBinding) bool {
			p, err := strconv.Atoi(b.HostPort)
			published, _ := netip.ParseAddr(b.HostIP)
			loopbacks := published.Unmap() != at.Addr() && (published.Unmap().IsLoopback() || at.Addr().IsLoopback() && !published.Unmap().IsUnspecified())
			return err == nil && p == int(at.Port()) && (given.IsValid() && !loopbacks || published.Unmap() == at.Addr())
		}) {
			t.Errorf("%s is not one of %v", at, published)
		}
	})
}
