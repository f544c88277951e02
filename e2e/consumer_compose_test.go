package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dockreg/e2e/testbed"
)

// stack is an example that docker-compose runs.
type stack struct {
	t             *testing.T
	file, project string
}

// compose brings an example up, with instances of its app, in this machine's own images.
func compose(t *testing.T, name string, instances int) *stack {
	t.Helper()
	s := &stack{t, example(t, name+"/compose.yaml"), fmt.Sprintf("dockreg-%s-%d", name, os.Getpid())}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s logged\n%s", name, s.try("logs", "--no-color", "--timestamps"))
		}
		s.try("down", "--volumes", "--timeout", "1")
	})
	s.scale(instances)
	return s
}

// do runs docker-compose, or Docker's own plugin where there is no such command.
func (s *stack) do(args ...string) (output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	command := []string{"docker-compose"}
	if _, err := exec.LookPath(command[0]); err != nil {
		command = []string{"docker", "compose"}
	}
	command = append(append(command, "--file", s.file, "--project-name", s.project), args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(testbed.CleanEnv(), "IP="+docker.Gateway, "PORT=0", "DOCKREG_IMAGE="+image, "ETCD_IMAGE=dockreg-etcd",
		"COREDNS_IMAGE=dockreg-coredns", "HAPROXY_IMAGE=dockreg-haproxy", "NGINX_IMAGE=dockreg-nginx", "OLD_IMAGE="+apps)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return string(out), err
}

func (s *stack) try(args ...string) string {
	out, err := s.do(args...)
	if err != nil {
		s.t.Error(err)
	}
	return out
}

// scale starts the example if it is not there yet, with so many instances.
func (s *stack) scale(instances int) {
	s.t.Helper()
	if _, err := s.do("up", "--detach", "--scale", fmt.Sprint("web=", instances)); err != nil {
		s.t.Fatal(err)
	}
}

// container returns the only container of a service.
func (s *stack) container(service string) *testbed.Container {
	s.t.Helper()
	id, err := s.do("ps", "--quiet", service)
	if err != nil {
		s.t.Fatal(err)
	}
	return &testbed.Container{ID: strings.TrimSpace(id)}
}

// ip returns that container's.
func (s *stack) ip(service string) string {
	s.t.Helper()
	ip, err := s.container(service).Do("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
	if err != nil {
		s.t.Fatal(err)
	}
	return ip
}

// answering asks until so many instances answer.
func answering(t *testing.T, ask func() (string, error), instances int) {
	t.Helper()
	err := poll(t, time.Minute, func() error {
		names := map[string]bool{}
		for range 3 * (instances + 1) {
			name, err := ask()
			if err != nil {
				return err
			}
			names[name] = true
		}
		if len(names) != instances {
			return fmt.Errorf("%d answer", len(names))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("not %d instances answer: %v", instances, err)
	}
}

// examples/compose: scaling up and down fails no request. An image that knows nothing of
// dockreg is registered, too, and deregistered before it stops.
func TestComposeScales(t *testing.T) {
	needDocker(t)
	t.Parallel()
	s := compose(t, "compose", 3)
	ask := askByHTTP(http.MethodPost, net.JoinHostPort(s.ip("proxy"), "80"))
	answering(t, ask, 3)

	load := testbed.StartCalls(requestRate, ask)
	for _, instances := range []int{5, 1} {
		s.scale(instances)
		answering(t, ask, instances)
	}
	outcome := load.Stop()
	t.Logf("%d of %d requests failed", len(outcome.Failures), outcome.Sent)
	if len(outcome.Failures) > 0 || outcome.Sent < requestRate {
		t.Errorf("such as %v", outcome.Failures[:min(len(outcome.Failures), 10)])
	}
	s.wantOldStoppedInOrder()
}

// wantOldStoppedInOrder stops the app that has dockreg in a container of its own, as
// docker-compose does: its key is gone before it is asked to stop.
func (s *stack) wantOldStoppedInOrder() {
	t := s.t
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + net.JoinHostPort(s.ip("etcd"), "2379")}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	var key string
	if err := poll(t, 30*time.Second, func() error {
		found, err := client.Get(t.Context(), "/old/", clientv3.WithPrefix())
		if err != nil || len(found.Kvs) != 1 {
			return fmt.Errorf("keys of the old app: %v, %w; want one", found, err)
		}
		key = string(found.Kvs[0].Key)
		answer, err := get(t, strings.TrimPrefix(key, "/old/"))
		if err == nil && !strings.Contains(answer, "nginx") {
			err = fmt.Errorf("at its address the old app answers %q", answer)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	old, sidekick := s.container("old"), s.container("old-dockreg")
	keys := testbed.FollowKeys(t.Context(), client, "/old/")
	s.try("stop", "old-dockreg", "old")
	wantGone(t, keys, key, time.Time{}, busy)
	logs, err := sidekick.Logs()
	if err != nil {
		t.Fatal(err)
	}
	finished, err := old.Do("inspect", "--format", "{{.State.FinishedAt}}")
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := time.Parse(time.RFC3339Nano, finished)
	if err != nil {
		t.Fatal(err)
	}
	// Both by Docker's clock: this process may hear of it late.
	before := stopped.Sub(loggedAt(t, logs, "msg=deregistered"))
	t.Logf("deregistered %s before the app had stopped", before)
	if before < 1500*time.Millisecond { // of a drain of 2 s; at once, if both are stopped at once
		t.Errorf("deregistered %s before the app had stopped, want its drain, 2 s", before)
	}
}
