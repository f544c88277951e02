// Package docker finds out, from Docker, at which host IP and port the container
// that this process runs in is reachable.
//
// It asks for /_ping and /containers/{id}/json alone, about its own container
// alone, so that something much smaller than Docker's socket can answer it.
package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// askTimeout bounds one question to Docker. An engine that is busy starting many
// containers can take seconds.
const askTimeout = 5 * time.Second

// maxHops bounds the way from one container to the one whose network it uses, which
// would never end in a circle. One is the rule.
const maxHops = 5

// Config says which container's which port.
type Config struct {
	Host      string     // Docker's address: unix:///path or tcp://host:port
	Container string     // the own container's id or name; empty: found out
	Port      int        // the app's port inside the container
	IP        netip.Addr // the host IP to register; invalid: the one Docker published on
	UserAgent string
}

// Locator finds the own container's address.
type Locator struct {
	Config
	client *client.Client
	proc   fs.FS
	name   string // hostname
}

// New returns a Locator that has not contacted Docker yet. For tcp:// it heeds
// DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as the docker command does.
func New(c Config) (*Locator, error) {
	opts := []client.Opt{
		client.WithHost(c.Host),
		client.WithUserAgent(c.UserAgent),
		client.WithAPIVersionNegotiation(), // engines 20.10 (API 1.41) to 29 (1.44 at least)
		bound,
	}
	if strings.HasPrefix(c.Host, "tcp://") {
		opts = append([]client.Opt{client.WithTLSClientConfigFromEnv()}, opts...)
	}
	docker, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, misconfigured("docker at %s: %v", c.Host, err) // DOCKER_CERT_PATH, most likely
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("hostname: %w", err)
	}
	return &Locator{Config: c, client: docker, proc: os.DirFS("/proc"), name: name}, nil
}

// Locate asks Docker for the own container's mapping, once, each question within
// 5 s. It returns a *MisconfiguredError if the container or its settings have to
// change; any other error may pass by itself.
func (l *Locator) Locate(ctx context.Context) (netip.AddrPort, error) {
	c, err := l.self(ctx)
	if err != nil {
		return netip.AddrPort{}, err
	}
	// The ports of a container in another one's network are the other one's.
	for hops := 0; c.HostConfig.NetworkMode.IsContainer(); hops++ {
		if hops == maxHops {
			return netip.AddrPort{}, fmt.Errorf("docker's answer: the containers whose network this one uses go on for ever, with %.64q", c.ID)
		}
		other := c.HostConfig.NetworkMode.ConnectedContainer()
		if c, err = l.inspect(ctx, other); err != nil {
			return netip.AddrPort{}, fmt.Errorf("the container whose network this one uses: %w", err)
		}
	}
	return address(c, l.Port, l.IP)
}

// self returns what Docker says about the own container.
func (l *Locator) self(ctx context.Context) (container.InspectResponse, error) {
	if l.Container != "" {
		c, err := l.inspect(ctx, l.Container)
		if cerrdefs.IsNotFound(err) {
			return c, misconfigured("--container %q: Docker at %s knows no such container; give the id or name of the one that dockreg runs in", l.Container, l.Host)
		}
		return c, err
	}
	tried := candidates(l.proc, l.name)
	for _, candidate := range tried {
		c, err := l.inspect(ctx, candidate)
		if cerrdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return c, err
		}
		if !strings.HasPrefix(c.ID, candidate) {
			continue // somebody else's, who has that id as a name
		}
		return c, nil
	}
	if len(tried) == 0 {
		return container.InspectResponse{}, misconfigured("can't find out which container this is, or it is none; give --container with its id or name, or --host-port and --ip to do without Docker")
	}
	return container.InspectResponse{}, misconfigured("can't find out which container this is: Docker at %s knows none of %s; give --container with its id or name, or --host-port and --ip to do without Docker", l.Host, ids(tried))
}

func ids(tried []string) string {
	var s []string
	for _, id := range tried {
		s = append(s, fmt.Sprintf("%.12s", id))
	}
	return strings.Join(s, ", ")
}

// inspect asks about one container by its id, the beginning of it, or its name, and
// returns no other's answer. Docker leaves out what doesn't apply; what is read of the
// answer is always there in what inspect returns.
func (l *Locator) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := l.client.ContainerInspect(ctx, id)
	if err != nil {
		return c, l.explain(err)
	}
	return c, check(c, id)
}

// check says what keeps an answer from being used as one about the container id.
func check(c container.InspectResponse, id string) error {
	if c.ContainerJSONBase == nil || c.HostConfig == nil || c.Config == nil || c.NetworkSettings == nil {
		return notYetError("docker's answer about the container is not complete yet")
	}
	if !strings.HasPrefix(c.ID, id) && strings.TrimPrefix(c.Name, "/") != id {
		return fmt.Errorf("docker's answer about container %q is about another one, %.64q with the name %.64q; it is not used", id, c.ID, c.Name)
	}
	return nil
}

// explain adds what a person can do about err.
func (l *Locator) explain(err error) error {
	switch {
	case isTooLong(err):
		return fmt.Errorf("docker at %s answers without an end, so that it can't be Docker; give --docker the address of the engine that runs this container", l.Host)
	case errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EACCES):
		return fmt.Errorf("docker at %s: permission denied; run dockreg as root or in the group that owns the socket", l.Host)
	case client.IsErrConnectionFailed(err) && strings.HasPrefix(l.Host, "tcp://"):
		return fmt.Errorf("docker at %s does not answer", l.Host)
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("docker at %s does not answer; in a container, mount its socket: docker run -v /var/run/docker.sock:/var/run/docker.sock …", l.Host)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("docker at %s did not answer in time", l.Host)
	}
	return fmt.Errorf("inspect container: %w", briefError{err})
}
