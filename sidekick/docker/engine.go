package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"dockreg/sidekick"
)

const (
	// askTimeout bounds one question to Docker. An engine that is busy starting many
	// containers can take seconds.
	askTimeout = 5 * time.Second
	// maxAnswer bounds one answer. What Docker says about a container is some 10 KB,
	// and of an error's text its client reads 1 MiB.
	maxAnswer = 2 << 20
	// maxHeaders bounds its headers, which take several times their length in memory.
	maxHeaders = 64 << 10
	// maxMessage bounds what is shown of a text that Docker sent.
	maxMessage = 300
)

// engine is a Docker engine, or what stands in for one.
type engine struct {
	host   string
	client *client.Client
}

func newEngine(host, agent string) (*engine, error) {
	opts := []client.Opt{
		client.WithHost(host),
		client.WithUserAgent(agent),
		client.WithAPIVersionNegotiation(), // engines 20.10 (API 1.41) to 29 (1.44 at least)
		bound,
	}
	if strings.HasPrefix(host, "tcp://") {
		// Docker's client would speak plainly then.
		if os.Getenv(client.EnvTLSVerify) != "" && os.Getenv(client.EnvOverrideCertPath) == "" {
			return nil, fmt.Errorf("docker at %s: %s asks for TLS, and %s does not say in which folder ca.pem, cert.pem and key.pem are", host, client.EnvTLSVerify, client.EnvOverrideCertPath)
		}
		opts = append([]client.Opt{client.WithTLSClientConfigFromEnv()}, opts...)
	}
	c, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker at %s: %w", host, err)
	}
	return &engine{host, c}, nil
}

func (e *engine) close() { _ = e.client.Close() }

// inspect asks about one container by its id, the beginning of it, or its name, and
// returns no other's answer. Docker leaves out what doesn't apply; what is read of the
// answer is always there in what inspect returns.
func (e *engine) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := e.client.ContainerInspect(ctx, id)
	if err != nil {
		return c, e.explain(err)
	}
	return c, usable(c, id)
}

// usable says what keeps an answer from being used as one about the container id.
func usable(c container.InspectResponse, id string) error {
	if c.ContainerJSONBase == nil || c.HostConfig == nil || c.Config == nil || c.NetworkSettings == nil {
		return errors.New("docker's answer about the container is not complete yet")
	}
	if !strings.HasPrefix(c.ID, id) && strings.TrimPrefix(c.Name, "/") != id {
		return &sidekick.NoAddressError{Err: fmt.Errorf("docker's answer about container %q is about another one, %.64q with the name %.64q; it is not used", id, c.ID, c.Name)}
	}
	return nil
}

// explain adds what a person can do about err.
func (e *engine) explain(err error) error {
	switch {
	case isTooLong(err):
		return fmt.Errorf("%w: what is at %s answers without an end", ErrNotDocker, e.host)
	case errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EACCES):
		return fmt.Errorf("docker at %s: permission denied; run dockreg as root or in the group that owns the socket", e.host)
	case client.IsErrConnectionFailed(err) && strings.HasPrefix(e.host, "tcp://"):
		return fmt.Errorf("docker at %s does not answer", e.host)
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("docker at %s does not answer; in a container, mount its socket: docker run -v /var/run/docker.sock:/var/run/docker.sock …", e.host)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("docker at %s did not answer in time", e.host)
	}
	return fmt.Errorf("inspect container: %w", briefError{err})
}

var errTooLong = errors.New("the answer is too long")

// bound makes reading an answer fail with an error that isTooLong, because Docker's
// client reads it into memory, however long it is. It comes after the options that
// choose how to dial.
func bound(c *client.Client) error {
	transport, ok := c.HTTPClient().Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("cannot bound the answers of %T", c.HTTPClient().Transport)
	}
	transport.Proxy = nil               // whatever the environment says: no proxy knows this network better
	transport.DisableCompression = true // a few bytes could be an endless answer
	transport.MaxResponseHeaderBytes = maxHeaders
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &boundConn{Conn: conn}, nil
	}
	return nil
}

func isTooLong(err error) bool {
	return errors.Is(err, errTooLong) ||
		strings.Contains(err.Error(), "response headers exceeded") // http has no name for it
}

// boundConn is a connection on which every request begins to count anew.
type boundConn struct {
	net.Conn
	read atomic.Int64
}

func (c *boundConn) Write(b []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(b)
}

func (c *boundConn) Read(b []byte) (int, error) {
	if c.read.Load() >= maxAnswer {
		return 0, errTooLong
	}
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// briefError is an error with a text that may be long.
type briefError struct{ error }

func (e briefError) Error() string {
	text := e.error.Error()
	if len(text) <= maxMessage {
		return text
	}
	return text[:maxMessage] + " …"
}

func (e briefError) Unwrap() error { return e.error }
