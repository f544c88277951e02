// Package pidfd waits for the end of processes that are not this one's children, by
// pidfds: file descriptors that become readable when a process has ended. That shows
// within a millisecond, whoever's the process is, and costs nothing until then.
//
// It needs Linux 5.3, which has pidfd_open(2), and a seccomp profile that allows it,
// as Docker's default one does since 20.10.
package pidfd

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Set is some processes whose end can be waited for.
type Set struct {
	epoll *os.File      // of the pidfds
	pids  map[int32]int // by their pidfd
	ended []int         // that had ended when they were added
}

// Open takes hold of the processes with these numbers, as this process's pid
// namespace has them. From then on a number that is used again is no confusion; who
// got the numbers from elsewhere should make sure after Open that they are still those
// processes'. One that has ended already counts as one that ends, and none at all is a
// set in which none does.
//
// Each process takes a file descriptor. An error, such as ENOSYS on an older kernel or
// EMFILE, is one of the system calls', in the error's tree; nothing is held then.
func Open(pids ...int) (*Set, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Go's own poller waits for it then, which knows deadlines.
	if err := unix.SetNonblock(epoll, true); err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("set nonblock", err)
	}
	s := &Set{epoll: os.NewFile(uintptr(epoll), "epoll"), pids: map[int32]int{}}
	for _, pid := range pids {
		if err := s.add(epoll, pid); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Set) add(epoll, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		s.ended = append(s.ended, pid)
		return nil
	}
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	s.pids[int32(fd)] = pid
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
}

// Await waits until one of the processes ends, and returns its number; each one is
// returned once. When ctx ends before, it returns the error of ctx. It is not safe for
// concurrent use.
//
// A process has ended when its last thread has, whether or not its parent took note.
func (s *Set) Await(ctx context.Context) (pid int, err error) {
	if len(s.ended) > 0 {
		pid, s.ended = s.ended[0], s.ended[1:]
		return pid, nil
	}
	ended := int32(-1)
	err = awaitReadable(ctx, s.epoll, func(epoll uintptr) bool {
		var event [1]unix.EpollEvent
		if n, _ := unix.EpollWait(int(epoll), event[:], 0); n == 1 {
			ended = event[0].Fd
			_ = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_DEL, int(ended), nil)
		}
		return ended >= 0
	})
	if ended >= 0 {
		return s.pids[ended], nil
	}
	return 0, err
}

// Close lets go of the processes. Await must not be called after it.
func (s *Set) Close() {
	for fd := range s.pids {
		_ = unix.Close(int(fd))
	}
	_ = s.epoll.Close()
}
