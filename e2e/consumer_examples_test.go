package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
			s := compose(t, name)
			answering(t, askByHTTP(http.MethodGet, net.JoinHostPort(s.ip("proxy"), "80")), 2)
		})
	}
	t.Run("coredns", func(t *testing.T) {
		t.Parallel()
		s := compose(t, "coredns")
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

// The client of examples/grpc-go asks both instances, each in an image that is made as its
// Dockerfile says, of a program that was compiled here: to compile it again in a container
// takes minutes.
func TestExampleOfGRPCComesUp(t *testing.T) {
	needDocker(t)
	t.Parallel()
	text, err := os.ReadFile("../examples/grpc-go/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, stage, ok := strings.Cut(string(text), "\nFROM dockreg\nCOPY --from=build /grpc-go ")
	if !ok {
		t.Fatalf("no second stage in\n%s", text)
	}
	s := compose(t, "grpc-go", "GRPC_IMAGE="+imageOf(t, "grpc-go", "FROM "+image+"\nCOPY grpc-go "+stage))
	wantLogged(t, s, "client", regexp.MustCompile(`[0-9.]+:[0-9]+ SERVING <nil>`), 2)
}

// Traefik's etcd provider takes both instances from where examples/traefik says, and the
// router's keys from the commands of its README. An image of the whole of Traefik is not to
// be had here: its provider stands in, and reads of its configuration where etcd is.
func TestExampleOfTraefikComesUp(t *testing.T) {
	needDocker(t)
	t.Parallel()
	const start = `FROM debian:bookworm-slim
COPY traefik /traefik
ENTRYPOINT ["/bin/sh", "-c", "exec /traefik $(sed -n 's/.*endpoints: .\"\\([^\"]*\\)\".*/\\1/p' /etc/traefik/traefik.yaml)"]
`
	s := compose(t, "traefik", "TRAEFIK_IMAGE="+imageOf(t, "traefik", start))
	readme, err := os.ReadFile(example(t, "traefik/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	puts := regexp.MustCompile(`(?m)^docker compose exec etcd (etcdctl put \S+) '?([^'\n]+)'?$`).FindAllStringSubmatch(string(readme), -1)
	if len(puts) != 2 {
		t.Fatalf("%d commands in\n%s", len(puts), readme)
	}
	for _, put := range puts {
		command := slices.Concat([]string{"exec", "-T", "-e", "ETCDCTL_API=3", "etcd"}, strings.Fields(put[1]), put[2:])
		if err := poll(t, time.Minute, func() error { _, err := s.do(command...); return err }); err != nil { // etcd may not answer yet
			t.Fatal(err)
		}
	}
	wantLogged(t, s, "proxy", regexp.MustCompile(`"url":"http://[0-9.]+:[0-9]+"`), 2)
	wantLogged(t, s, "proxy", regexp.MustCompile("\"service\":\"web\",\"rule\":\"PathPrefix\\(`/`\\)\""), 1)
}

// imageOf makes an image of one of the commands, for one test.
func imageOf(t *testing.T, command, dockerfile string) (name string) {
	t.Helper()
	folder := t.TempDir()
	program, err := os.ReadFile(mustBuild(t, command))
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{command: program, "Dockerfile": []byte(dockerfile)} {
		if err := os.WriteFile(filepath.Join(folder, file), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	name = fmt.Sprintf("dockreg-test-%s-%d", command, os.Getpid())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", "build", "--tag", name, folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { // after the containers are gone
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, "docker", "rmi", name).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	return name
}

// wantLogged waits until a service has logged so many different texts of this form.
func wantLogged(t *testing.T, s *stack, service string, form *regexp.Regexp, different int) {
	t.Helper()
	if err := poll(t, time.Minute, func() error {
		logs, err := s.do("logs", "--no-color", service)
		if err != nil {
			return err
		}
		found := map[string]bool{}
		for _, text := range form.FindAllString(logs, -1) {
			found[text] = true
		}
		if len(found) != different {
			return fmt.Errorf("%s logged %v, want %d of %s", service, found, different, form)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// All of them are read.
func TestExamplesAreValid(t *testing.T) {
	needDocker(t)
	t.Parallel()
	files, err := filepath.Glob("../examples/*/compose.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		s := &stack{t, []string{example(t, name+"/compose.yaml")}, "dockreg-" + name, "", []string{"IP=" + docker.Gateway}}
		out, err := s.do("config")
		if err != nil || !strings.Contains(out, "services:") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
