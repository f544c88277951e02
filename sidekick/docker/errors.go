package docker

import (
	"errors"
	"fmt"

	"dockreg/sidekick"
	"dockreg/sidekick/docker/engine"
)

// What can be wrong with what Docker says, in the trees of Locate's errors. All but
// ErrNotDocker are in a *sidekick.PermanentError: how the container was started, or
// what Config says, has to change. Each one's text begins the message.
var (
	// ErrNoHostIP says that the port is reachable on every IP of the host, of which
	// Docker names none: it is published so, or the container uses the host's network.
	// Config.IP is missing.
	ErrNoHostIP = errors.New("docker names no host IP that consumers could dial")
	// ErrNotPublished says that Docker publishes other ports of the container, or
	// none, and wasn't asked to publish Config.Port.
	ErrNotPublished = errors.New("the app's port is not published")
	// ErrNotYet says that Docker was asked to publish the port, and hasn't: a moment after
	// the start, or for ever in a network that publishes none. It is in no
	// *sidekick.PermanentError.
	ErrNotYet = errors.New("docker has not published yet")
	// ErrOutOfReach says that the port is published on IPs at which nobody can dial
	// Config.IP: one of the two is a loopback address.
	ErrOutOfReach = errors.New("the app's port is not published on the host IP to register")
	// ErrNoNetwork says that the container has no network, so that no port of it can
	// be published.
	ErrNoNetwork = errors.New("the container has no network")
	// ErrNoSuchContainer says that the engine doesn't know Config.Container.
	ErrNoSuchContainer = errors.New("docker knows no such container")
	// ErrUnknownSelf says that Config.Container is empty, and that neither the files
	// in /proc nor the hostname say which of the engine's containers this is. This
	// process may run in none, or in another engine's.
	ErrUnknownSelf = errors.New("can't find out which container this is")
	// ErrNotDocker says that what is at Config.Host answers without an end.
	ErrNotDocker = engine.ErrNotDocker
)

// permanent is an error that begins with cause, and that waiting can't fix.
func permanent(cause error, format string, args ...any) error {
	return &sidekick.PermanentError{Err: fmt.Errorf("%w: %s", cause, fmt.Sprintf(format, args...))}
}
