// Package docker finds out, from Docker, at which host IP and port the container
// that this process runs in is reachable.
//
// It asks for /_ping and /containers/{id}/json alone, about its own container
// alone, so that something much smaller than Docker's socket can answer it.
package docker

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
)

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
	config   Config
	engine   *engine
	proc     fs.FS
	hostname string
}

// New returns a Locator that has not contacted Docker yet. For tcp:// it heeds
// DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as the docker command does; an error about
// what those say is a *sidekick.PermanentError.
func New(c Config) (*Locator, error) {
	e, err := newEngine(c.Host, c.UserAgent)
	if err != nil {
		return nil, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("hostname: %w", err)
	}
	return &Locator{config: c, engine: e, proc: os.DirFS("/proc"), hostname: hostname}, nil
}

// Locate asks Docker for the own container's mapping, once, each question within
// 5 s. An error that waiting can't fix is a *sidekick.PermanentError; any other may
// pass by itself. The errors of this package tell the causes apart.
func (l *Locator) Locate(ctx context.Context) (netip.AddrPort, error) {
	c, err := l.self(ctx)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if c, err = l.networkOf(ctx, c); err != nil {
		return netip.AddrPort{}, err
	}
	return address(c, l.config.Port, l.config.IP)
}
