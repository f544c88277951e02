package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// commandTimeout bounds one docker command. A stop takes 10 s by itself.
const commandTimeout = time.Minute

// ErrNoDocker says that no Docker engine answers.
var ErrNoDocker = errors.New("no Docker engine answers here")

// Docker is a Docker engine on this machine.
type Docker struct {
	// Gateway is this machine's IP on the engine's default network: containers
	// reach it, and so does this process.
	Gateway string
	host    string // the engine's address; empty: the one that the docker command talks to
}

// FindDocker returns the engine that the docker command talks to.
func FindDocker() (*Docker, error) {
	out, err := docker("", "network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDocker, err)
	}
	local, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, subnet := range strings.Fields(out) {
		_, network, err := net.ParseCIDR(subnet)
		if err != nil {
			return nil, err
		}
		for _, addr := range local {
			if own, ok := addr.(*net.IPNet); ok && network.Contains(own.IP) {
				return &Docker{Gateway: own.IP.String()}, nil
			}
		}
	}
	// It is in a machine of its own, as with Docker Desktop.
	return nil, fmt.Errorf("%w: none of this machine's addresses is on its network, %s", ErrNoDocker, out)
}

// Container is a container that was started here.
type Container struct {
	ID   string
	host string
}

// Run starts a container: docker run -d with these arguments, the image among
// them.
func (d *Docker) Run(args ...string) (*Container, error) {
	id, err := docker(d.host, append([]string{"run", "-d"}, args...)...)
	if err != nil {
		return nil, err
	}
	return &Container{id, d.host}, nil
}

// RunApp starts image, in which supervisord runs an app and dockreg, the way that
// the README has it, with these further arguments of docker run.
func (d *Docker) RunApp(image, etcd string, args ...string) (*Container, error) {
	return d.Run(append(append([]string{
		"-p", "8000", "-v", "/var/run/docker.sock:/var/run/docker.sock",
		"-e", "IP=" + d.Gateway, "-e", "ETCD=" + etcd,
	}, args...), image)...)
}

// RunEntered starts image with dockreg run for its first process, with these further
// arguments of docker run, and these of dockreg run, which end with the app's command.
func (d *Docker) RunEntered(image, etcd string, args []string, entered ...string) (*Container, error) {
	return d.Run(slices.Concat([]string{
		"-p", "8000", "-v", "/var/run/docker.sock:/var/run/docker.sock", "--entrypoint", "dockreg",
		"-e", "DOCKREG_IP=" + d.Gateway, "-e", "DOCKREG_ETCD=" + etcd, "-e", "DOCKREG_PORT=8000",
	}, args, []string{image, "run"}, entered)...)
}

// Address returns where the container's port 8000 is published, on the host IP
// that RunApp registers.
func (d *Docker) Address(c *Container) (string, error) { return d.AddressOf(c, "8000") }

// AddressOf is Address, of another port.
func (d *Docker) AddressOf(c *Container, port string) (string, error) {
	out, err := docker(d.host, "port", c.ID, port+"/tcp")
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(out, "\n")
	_, published, err := net.SplitHostPort(first)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(d.Gateway, published), nil
}

// Exec runs a command in the container and returns what it prints.
func (c *Container) Exec(args ...string) (string, error) {
	return docker(c.host, append([]string{"exec", c.ID}, args...)...)
}

// Signal sends a signal to all of the container's processes of that name, to the
// oldest first, so that a master is gone before it can replace a worker. It returns
// when that was. One of several may have ended by itself meanwhile.
func (c *Container) Signal(signal, process string) (at time.Time, err error) {
	return c.kill(signal, fmt.Sprintf("$(grep -lx %s /proc/[0-9]*/comm | cut -d / -f 3 | sort -n)", process))
}

// SignalFirst is Signal for the container's first process.
func (c *Container) SignalFirst(signal string) (at time.Time, err error) { return c.kill(signal, "1") }

func (c *Container) kill(signal, pids string) (at time.Time, err error) {
	out, err := c.Exec("sh", "-c", fmt.Sprintf(
		"pids=%s; date +%%s%%N; for pid in $pids; do kill -%s $pid && one=1; done; test $one", pids, signal))
	if err != nil {
		return at, err
	}
	nanoseconds, err := strconv.ParseInt(out, 10, 64)
	return time.Unix(0, nanoseconds), err
}

// Do runs docker stop, restart, kill or another command on the container.
func (c *Container) Do(verb string, args ...string) (string, error) {
	return docker(c.host, append(append([]string{verb}, args...), c.ID)...)
}

// Logs returns what the container has logged, each line with its time.
func (c *Container) Logs() (string, error) { return docker(c.host, "logs", "-t", c.ID) }

// LoggedAt returns when the first line of logs with these words was logged.
func LoggedAt(logs, words string) (time.Time, error) {
	for line := range strings.Lines(logs) {
		if stamp, rest, ok := strings.Cut(line, " "); ok && strings.Contains(rest, words) {
			return time.Parse(time.RFC3339Nano, stamp)
		}
	}
	return time.Time{}, fmt.Errorf("nobody logged %q", words)
}

// Remove ends the container, whatever its state. An engine that is busy gives up after 10 s on
// a container that it has killed, and is asked again.
func (c *Container) Remove() error {
	_, err := docker(c.host, "rm", "-f", "-v", c.ID)
	for try := 0; err != nil && !strings.Contains(err.Error(), "No such container") && try < 3; try++ {
		time.Sleep(time.Second)
		_, again := docker(c.host, "rm", "-f", "-v", c.ID)
		if again == nil || strings.Contains(again.Error(), "No such container") { // it was, meanwhile
			return nil
		}
		err = errors.Join(err, again)
	}
	return err
}

func docker(host string, args ...string) (string, error) {
	return dockerWithin(commandTimeout, host, args...)
}

func dockerWithin(timeout time.Duration, host string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	if host != "" {
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+host)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	if args[0] == "logs" { // on either stream, as the container has it
		return strings.TrimSpace(stdout.String() + stderr.String()), nil
	}
	return strings.TrimSpace(stdout.String()), nil
}
