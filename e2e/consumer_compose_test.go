package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dockreg/e2e/testbed"
)

// stack is a compose file that docker-compose runs.
type stack struct {
	t       *testing.T
	files   []string
	project string
	folder  string   // for files of its own, which last as long
	env     []string // of its own, as in GRPC_IMAGE=dockreg-grpc-go
}

// compose brings an example up, with two instances of its app, in this machine's own images and
// in those of the example's own.
func compose(t *testing.T, name string, env ...string) *stack {
	t.Helper()
	s := newStack(t, name, example(t, name+"/compose.yaml"), append(env, "IP="+docker.Gateway)...)
	s.scale(2)
	return s
}

// newStack takes down what is brought up of a compose file, at the test's end.
func newStack(t *testing.T, name, file string, env ...string) *stack {
	t.Helper()
	s := &stack{t, []string{file}, fmt.Sprintf("dockreg-%s-%d", name, os.Getpid()), t.TempDir(), env}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s logged\n%s", name, s.try("logs", "--no-color", "--timestamps"))
		}
		s.try("down", "--volumes", "--timeout", "1")
	})
	return s
}

// rootStack is the project's own compose file, with that profile. It needs no setting where
// Docker's bridge is at its usual place.
func rootStack(t *testing.T, name, profile string) *stack {
	t.Helper()
	file, err := filepath.Abs("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"COMPOSE_PROFILES=" + profile, "APP_IMAGE=" + apps}
	if docker.Gateway != "172.17.0.1" {
		env = append(env, "IP="+docker.Gateway)
	}
	return newStack(t, name, file, env...)
}

// drainsLong has the instances drain for 6 s, where a machine that is busy with other tests as well
// may take longer than 2 s to tell a proxy.
func (s *stack) drainsLong() {
	s.t.Helper()
	entry, err := filepath.Abs("../examples/supervisord.conf")
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.folder, "drain.yaml")
	text := fmt.Sprintf(`services:
  web:
    stop_grace_period: 30s
    environment:
      DOCKREG_DRAIN: 6s
    volumes: ["%s:/etc/supervisord.conf:ro"]
`, entry)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.files = append(s.files, file)
}

// do runs docker-compose, or Docker's own plugin where there is no such command.
func (s *stack) do(args ...string) (output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	command := []string{"docker-compose"}
	if _, err := exec.LookPath(command[0]); err != nil {
		command = []string{"docker", "compose"}
	}
	command = append(command, "--project-name", s.project)
	for _, file := range s.files {
		command = append(command, "--file", file)
	}
	command = append(command, args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = filepath.Dir(s.files[0])
	cmd.Env = append(testbed.CleanEnv(), "PORT=0", "DOCKREG_IMAGE="+image, "ETCD_IMAGE=dockreg-etcd",
		"COREDNS_IMAGE=dockreg-coredns", "HAPROXY_IMAGE=dockreg-haproxy", "NGINX_IMAGE=dockreg-nginx")
	cmd.Env = append(cmd.Env, s.env...)
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

// scale starts the stack if it is not there yet, with so many instances.
func (s *stack) scale(instances int) { s.up("--scale", fmt.Sprint("web=", instances)) }

// up starts the stack, in images that are there.
func (s *stack) up(args ...string) {
	s.t.Helper()
	if _, err := s.do(append([]string{"up", "--detach", "--no-build"}, args...)...); err != nil {
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

// The project's compose file comes up without a setting, and both apps answer through
// HAProxy. Scaling up and down fails no request.
func TestComposeScales(t *testing.T) {
	needDocker(t)
	t.Parallel()
	s := rootStack(t, "scales", "")
	s.drainsLong()
	s.up()
	ask := askByHTTP(http.MethodPost, net.JoinHostPort(s.ip("proxy"), "80"))
	answering(t, ask, 2)

	unlessStarved(t, func() []testbed.Outcome {
		load := testbed.StartCalls(requestRate/3, ask) // what is scaled takes processors as well
		for _, instances := range []int{4, 1} {
			s.scale(instances)
			answering(t, ask, instances)
		}
		o := load.Stop()
		t.Logf("%d of %d requests were sent, %d failed", o.Sent, o.Due, len(o.Failures))
		return []testbed.Outcome{o}
	})
}

// An image that knows nothing of dockreg is registered by a release's image beside it, and HAProxy
// sends to it. When it is killed its key goes, and it comes back with it, at the same address; so
// it does with a new image. On a stop the key goes first, and is drained.
func TestComposeSidecar(t *testing.T) {
	needDocker(t)
	t.Parallel()
	tar, loaded := ownImage(t, "sidecar")
	if out, err := exec.Command("docker", "load", "-i", tar).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := rootStack(t, "sidecar", "sidecar")
	s.env = append(s.env, "SIDECAR_IMAGE="+loaded)
	s.scale(0)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + net.JoinHostPort(s.ip("etcd"), "2379")}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	keys := testbed.FollowKeys(t.Context(), client, "/service/")
	address, err := docker.AddressOf(s.container("nginx-network"), "80")
	if err != nil {
		t.Fatal(err)
	}
	key := "/service/" + address
	proxied := net.JoinHostPort(s.ip("proxy"), "80")
	if err := poll(t, time.Minute, func() error {
		answer, err := get(t, proxied)
		if err == nil && !strings.Contains(answer, "nginx") {
			err = fmt.Errorf("HAProxy's answer is %q", answer)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if found, err := client.Get(t.Context(), key); err != nil || len(found.Kvs) != 1 {
		t.Fatalf("%s: %v, %v; want it, at the network's published port", key, found, err)
	}

	nginx, sidekick := s.container("nginx"), s.container("nginx-dockreg")
	if out, err := sidekick.Exec("dockreg", "status"); err != nil || !strings.HasPrefix(out, "registered ") {
		t.Errorf("its status is %s, %v", out, err)
	}
	killed := time.Now()
	if _, err := nginx.Do("kill"); err != nil {
		t.Fatal(err)
	}
	// Without processes to watch it sees twice a second who listens: far from the TTL.
	gone := wantGone(t, keys, key, killed, busy+3*time.Second)
	t.Logf("killed to gone: %s", gone.At.Sub(killed))
	if _, err := nginx.Do("start"); err != nil {
		t.Fatal(err)
	}
	wantPut(t, keys, key, gone.At, time.Minute)

	deployed := time.Now()
	s.try("stop", "nginx-dockreg")
	wantGone(t, keys, key, deployed, busy)
	next := fmt.Sprintf("dockreg-next-%d", os.Getpid())
	build := exec.Command("docker", "build", "--tag", next, "-")
	build.Stdin = strings.NewReader("FROM " + apps + "\nLABEL next=1\n")
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", next).Run() }) // runs before the containers are gone, and takes the name alone
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := nginx.ID
	s.env = append(s.env, "APP_IMAGE="+next)
	s.scale(0)
	wantPut(t, keys, key, deployed, time.Minute)
	if nginx, sidekick = s.container("nginx"), s.container("nginx-dockreg"); nginx.ID == before {
		t.Error("the app's container has not been replaced")
	}

	stop := time.Now()
	s.try("stop", "nginx-dockreg", "nginx", "nginx-network")
	wantGone(t, keys, key, stop, busy)
	s.wantStoppedInOrder(sidekick, nginx)
}

// wantStoppedInOrder wants the app to have stopped after its sidekick had deregistered, and
// drained.
func (s *stack) wantStoppedInOrder(sidekick, app *testbed.Container) {
	t := s.t
	t.Helper()
	logs, err := sidekick.Logs()
	if err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndex(logs, "msg=registered")
	if last < 0 {
		t.Fatalf("it is not registered in\n%s", logs)
	}
	_, logs, _ = strings.Cut(logs[last:], "\n")
	stopped, err := app.Finished()
	if err != nil {
		t.Fatal(err)
	}
	before := stopped.Sub(deregisteredAt(t, logs, ""))
	t.Logf("deregistered %s before the app had stopped", before)
	if before < 1500*time.Millisecond { // of a drain of 2 s; at once, if both are stopped at once
		t.Errorf("deregistered %s before the app had stopped, want its drain, 2 s", before)
	}
}
