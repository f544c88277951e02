package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/docker/docker/client"
)

// explain adds what a person can do about an error of the operation what.
func (e *Engine) explain(what string, err error) error {
	switch {
	case isTooLong(err):
		return fmt.Errorf("%w: what is at %s answers without an end", ErrNotDocker, e.Host())
	case errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EACCES):
		return fmt.Errorf("docker at %s: permission denied; run dockreg as root or in the group that owns the socket", e.Host())
	case client.IsErrConnectionFailed(err) && strings.HasPrefix(e.Host(), "tcp://"):
		return fmt.Errorf("docker at %s does not answer", e.Host())
	case client.IsErrConnectionFailed(err) || isUnreachable(err):
		if _, err := os.Stat(HostSocket); err == nil && e.Host() != "unix://"+HostSocket {
			return fmt.Errorf("docker at %s does not answer; the socket of dockreg host is here: give --docker %s, or set DOCKREG_DOCKER to it", e.Host(), HostSocket)
		}
		return fmt.Errorf("docker at %s does not answer; in a container, mount %s", e.Host(), mountOf(strings.TrimPrefix(e.Host(), "unix://")))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("docker at %s did not answer in time", e.Host())
	}
	return fmt.Errorf("%s: %w", what, briefError{err})
}

func isUnreachable(err error) bool {
	var dialing *net.OpError
	return errors.As(err, &dialing) && dialing.Op == "dial"
}

// HostSocket is where dockreg host listens by default.
const HostSocket = "/run/dockreg/docker.sock"

// mountOf says how a container gets a socket: Docker's own is on most hosts in a folder with
// much else, and any other in one of its own.
func mountOf(socket string) string {
	if socket == "/var/run/docker.sock" {
		return "its socket: docker run -v /var/run/docker.sock:/var/run/docker.sock …"
	}
	return fmt.Sprintf("the folder of its socket, docker run -v %s:%[1]s:ro …, and have dockreg host run on the host; if it does, its log says whom it refuses", filepath.Dir(socket))
}
