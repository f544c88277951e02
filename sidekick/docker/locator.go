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
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"

	"github.com/docker/docker/api/types/container"

	"dockreg/sidekick"
	"dockreg/sidekick/docker/engine"
)

// Config says which container's which port.
type Config struct {
	Host      string     // Docker's address: unix:///path or tcp://host:port
	Container string     // the own container's id or name; empty: found out
	Port      int        // the app's port inside the container
	IP        netip.Addr // the host IP to register; invalid: the one Docker published on
	UserAgent string
	Log       *slog.Logger // warns of an address that consumers may not be able to dial, when that changes
}

// Locator finds the own container's address.
type Locator struct {
	config   Config
	proc     fs.FS
	hostname string
	doubted  netip.AddrPort // where Docker published what the log warns of
	arrival  atomic.Pointer[[]netip.Addr]
	name     atomic.Pointer[string]
}

// New returns a Locator that has not contacted Docker yet. For tcp:// it heeds
// DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as the docker command does; an error about
// what those say is a *sidekick.PermanentError.
func New(c Config) (*Locator, error) {
	l := &Locator{config: c, proc: os.DirFS("/proc")}
	e, err := l.engine()
	if err != nil { // DOCKER_CERT_PATH, most likely
		return nil, &sidekick.PermanentError{Err: err}
	}
	e.Close()
	if l.hostname, err = os.Hostname(); err != nil {
		return nil, fmt.Errorf("hostname: %w", err)
	}
	return l, nil
}

func (l *Locator) engine() (*engine.Engine, error) {
	return engine.New(engine.Config{Host: l.config.Host, UserAgent: l.config.UserAgent})
}

// Locate asks Docker for the own container's mapping, once, each question within
// 5 s. An error that waiting can't fix is a *sidekick.PermanentError; any other may
// pass by itself. An answer without an address is a *sidekick.NoAddressError too. The
// errors of this package tell the causes apart.
func (l *Locator) Locate(ctx context.Context) (netip.AddrPort, error) {
	// A new one each time: the engine may have been replaced by one that speaks other
	// versions of the API, and certificates renewed.
	e, err := l.engine()
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer e.Close()
	c, err := l.self(ctx, e)
	if err != nil {
		return netip.AddrPort{}, err
	}
	name := strings.TrimPrefix(c.Name, "/") // as Docker has it for the API
	l.name.Store(&name)
	networks, err := engine.Networks(ctx, c, func(ctx context.Context, id string) (container.InspectResponse, error) {
		return inspect(ctx, e, id)
	})
	if err != nil {
		return netip.AddrPort{}, err
	}
	c = networks[len(networks)-1]
	at, on, err := address(c, l.config.Port, l.config.IP)
	if err != nil {
		return netip.AddrPort{}, &sidekick.NoAddressError{Err: err}
	}
	l.doubt(at, on)
	arrival := arrivals(c)
	l.arrival.Store(&arrival)
	return at, nil
}

// Name returns the own container's name, or nothing before Docker has said it. It is safe
// for concurrent use.
func (l *Locator) Name() string {
	if name := l.name.Load(); name != nil {
		return *name
	}
	return ""
}

// doubt warns if at can be dialled only by the grace of something in front of the host.
func (l *Locator) doubt(at, on netip.AddrPort) {
	if engine.Reaches(on.Addr(), at.Addr()) {
		on = netip.AddrPort{}
	} else if on != l.doubted {
		l.config.Log.Warn("the host IP to register is not the one that the port is published on; consumers need something in front that translates it",
			"address", at.String(), "published", on.String())
	}
	l.doubted = on
}

// Arrival returns the IPs inside the container at which the connections of consumers
// arrive, as the latest address was found; none where that can't be told, as in the
// host's network. It is safe for concurrent use.
func (l *Locator) Arrival() []netip.Addr {
	if arrival := l.arrival.Load(); arrival != nil {
		return *arrival
	}
	return nil
}
