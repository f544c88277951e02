package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg/etcd"
	"dockreg/host"
	"dockreg/metrics"
	"dockreg/settings"
	"dockreg/sidekick/docker/engine"
)

// maxList bounds what Docker says about all the containers that run: some KB each.
const maxList = 64 << 20

// etcdPatience is how long an etcd is waited for that answers, but late.
const etcdPatience = 2 * etcd.Timeout

// hostCommand is the service of a host, until a signal asks it to stop.
func hostCommand(stderr io.Writer) *cli.Command {
	set := &settings.Set{}
	what, logs := set.Host(), set.Log()
	return &cli.Command{
		Name:               "host",
		Usage:              "answer containers about themselves, and take their last wills",
		CustomHelpTemplate: hostHelp,
		Flags:              set.Flags(),
		OnUsageError:       set.OnUsageError,
		Action: func(c *cli.Context) error {
			if err := set.Read(c); err != nil {
				return err
			}
			docker := what.Docker()
			etcdConfig, takesWills := what.Etcd()
			if err := set.Err(); err != nil {
				return err
			}
			log, flush := startLog(logs, stderr)
			defer flush()
			e, err := engine.New(engine.Config{Host: docker, UserAgent: "dockreg/" + version, MaxAnswer: maxList})
			if err != nil {
				return settings.Mistakes{err.Error()}
			}
			defer e.Close()
			service := &host.Service{Engine: e, Version: version, Folder: filepath.Dir(what.Listen()), Log: log, IPs: what.IPs()}
			if takesWills {
				etcdConfig.Log, etcdConfig.Patience = log, etcdPatience
				service.Etcd = func() host.Etcd { return etcd.New(etcdConfig) }
			}
			socket, err := listen(c.Context, what.Listen())
			if err != nil {
				return err
			}
			attrs := []any{"version", version, "listen", what.Listen(), "docker", docker}
			if takesWills {
				attrs = append(attrs, "etcd", membersOf(etcdConfig))
			}
			if address := what.Metrics(); address != "" {
				counts := metrics.NewHost(version, commit)
				served, err := counts.Serve(c.Context, address)
				if err != nil {
					_ = socket.Close()
					return err
				}
				defer served.Close()
				service.Metrics = counts
				attrs = append(attrs, "metrics", address)
			}
			ctx, _, release := onSignals(c.Context, nil, log)
			defer release()
			log.Info("starting", attrs...)
			if !takesWills {
				log.Info("no last wills are taken, without --etcd")
			}
			return service.Serve(ctx, socket)
		},
	}
}

// listen makes the socket, in the place of one that an earlier service left. Everybody may
// open it: what they are told depends on who they are.
func listen(ctx context.Context, path string) (*net.UnixListener, error) {
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("listen: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("listen: %s is there, and is no socket; remove it, or give --listen another path", path)
	default:
		dialCtx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if conn, err := (&net.Dialer{}).DialContext(dialCtx, "unix", path); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("listen: somebody listens at %s already; stop that first, or give --listen another path", path)
		} else if !errors.Is(err, syscall.ECONNREFUSED) { // one that is busy is no dead one
			return nil, fmt.Errorf("listen: is somebody there already? %w", err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		err = os.Chmod(path, 0o666) //nolint:gosec // the kernel says who comes
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return socket, nil
}

// makeFolder makes the socket's folder, which containers mount, whoever runs in them and
// whatever the umask is. One that is there keeps its mode.
func makeFolder(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // see above
		return err
	}
	return os.Chmod(path, 0o755) //nolint:gosec // see above
}
