package host

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

func TestParseCgroups(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want cgroups
		err  string
	}{
		"v2":           {"0::/system.slice/docker-a.scope\n", cgroups{"": "/system.slice/docker-a.scope"}, ""},
		"v1":           {"12:pids:/docker/a\n2:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n", cgroups{"pids": "/docker/a", "cpu,cpuacct": "/docker/a", "name=systemd": "/docker/a"}, ""},
		"hybrid":       {"1:name=systemd:/docker/a\n0::/\n", cgroups{"name=systemd": "/docker/a"}, ""},
		"colon":        {"0::/a:b\n", cgroups{"": "/a:b"}, ""},
		"deleted":      {"0::/docker/a (deleted)\n", cgroups{"": "/docker/a (deleted)"}, ""},
		"above":        {"0::/..\n", nil, "--cgroupns=host"},
		"beside":       {"0::/../b\n", nil, "--cgroupns=host"},
		"further up":   {"2:cpu:/docker/a\n1:pids:/../../b\n", nil, "--cgroupns=host"},
		"dots in name": {"0::/..a\n", cgroups{"": "/..a"}, ""},
		"empty":        {"", nil, "in no cgroup"},
		"no path":      {"0::\n", nil, "not a line of cgroups"},
		"no colons":    {"docker\n", nil, "not a line of cgroups"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseCgroups(test.text)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("%v, %v, want an error with %q", got, err, test.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, test.want) {
				t.Errorf("%v, %v, want %v", got, err, test.want)
			}
		})
	}
	if _, err := parseCgroups("0::/..\n"); !errors.Is(err, errHidden) {
		t.Errorf("%v, want errHidden", err)
	}
}

func TestContain(t *testing.T) {
	t.Parallel()
	container := cgroups{"pids": "/docker/a", "cpu": "/docker/a", "misc": "/"}
	for name, test := range map[string]struct {
		others cgroups
		want   bool
	}{
		"the same":           {cgroups{"pids": "/docker/a", "cpu": "/docker/a", "misc": "/"}, true},
		"further in":         {cgroups{"pids": "/docker/a/b", "cpu": "/docker/a/b/c", "misc": "/"}, true},
		"another":            {cgroups{"pids": "/docker/b", "cpu": "/docker/b", "misc": "/"}, false},
		"one does not agree": {cgroups{"pids": "/docker/a", "cpu": "/docker/b", "misc": "/"}, false},
		"one is missing":     {cgroups{"pids": "/docker/a", "misc": "/"}, false},
		"a longer name":      {cgroups{"pids": "/docker/ab", "cpu": "/docker/ab", "misc": "/"}, false},
		"around":             {cgroups{"pids": "/docker", "cpu": "/docker", "misc": "/"}, false},
		"the root":           {cgroups{"pids": "/", "cpu": "/", "misc": "/"}, false},
	} {
		if got := container.contain(test.others); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
	if (cgroups{"pids": "/", "cpu": "/"}).contain(container) {
		t.Error("the root, in which all are, says something")
	}
}

func FuzzParseCgroups(f *testing.F) {
	f.Add("0::/docker/a\n")
	f.Add("12:pids:/docker/a\n1:name=systemd:/\n0::/\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := parseCgroups(text)
		for _, path := range found {
			if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/../") {
				t.Errorf("%v, %v", found, err)
			}
		}
		if err == nil && len(found) == 0 {
			t.Error("neither groups nor an error")
		}
	})
}
