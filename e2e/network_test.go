package e2e

import (
	"strings"
	"testing"
	"time"
)

// dry runs dockreg --dry-run in a container started with these arguments, and
// returns what it printed and the exit code.
func dry(t *testing.T, args, flags []string) (output, code string) {
	t.Helper()
	args = append([]string{"-v", "/var/run/docker.sock:/var/run/docker.sock", "--entrypoint", "/usr/bin/dockreg"}, args...)
	args = append(append(args, image, "--dry-run", "--port", "8000", "--etcd", etcd.URL), flags...)
	c := keep(t)(docker.Run(args...))
	code, err := c.Do("wait")
	if err != nil {
		t.Fatal(err)
	}
	output, err = c.Do("logs")
	if err != nil {
		t.Fatal(err)
	}
	return output, code
}

// The address, as Docker's networks have it. No app runs beside a dry run unless
// it shares its network, so that it ends with 1.
func TestAddressInEachNetwork(t *testing.T) {
	needDocker(t)
	t.Parallel()
	app := runApp(t)
	appKey := keyOf(t, app)
	port := lowPort(t, "0.0.0.0")

	tests := map[string]struct {
		args, flags []string
		want, code  string
	}{
		"a fixed port, on every IP": {
			[]string{"-p", port + ":8000"},
			[]string{"--ip", "10.1.0.101"},
			"/service/10.1.0.101:" + port, "1",
		},
		"a specific IP and no --ip": {
			[]string{"-p", "127.0.0.1:" + port + ":8000"},
			nil,
			"/service/127.0.0.1:" + port, "1",
		},
		"an IPv6 --ip and another key": {
			[]string{"-p", port + ":8000"},
			[]string{"--ip", "2001:db8::1", "--key", "service/web"},
			"/service/web/[2001:db8::1]:" + port, "1",
		},
		"a hostname set by hand": {
			[]string{"-p", port + ":8000", "--hostname", "web"},
			[]string{"--ip", "10.1.0.101"},
			"/service/10.1.0.101:" + port, "1",
		},
		"the host's network": {
			[]string{"--network", "host"},
			[]string{"--ip", "10.1.0.101"},
			"/service/10.1.0.101:8000", "1",
		},
		"another container's network": {
			[]string{"--network", "container:" + app.ID},
			[]string{"--ip", docker.Gateway},
			appKey, "0",
		},
		"no Docker": {
			nil,
			[]string{"--ip", "10.1.0.101", "--host-port", "9000", "--docker", "/nowhere.sock"},
			"/service/10.1.0.101:9000", "1",
		},
	}
	// The other container's app has to answer.
	keys := follow(t)
	if _, there := keys.Get(appKey); !there {
		if found, err := etcd.Client.Get(t.Context(), appKey); err != nil || found.Count == 0 {
			wantPut(t, keys, appKey, time.Time{}, time.Minute)
		}
	}
	for name, test := range tests { // one after the other: they share the port
		output, code := dry(t, test.args, test.flags)
		for tries := 1; isLate(output) && tries < 5; tries++ {
			t.Log(output)
			output, code = dry(t, test.args, test.flags)
		}
		if !strings.Contains(output, test.want+"\n") || code != test.code {
			t.Errorf("%s: exit code %s, want %s and the key %s in\n%s", name, code, test.code, test.want, output)
		}
	}
}

// P9: what Docker says can show a mistake too. It ends dockreg with 2 and says
// what would be right.
func TestP9MistakesThatDockerKnowsOf(t *testing.T) {
	needDocker(t)
	t.Parallel()
	tests := map[string]struct {
		args, flags, want []string
	}{
		"published on every IP, and no --ip": {[]string{"-p", "8000"}, nil, []string{"names no host IP", "0.0.0.0:", "give the host's IP that consumers dial, such as --ip"}},
		"host's network, and no --ip":        {[]string{"--network", "host"}, nil, []string{"names no host IP", "such as --ip"}},
		"not published":                      {[]string{"-p", "9000"}, []string{"--ip", "10.1.0.101"}, []string{"port 8000", "not published", "9000/tcp on 0.0.0.0:", "docker run -p 8000"}},
		"published on 127.0.0.1, other --ip": {[]string{"-p", "127.0.0.1::8000"}, []string{"--ip", "10.1.0.101"}, []string{"published on 127.0.0.1:", "nobody can dial at 10.1.0.101", "docker run -p 10.1.0.101::8000", "give --host-port"}},
		"no network":                         {[]string{"--network", "none", "-p", "8000"}, []string{"--ip", "10.1.0.101"}, []string{"no network"}},
		"no such container":                  {[]string{"-p", "8000"}, []string{"--ip", "10.1.0.101", "--container", "nobody-has-this-name"}, []string{"--container", "nobody-has-this-name"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, code := dry(t, test.args, test.flags)
			if code != "2" {
				t.Errorf("exit code %s, want 2", code)
			}
			for _, want := range test.want {
				if !strings.Contains(output, want) {
					t.Errorf("no %q in\n%s", want, output)
				}
			}
		})
	}
}

// P1: docker network connect moves a published port under a container that runs. The key
// follows it, and the old one, which is nobody's then, goes.
func TestP1PortThatMoves(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, old := registered(t)
	moved := time.Now()
	for _, verb := range []string{"disconnect", "connect"} {
		if _, err := c.Do("network", verb, "bridge"); err != nil {
			t.Fatal(err)
		}
	}
	key := keyOf(t, c)
	if key == old {
		t.Skip("Docker has given the container the same port again")
	}
	put := wantPut(t, keys, key, moved, time.Minute+busy)
	gone := wantGone(t, keys, old, moved, busy)
	t.Logf("port moved to old key gone: %s, to new key: %s", gone.At.Sub(moved), put.At.Sub(moved))
	if _, err := get(t, strings.TrimPrefix(key, "/service/")); err != nil {
		t.Errorf("the new key is there, and the app does not answer: %v", err)
	}
}

// P1: an app on 127.0.0.1 alone answers its probe, and no consumer.
func TestP1AppThatListensOnLoopbackAlone(t *testing.T) {
	needDocker(t)
	t.Parallel()
	keys := follow(t)
	c := keep(t)(docker.RunApp(apps, etcd.URL, "-e", "APP=/usr/bin/python3 -m http.server --bind 127.0.0.1 8000"))
	awaitLogged(t, c, "the app listens on 127.0.0.1 only; consumers arrive at 172.", 1)
	key := keyOf(t, c)
	if answer, err := get(t, strings.TrimPrefix(key, "/service/")); err == nil {
		t.Errorf("it answers %q", answer)
	}
	if _, there := keys.Get(key); there {
		t.Errorf("it is registered as %s", key)
	}
}

// A container in the network of another one that restarts has no network any more, until
// it restarts too: its app is nowhere, nor is etcd. The key lapses.
func TestP8NetworkOfAnotherContainerThatRestarts(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := registered(t)
	start := time.Now()
	beside := keep(t)(docker.Run("--network", "container:"+c.ID, "-v", "/var/run/docker.sock:/var/run/docker.sock",
		"--entrypoint", "dockreg", image, "--port", "8000", "--etcd", etcd.URL, "--ip", docker.Gateway, "--key", "beside"))
	key = strings.Replace(key, "/service/", "/beside/", 1)
	wantPut(t, keys, key, start, time.Minute)
	restart := time.Now()
	if _, err := c.Do("restart"); err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, keys, key, restart, 21500*time.Millisecond+10*time.Second+busy) // docker restart takes up to 10 s
	t.Logf("restart to key gone: %s", gone.At.Sub(restart))
	own := keyOf(t, c)
	wantPut(t, keys, own, restart, time.Minute)
	awaitLogged(t, beside, "nothing listens on the port", 1)
	for _, e := range keys.History() {
		if strings.HasPrefix(e.Key, "/beside/") && !e.Gone && e.At.After(restart) {
			t.Errorf("it is registered as %s again", e.Key)
		}
	}
}
