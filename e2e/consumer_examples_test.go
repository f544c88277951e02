package e2e

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Each example comes up as it lies there, and its consumer finds both instances.
func TestExamplesComeUp(t *testing.T) {
	needDocker(t)
	t.Parallel()
	for _, name := range []string{"haproxy-confd", "haproxy-dns", "nginx-confd"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := compose(t, name, 2)
			answering(t, askByHTTP(http.MethodGet, net.JoinHostPort(s.ip("proxy"), "80")), 2)
		})
	}
}

// Those whose images are not to be had everywhere are read, at least.
func TestExamplesAreValid(t *testing.T) {
	needDocker(t)
	t.Parallel()
	files, err := filepath.Glob("../examples/*/compose.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		s := &stack{t, example(t, name+"/compose.yaml"), "dockreg-" + name}
		out, err := s.do("config")
		if err != nil || !strings.Contains(out, "services:") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
