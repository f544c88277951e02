package etcdreg

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// binaries are the etcd servers to test with: 3.7, built from e2e's module, and
// Debian's 3.4, the oldest in the wild.
var binaries = map[string]string{}

// long asks for the long forms of tests: make test-all.
var long = os.Getenv("DOCKREG_LONG") == "1"

func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		log.Print(err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "etcdreg")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	built := filepath.Join(dir, "etcd")
	if out, err := exec.Command("go", "build", "-C", "../e2e", "-o", built, "./etcd").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build etcd: %w\n%s", err, out)
	}
	binaries["3.7"] = built
	if debian, err := exec.LookPath("etcd"); err == nil {
		binaries["debian"] = debian
	} else if os.Getenv("CI") == "true" {
		return 0, fmt.Errorf("debian's etcd is needed: apt-get install etcd-server: %w", err)
	} else {
		fmt.Println("not tested with Debian's etcd, which is not installed: apt-get install etcd-server")
	}
	if err := startDNS(); err != nil {
		return 0, err
	}
	// Trusted before anything has looked at the system's authorities.
	if err := writeCertificate(dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// eachVersion runs test with every etcd there is.
func eachVersion(t *testing.T, test func(t *testing.T, binary string)) {
	for version, binary := range binaries {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, binary)
		})
	}
}

// server is one etcd process.
type server struct {
	t      *testing.T
	binary string
	url    string
	dir    string
	args   []string
	tls    *tls.Config
	out    *lockedBuffer
	cmd    *exec.Cmd
}

// startServer runs an etcd of one member.
func startServer(t *testing.T, binary string, args ...string) *server {
	t.Helper()
	return startServerFor(t, nil, binary, args...)
}

// startServerFor runs an etcd of one member, for clients of this configuration. Nil
// is the system's, or none where etcd has no certificate.
func startServerFor(t *testing.T, client *tls.Config, binary string, args ...string) *server {
	t.Helper()
	scheme := "http"
	if slices.Contains(args, "--cert-file") {
		scheme = "https"
	}
	s := newServer(t, binary, "one", freePort(t), scheme, args...)
	s.tls = client
	s.joins(fmt.Sprintf("http://127.0.0.1:%d", freePort(t)))
	s.run()
	s.ready()
	return s
}

// startCluster runs an etcd of three members.
func startCluster(t *testing.T, binary string) []*server {
	t.Helper()
	var members []*server
	var peers, names []string
	for i := range 3 {
		name := fmt.Sprintf("m%d", i)
		peer := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
		peers, names = append(peers, peer), append(names, name+"="+peer)
		members = append(members, newServer(t, binary, name, freePort(t), "http"))
	}
	for i, s := range members {
		s.args = append(s.args, "--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i], "--initial-cluster", strings.Join(names, ","))
		s.run()
	}
	for _, s := range members {
		s.ready()
	}
	return members
}

func newServer(t *testing.T, binary, name string, port int, scheme string, args ...string) *server {
	s := &server{t: t, binary: binary, out: &lockedBuffer{}, dir: t.TempDir()}
	s.url = fmt.Sprintf("%s://127.0.0.1:%d", scheme, port)
	s.args = append([]string{"--name", name, "--listen-client-urls", s.url, "--advertise-client-urls", s.url}, args...)
	t.Cleanup(s.kill)
	return s
}

// joins makes the server the only member of its cluster.
func (s *server) joins(peer string) {
	s.args = append(s.args, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "one="+peer)
}

func (s *server) run() {
	s.t.Helper()
	s.cmd = exec.Command(s.binary, append([]string{"--data-dir", filepath.Join(s.dir, "data")}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// ready waits until the server answers.
func (s *server) ready() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	if _, err := s.client().Get(ctx, "ready"); err != nil {
		s.t.Fatalf("etcd did not start: %v\n%s", err, s.out)
	}
}

// client returns a client of this server alone.
func (s *server) client() *clientv3.Client {
	s.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.url}, TLS: s.tls, Logger: zap.NewNop()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// hang stops the server: its system goes on to accept connections, and it answers
// nothing. It waits until all of its threads stand: any might answer until then.
func (s *server) hang() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGSTOP)
	if err := unix.Waitid(unix.P_PID, s.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) resume() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

func (s *server) kill() {
	if s.cmd == nil || s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// loseData makes the next run start from nothing.
func (s *server) loseData() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
		s.t.Fatal(err)
	}
}

// nextPort lies below the ports that systems hand out for outgoing connections,
// from 32768 on: one of those could be taken again between here and etcd's start.
var nextPort atomic.Int32

func freePort(t *testing.T) int {
	t.Helper()
	nextPort.CompareAndSwap(0, int32(20000+os.Getpid()%5000*2))
	for {
		port := int(nextPort.Add(1))
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
		if port > 32767 {
			t.Fatal("no port is free")
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
