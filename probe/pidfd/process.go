package pidfd

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one process that is held on to: its number can't confuse it with a later
// one.
type Process struct{ file *os.File }

// Hold takes hold of the process with that number, as this process's pid namespace has
// it. Who got the number from elsewhere should make sure after Hold that it is still
// that process's. Of one that has ended, and was waited for, the error is ESRCH.
func Hold(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	return &Process{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Adopt takes over a pidfd that came in another way.
func Adopt(fd int) (*Process, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil { // Go's own poller waits for it then
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("set nonblock", err)
	}
	return &Process{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Ended says whether the process has ended. Its parent may not have taken note yet.
func (p *Process) Ended() bool {
	ended := true // what can't be looked at any more is no process to rely on
	if conn, err := p.file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { ended = readable(fd) })
	}
	return ended
}

// Await waits until the process has ended, and returns nil then, or the error of ctx if
// that ends before. It is not safe for concurrent use.
func (p *Process) Await(ctx context.Context) error { return awaitReadable(ctx, p.file, readable) }

// awaitReadable calls ready until it says so, each time that the file may have become
// readable, or returns the error of ctx when that ends. It is not safe for concurrent use.
func awaitReadable(ctx context.Context, file *os.File, ready func(fd uintptr) bool) error {
	_ = file.SetReadDeadline(time.Time{})
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = file.SetReadDeadline(time.Now())
	})
	defer func() {
		if !stop() {
			<-interrupted // or it would interrupt the next one
		}
	}()
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if err = conn.Read(ready); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Close lets go of the process. An Await that is under way ends with an error.
func (p *Process) Close() { _ = p.file.Close() }

func readable(pidfd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(fds, 0); err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}
