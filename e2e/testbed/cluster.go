package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Cluster is an etcd cluster, each member of which is a process of its own.
type Cluster struct {
	Members []*Member
	network *network // nil: relayed
	dir     string
	flags   []string // of each member, besides
}

// Member is one of them.
type Member struct {
	URL    string
	Client *clientv3.Client // of this member alone
	Relay  *Relay           // what all its traffic goes through, if it is relayed
	space  *namespace
	data   string
	args   []string
	cmd    *exec.Cmd
	log    *bytes.Buffer
}

// StartCluster runs three members of this etcd, each in a network namespace of its
// own, with an IP that this machine reaches. It takes root.
func StartCluster(binary string) (*Cluster, error) {
	c, err := newCluster()
	if err != nil {
		return nil, err
	}
	if c.network, err = newNetwork(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	var clients, peers []string
	for range 3 {
		space, err := c.network.join()
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		c.Members = append(c.Members, &Member{space: space})
		clients, peers = append(clients, "http://"+space.ip+":2379"), append(peers, "http://"+space.ip+":2380")
	}
	return c, c.start(binary, clients, peers, clients, peers)
}

// StartRelayedCluster runs n members of this etcd that listen on host, to which all
// traffic goes through relays, which can delay it.
func StartRelayedCluster(binary, host string, n int) (*Cluster, error) {
	c, err := newCluster()
	if err != nil {
		return nil, err
	}
	var clients, peers, dialled, peersDialled []string
	for range n {
		m := &Member{Relay: NewRelay(host)}
		c.Members = append(c.Members, m)
		for _, to := range []struct{ listens, dials *[]string }{{&clients, &dialled}, {&peers, &peersDialled}} {
			port, err := LowPort("127.0.0.1")
			if err != nil {
				return nil, errors.Join(err, c.Stop())
			}
			at := fmt.Sprintf("127.0.0.1:%d", port)
			relayed, err := m.Relay.Listen(at)
			if err != nil {
				return nil, errors.Join(err, c.Stop())
			}
			*to.listens, *to.dials = append(*to.listens, "http://"+at), append(*to.dials, "http://"+relayed)
		}
	}
	return c, c.start(binary, clients, peers, dialled, peersDialled)
}

// StartAlone runs a cluster of one member of this etcd on loopback, with nothing
// between it and its clients, and with these flags besides.
func StartAlone(binary string, flags ...string) (*Cluster, error) {
	c, err := newCluster()
	if err != nil {
		return nil, err
	}
	c.flags = flags
	var urls [2]string // for clients, for peers
	for i := range urls {
		port, err := LowPort("127.0.0.1")
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		urls[i] = fmt.Sprintf("http://127.0.0.1:%d", port)
	}
	c.Members = []*Member{{}}
	clients, peers := urls[:1], urls[1:]
	return c, c.start(binary, clients, peers, clients, peers)
}

func newCluster() (*Cluster, error) {
	dir, err := os.MkdirTemp("", "cluster")
	return &Cluster{dir: dir}, err
}

// start starts the members, which listen on the first two, and are dialled at the
// last two.
func (c *Cluster) start(binary string, clients, peers, dialled, peersDialled []string) error {
	var all []string
	for i, at := range peersDialled {
		all = append(all, fmt.Sprintf("m%d=%s", i, at))
	}
	for i, m := range c.Members {
		m.URL = dialled[i]
		m.data = filepath.Join(c.dir, fmt.Sprintf("m%d", i))
		m.args = []string{
			binary, "--name", fmt.Sprintf("m%d", i), "--data-dir", m.data,
			"--listen-client-urls", clients[i], "--advertise-client-urls", dialled[i],
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peersDialled[i],
			"--initial-cluster", strings.Join(all, ","),
		}
		m.args = append(m.args, c.flags...)
		if m.space != nil {
			m.args = append([]string{"nsenter", "--net=" + m.space.path()}, m.args...)
		}
		if err := m.Start(); err != nil {
			return errors.Join(err, c.Stop())
		}
	}
	for _, m := range c.Members {
		if err := m.Ready(); err != nil {
			return errors.Join(err, c.Stop())
		}
	}
	return nil
}

// Start runs the member's process.
func (m *Member) Start() error {
	m.log = &bytes.Buffer{}
	m.cmd = exec.Command(m.args[0], m.args[1:]...)
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	return m.cmd.Start()
}

// Ready waits until the member answers, and returns at once then. Its Client is a new
// one: a connection that was cut off takes as long again to try once more.
func (m *Member) Ready() (err error) {
	m.disconnect()
	// A leader that was cut off for a minute has taken 49 s to follow the others again.
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	for {
		if err = m.healthy(ctx); err == nil {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("etcd at %s is not ready: %w", m.URL, err)
		}
	}
	m.Client, err = clientv3.New(clientv3.Config{Endpoints: []string{m.URL}, Logger: zap.NewNop()})
	return err
}

// healthy asks once, on a connection of its own: gRPC's would pause between attempts.
func (m *Member) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL+"/health", nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func (m *Member) disconnect() {
	if m.Client != nil {
		_ = m.Client.Close()
	}
}

// Kill ends the member's process.
func (m *Member) Kill() {
	if m.cmd != nil && m.cmd.ProcessState == nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	}
}

// LoseData removes what a killed member has kept.
func (m *Member) LoseData() error { return os.RemoveAll(m.data) }

// Hang stops the member's process with SIGSTOP, and waits until all its threads
// stand: its system goes on to accept connections, and it answers nothing.
func (m *Member) Hang() error {
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return unix.Waitid(unix.P_PID, m.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
}

// Resume ends a Hang.
func (m *Member) Resume() error { return m.cmd.Process.Signal(syscall.SIGCONT) }

// CutOff drops all the member's packets, by a firewall rule in its namespace.
func (m *Member) CutOff() error { return m.space.firewall("-A") }

// Reconnect ends a CutOff.
func (m *Member) Reconnect() error { return m.space.firewall("-D") }

// Leader returns the index of the leader.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	for {
		for i, m := range c.Members {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			status, err := m.Client.Status(ctx, m.URL)
			cancel()
			if err == nil && status.Leader == status.Header.MemberId {
				return i, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, errors.New("the cluster has no leader")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// URLs returns the members', as --etcd takes them.
func (c *Cluster) URLs() string {
	var urls []string
	for _, m := range c.Members {
		urls = append(urls, m.URL)
	}
	return strings.Join(urls, ",")
}

// Stop ends the cluster, and removes all that it left.
func (c *Cluster) Stop() error {
	var errs []error
	for _, m := range c.Members {
		m.disconnect()
		m.Kill()
		if m.Relay != nil {
			m.Relay.Close()
		}
	}
	if c.network != nil {
		errs = append(errs, c.network.remove())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
