package host

import (
	"net"
	"sync"
	"time"
)

// conn is a connection, with who opened it.
type conn struct {
	*net.UnixConn
	caller *caller
	share  string // of the admission
	once   sync.Once
	left   func()
}

// accept returns the next connection, or nil if it was not admitted.
func (s *Service) accept(socket *net.UnixListener) (*conn, error) {
	accepted, err := socket.AcceptUnix()
	if err != nil {
		return nil, err
	}
	c := s.admit(accepted, time.Now())
	if c == nil {
		_ = accepted.Close()
	}
	return c, nil
}

// admit finds out who opened a connection, and whether it has room.
func (s *Service) admit(accepted *net.UnixConn, now time.Time) *conn {
	who, err := callerOf(accepted, now, s.containers.cgroupsOf)
	if err != nil {
		// Nothing is known of it that it could not choose.
		s.refusals.refused("unknown", now, err)
		return nil
	}
	share := who.cgroups.String()
	if first, err := s.containers.known(who.cgroups); err == nil {
		share = first.container
	}
	if err := s.admission.enter(share, now); err != nil {
		s.refusals.refused(share, now, err, "pid", who.pid)
		who.process.Close()
		return nil
	}
	return &conn{UnixConn: accepted, caller: who, share: share, left: func() {
		s.admission.leave(share)
		who.process.Close()
	}}
}

// Close lets go of the caller, too.
func (c *conn) Close() error {
	err := c.UnixConn.Close()
	c.once.Do(c.left)
	return err
}
