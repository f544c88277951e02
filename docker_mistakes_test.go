package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What Docker says about the container can be a mistake too, in a dry run and else. The
// one line about it comes after the log's.
func TestP9MistakeThatDockerFinds(t *testing.T) {
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if r.URL.Path != "/_ping" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer engine.Close()
	line := []string{"--port", "1", "--etcd", "127.0.0.1:1", "--container", "web", "--docker", "tcp://" + engine.Listener.Addr().String()}
	for _, args := range [][]string{line, append(line, "--dry-run")} {
		r := runWith(args...)
		if r.code != exitUsage || !regexp.MustCompile(`(?m)^(dockreg:| ) docker knows no such container: "web".*; give --container the id or name`).MatchString(r.stdout+r.stderr) {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.stderr)
		}
	}
	r := runWith(append(line, "--log-format", "json")...)
	last := r.stderr[strings.LastIndex(strings.TrimSuffix(r.stderr, "\n"), "\n")+1:]
	var record struct{ Level, Err string }
	if err := json.Unmarshal([]byte(last), &record); err != nil || r.code != exitUsage || record.Level != "ERROR" || !strings.Contains(record.Err, "give --container") {
		t.Errorf("for programs: exit code %d, %v in %s", r.code, err, r.stderr)
	}
}

// P9: DOCKER_HOST is Docker's own variable, and named as such; without Docker it is
// nobody's.
func TestP9DockerHost(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"ssh://host":         "can't talk to Docker by ssh://",
		"npipe:////./pipe/d": "can't talk to Docker by npipe://",
		folder:               "a folder, not a socket",
		"unix://" + file:     "a file, not a socket",
		"run/docker.sock":    "not an absolute path",
		"unix://docker.sock": "not an absolute path",
		"unix:///":           "a folder, not a socket",
		"tcp://host":         "no host and port after tcp://",
		"tcp://:2375":        "no host and port after tcp://",
		"tcp://host:0":       "no host and port after tcp://",
		"tcp://host:2375/x":  "no host and port after tcp://",
		"host:2375":          "not an absolute path",
	} {
		t.Setenv("DOCKER_HOST", host)
		if r := runWith(right()...); r.code != exitFault || strings.Contains(r.stderr, "DOCKER_HOST") || strings.Contains(r.stdout, host) {
			t.Errorf("with --host-port: exit code %d, %s%s", r.code, r.stdout, r.stderr)
		}
		r := runWith(without(right(), "--host-port")...)
		if start := `dockreg: DOCKER_HOST "` + host + `": ` + want; r.code != exitUsage || !strings.HasPrefix(r.stderr, start) ||
			!strings.Contains(r.stderr, "give") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("exit code %d, %s\nwant one line %s", r.code, r.stderr, start)
		}
	}
}

// A path where no socket is yet may get one; one where a socket is, is right.
func TestDockerPathsThatAreRight(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, path := range []string{socket, "unix://" + socket, filepath.Join(t.TempDir(), "not-yet"), "tcp://127.0.0.1:2375"} {
		if r := runWith(right("--docker", path)...); r.code != exitFault {
			t.Errorf("%s: exit code %d\n%s", path, r.code, r.stderr)
		}
	}
}
