// Package engine asks a Docker engine about containers, with bounds on how long it takes
// and on how much it says.
package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

const (
	// Timeout bounds one question to Docker. An engine that is busy starting many
	// containers can take seconds.
	Timeout = 5 * time.Second
	// MaxAnswer bounds what Docker says about a container, which is some 10 KB, and of
	// an error's text its client reads 1 MiB.
	MaxAnswer = 2 << 20
	// maxHeaders bounds its headers, which take several times their length in memory.
	maxHeaders = 64 << 10
	// MaxMessage bounds what is shown of a text that Docker sent.
	MaxMessage = 300
)

var (
	// ErrNotDocker says that what is there answers without an end.
	ErrNotDocker = errors.New("not a Docker engine")
	// ErrAnother says that the answer is about another container than the one that was
	// asked about.
	ErrAnother = errors.New("another one")
)

// Config says which engine.
type Config struct {
	Host      string // unix:///path or tcp://host:port
	UserAgent string
	MaxAnswer int64 // in bytes; 0: MaxAnswer
}

// Engine is a Docker engine, or what stands in for one.
//
// It has no field for Docker's client: an interface that holds an Engine would make the
// linker keep all of that client's methods, for reflection, which are 500 KB [measured].
type Engine struct {
	config Config

	mu  sync.Mutex
	now *session
}

// session is a client of Docker's, which settles once on a version of the API, and later
// on older ones alone: an engine that was replaced may take none of those.
type session struct {
	inspect func(ctx context.Context, id string) (container.InspectResponse, error)
	list    func(ctx context.Context) (*http.Response, error)
	close   func() error
}

// New returns an Engine that has not been contacted yet. For tcp:// it heeds
// DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as the docker command does, and an error is
// about what those say.
func New(c Config) (*Engine, error) {
	made, err := connect(c)
	if err != nil {
		return nil, fmt.Errorf("docker at %s: %w", c.Host, err)
	}
	return &Engine{config: c, now: made}, nil
}

func connect(c Config) (*session, error) {
	host := c.Host
	opts := []client.Opt{
		client.WithHost(host),
		client.WithUserAgent(c.UserAgent),
		client.WithAPIVersionNegotiation(), // engines 20.10 (API 1.41) to 29 (1.44 at least)
		bound(cmp.Or(c.MaxAnswer, MaxAnswer)),
	}
	if strings.HasPrefix(host, "tcp://") {
		// Docker's client would speak plainly then.
		if os.Getenv(client.EnvTLSVerify) != "" && os.Getenv(client.EnvOverrideCertPath) == "" {
			return nil, fmt.Errorf("%s asks for TLS, and %s does not say in which folder ca.pem, cert.pem and key.pem are", client.EnvTLSVerify, client.EnvOverrideCertPath)
		}
		opts = append([]client.Opt{client.WithTLSClientConfigFromEnv()}, opts...)
	}
	made, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, err
	}
	return &session{made.ContainerInspect, func(ctx context.Context) (*http.Response, error) { return list(ctx, made) }, made.Close}, nil
}

// Close ends the connections that wait for the next question.
func (e *Engine) Close() { _ = e.session().close() }

// Host is the engine's address.
func (e *Engine) Host() string { return e.config.Host }

func (e *Engine) session() *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// renew puts another session in the place of a former one, unless somebody has.
func (e *Engine) renew(former *session) (*session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.now == former {
		made, err := connect(e.config)
		if err != nil {
			return nil, err
		}
		_ = former.close()
		e.now = made
	}
	return e.now, nil
}

// Running returns the ids of the containers that run. It asks at sockets alone.
func (e *Engine) Running(ctx context.Context) (ids []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	answer, err := e.session().list(ctx)
	if err != nil {
		return nil, e.explain("list containers", err)
	}
	defer func() { _ = answer.Body.Close() }()
	var found []struct {
		ID string `json:"Id"`
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("list containers: docker at %s answers %s", e.Host(), answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return nil, e.explain("list containers", err)
	}
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids, nil
}

// list asks for what runs. Docker's client would read much more about each container. The
// answer's part that is read is the same in every version of the API, and so none is named.
func list(ctx context.Context, c *client.Client) (*http.Response, error) {
	const url = "http://" + client.DummyHost + "/containers/json"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return c.HTTPClient().Do(request)
}

// Inspect asks about one container by its id, the beginning of it, or its name, and
// returns no other's answer. Docker leaves out what doesn't apply; what is read of the
// answer is always there in what Inspect returns.
//
// An error that errdefs.IsNotFound says that there is no such container, and ErrAnother
// that the answer is of no use.
func (e *Engine) Inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	asked := e.session()
	c, err := asked.inspect(ctx, id)
	if cerrdefs.IsInvalidArgument(err) { // the version of the API, which another engine takes
		if asked, err = e.renew(asked); err == nil {
			c, err = asked.inspect(ctx, id)
		}
	}
	if err != nil {
		return c, e.explain("inspect container", err)
	}
	return c, Usable(c, id)
}

// Usable says what keeps an answer from being used as one about the container id.
func Usable(c container.InspectResponse, id string) error {
	if c.ContainerJSONBase == nil || c.HostConfig == nil || c.Config == nil || c.NetworkSettings == nil {
		return errors.New("docker's answer about the container is not complete yet")
	}
	if !strings.HasPrefix(c.ID, id) && strings.TrimPrefix(c.Name, "/") != id {
		return fmt.Errorf("docker's answer about container %q is about %w, %.64q with the name %.64q; it is not used", id, ErrAnother, c.ID, c.Name)
	}
	return nil
}

var errTooLong = errors.New("the answer is too long")

// bound makes reading an answer of more bytes fail with an error that isTooLong, because
// Docker's client reads it into memory, however long it is. It comes after the options
// that choose how to dial.
func bound(most int64) client.Opt {
	return func(c *client.Client) error { return boundAnswers(c, most) }
}

func boundAnswers(c *client.Client, most int64) error {
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
		return &boundConn{Conn: conn, most: most}, nil
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
	most int64
	read atomic.Int64
}

func (c *boundConn) Write(b []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(b)
}

func (c *boundConn) Read(b []byte) (int, error) {
	if c.read.Load() >= c.most {
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
	if len(text) <= MaxMessage {
		return text
	}
	return text[:MaxMessage] + " …"
}

func (e briefError) Unwrap() error { return e.error }
