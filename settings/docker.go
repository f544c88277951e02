package settings

import (
	"errors"
	"net"
	"os"
	"regexp"
	"strings"

	"dockreg/sidekick/docker"
)

const dockerHost = "DOCKER_HOST"

// Docker says where Docker is.
type Docker struct {
	address *Setting[string]
}

// Docker adds the settings of how to talk to Docker.
func (s *Set) Docker() *Docker {
	s.advise(docker.ErrNotDocker, "give --docker the address of the engine that runs this container")
	address := define(groupContainer, "docker", "ADDR", "/var/run/docker.sock", "Docker: a path, unix:///path or tcp://host:port; DOCKER_HOST\ntoo says so", dockerHost)
	return &Docker{add(s, address, parseDocker)}
}

// unless leaves what the command line doesn't say unread where that is given: DOCKER_HOST
// is there for others too, and nobody cares what is at the default.
func (d *Docker) unless(that *setting) {
	read := d.address.parse
	d.address.parse = func() {
		if that.isGiven() && (!d.address.isGiven() || d.address.label() == dockerHost) {
			d.address.shown = "not asked"
			return
		}
		read()
	}
}

// unasked notes that Docker was given, and nobody asks it: an app without a port has none that
// Docker publishes. DOCKER_HOST is there for others too.
func (d *Docker) unasked() {
	if d.address.isGiven() && d.address.label() != dockerHost && !d.address.wrong {
		d.address.blamef("an app without a port has nothing to ask Docker for; give --port too, or leave this away")
	}
}

// Host is Docker's address as a URL.
func (d *Docker) Host() string { return d.address.Value }

func parseDocker(text string) (string, error) {
	const fix = "give a path, unix:///path or tcp://host:port"
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "unix", text
	}
	switch scheme {
	case "tcp":
		if host, port, err := net.SplitHostPort(rest); err != nil || host == "" || strings.Contains(host, "@") || !isPort(port) {
			return "", quotef(redact(text), "no host and port after tcp://; %s", fix)
		}
	case "unix":
		if !strings.HasPrefix(rest, "/") {
			return "", errors.New("not an absolute path; " + fix)
		}
		// A path where nothing is may get its socket later.
		info, _ := os.Stat(rest)
		switch {
		case info == nil:
		case info.IsDir():
			return "", errors.New("a folder, not a socket; docker run -v makes one where the host has no such file: mount the socket, and give its path")
		case info.Mode().Type() != os.ModeSocket:
			return "", errors.New("a file, not a socket; give the path of Docker's socket")
		}
	default:
		return "", quotef(redact(text), "can't talk to Docker by %s://; %s", redact(scheme), fix)
	}
	return scheme + "://" + rest, nil
}

// containerName is what Docker takes as a container's name, of two characters or
// more; an id is one too.
var containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func parseContainer(text string) (string, error) {
	if !containerName.MatchString(text) {
		return "", errors.New("not a container's id or name; give what docker ps shows")
	}
	return text, nil
}
