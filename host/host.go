// Package host is the service of a host: it answers a container what Docker knows about
// that container itself, so that none needs Docker's own socket, and it takes last wills,
// so that the key of a container that was killed is gone at once.
//
// Who asks is known by the kernel's word: whose process opened the connection (caller.go),
// in which cgroups that is, and which container's first process is in the same
// (containers.go). How much one container may ask is in admission.go, what it is told in
// answer.go, and what becomes of its keys in wills.go.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Service is what runs once on each host. Etcd and IPs are for last wills; without Etcd
// it takes none.
type Service struct {
	Engine  Engine
	Version string
	Folder  string // of the socket; empty: nobody can write there
	Log     *slog.Logger

	// Etcd makes a client of etcd's, which nobody else uses.
	Etcd func() Etcd
	// IPs are those at which consumers dial this host, beside those of its interfaces.
	IPs []netip.Addr
	// Metrics, if it is not nil, takes what sidekicks tell of themselves.
	Metrics Metrics

	folder     folder
	containers *containers
	admission  *admission
	refusals   *refusals
	wills      *wills
}

// Serve answers what comes on that socket until ctx ends, and closes it then. Its error
// is of the socket.
func (s *Service) Serve(ctx context.Context, socket *net.UnixListener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.prepare()
	defer s.containers.close()

	var running sync.WaitGroup
	defer running.Wait()
	if s.wills != nil {
		running.Go(func() { s.wills.run(ctx) })
	}
	// Who asks first is not to wait for all the containers that already run.
	running.Go(func() {
		if _, err := s.containers.find(ctx, cgroups{}); err != nil && !errors.Is(err, errNoContainer) && ctx.Err() == nil {
			s.Log.Warn("can't list the containers yet; trying again when one asks", "err", err)
		}
	})
	running.Go(func() {
		<-ctx.Done()
		_ = socket.Close()
	})
	for {
		c, err := s.accept(socket)
		switch {
		case c != nil:
			running.Go(func() { s.serve(ctx, c) })
		case ctx.Err() != nil:
			return nil
		case err != nil && !isPassing(err):
			return fmt.Errorf("accept: %w", err)
		case err != nil: // such as a lack of file descriptors
			s.refusals.unaccepted(time.Now(), err)
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
		}
	}
}

func (s *Service) prepare() {
	if s.containers != nil {
		return
	}
	s.containers, s.admission, s.refusals = newContainers(s.Engine), newAdmission(), newRefusals(s.Log)
	if s.Folder != "" {
		var err error
		if s.folder, err = folderOf(s.Folder); err != nil {
			s.Log.Warn("can't tell who may write to the folder of this service's socket", "folder", s.Folder, "err", err)
		}
	}
	if s.Etcd != nil {
		s.wills = newWills(s.Etcd(), s.Etcd(), s.Log)
		if s.Metrics != nil {
			s.wills.leases.executed = s.Metrics.Executed
		}
	}
}

// acceptPause is after an error that passes.
const acceptPause = 100 * time.Millisecond

// isPassing says whether the next connection may be accepted.
func isPassing(err error) bool {
	for _, passing := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}
