package e2e

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	t.Run("coredns", func(t *testing.T) {
		t.Parallel()
		s := compose(t, "coredns", 2)
		dns := resolverAt(net.JoinHostPort(s.ip("dns"), "53"))
		if err := poll(t, time.Minute, func() error {
			_, services, err := dns.LookupSRV(t.Context(), "web", "tcp", "svc.example.")
			if err == nil && len(services) != 2 {
				err = fmt.Errorf("%d answers", len(services))
			}
			return err
		}); err != nil {
			t.Fatalf("not 2 instances: %v", err)
		}
	})
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
