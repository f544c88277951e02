package port

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ends hears it when one of some processes ends, within a millisecond.
type ends struct {
	epoll *os.File // of the processes' pidfds
	fds   []int
}

// openEnds listens for the end of these processes. Those that have ended by then
// are left out. With an error it listens for none.
func openEnds(pids []int) (*ends, error) {
	e := &ends{}
	if err := e.open(pids); err != nil {
		e.close()
		return &ends{}, err
	}
	return e, nil
}

func (e *ends) open(pids []int) error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	// Go's own poller waits for it then, which knows deadlines.
	if err := unix.SetNonblock(epoll, true); err != nil {
		_ = unix.Close(epoll)
		return os.NewSyscallError("set nonblock", err)
	}
	e.epoll = os.NewFile(uintptr(epoll), "epoll")
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return fmt.Errorf("pidfd_open %d: %w", pid, err)
		}
		e.fds = append(e.fds, fd)
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return os.NewSyscallError("epoll_ctl", err)
		}
	}
	return nil
}

// await waits until one ends, for at most d, or until ctx ends. It says whether
// one did; each one counts once.
func (e *ends) await(ctx context.Context, d time.Duration) (ended bool) {
	if len(e.fds) == 0 {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
		return false
	}
	_ = e.epoll.SetReadDeadline(time.Now().Add(d))
	stop := context.AfterFunc(ctx, func() { _ = e.epoll.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := e.epoll.SyscallConn()
	if err != nil {
		return false // closed: nobody does that meanwhile
	}
	var events [16]unix.EpollEvent
	_ = conn.Read(func(epoll uintptr) bool {
		n, _ := unix.EpollWait(int(epoll), events[:], 0)
		for _, ev := range events[:max(n, 0)] {
			_ = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_DEL, int(ev.Fd), nil)
			ended = true
		}
		return ended
	})
	return ended
}

func (e *ends) close() {
	for _, fd := range e.fds {
		_ = unix.Close(fd)
	}
	if e.epoll != nil {
		_ = e.epoll.Close()
	}
}
