package host

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/probe/pidfd"
)

// caller is the process that opened a connection.
type caller struct {
	pid     int
	process *pidfd.Process
	cgroups cgroups // as they were at that time
}

var (
	errUnseen = errors.New("the caller's process is not to be seen from here; run the service in the host's pid namespace: --pid=host")
	errEnded  = errors.New("the process that opened the connection has ended")
	errYoung  = errors.New("the caller's process has only just started, and before Linux 6.5 can't be told from an earlier one with its number; ask again in a second")
)

// callerOf says who opened a connection: by the kernel's word, as it was at that time
// (unix(7), SO_PEERCRED and SO_PEERPIDFD).
func callerOf(conn *net.UnixConn, now time.Time, cgroupsOf func(pid int) (cgroups, error)) (*caller, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var (
		cred    *unix.Ucred
		credErr error
		fd      int
		fdErr   error
	)
	if err := raw.Control(func(s uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(s), unix.SOL_SOCKET, unix.SO_PEERCRED)
		fd, fdErr = unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	}); err != nil {
		return nil, err
	}
	if credErr != nil {
		err = os.NewSyscallError("SO_PEERCRED", credErr)
	} else if cred.Pid <= 0 {
		err = errUnseen
	}
	if err != nil {
		if fdErr == nil {
			_ = unix.Close(fd)
		}
		return nil, err
	}
	var process *pidfd.Process
	switch {
	case fdErr == nil:
		process, err = pidfd.Adopt(fd)
	case errors.Is(fdErr, unix.ENOPROTOOPT):
		process, err = holdOld(int(cred.Pid), now)
	case errors.Is(fdErr, unix.EINVAL), errors.Is(fdErr, unix.ESRCH): // it was waited for
		err = errEnded
	default:
		err = os.NewSyscallError("SO_PEERPIDFD", fdErr)
	}
	if err != nil {
		return nil, err
	}
	c := &caller{pid: int(cred.Pid), process: process}
	if c.cgroups, err = c.look(cgroupsOf); err != nil {
		process.Close()
		return nil, err
	}
	return c, nil
}

// look reads the caller's cgroups. Behind that the process still has to be there, or
// they may have been another's.
func (c *caller) look(cgroupsOf func(pid int) (cgroups, error)) (cgroups, error) {
	found, err := cgroupsOf(c.pid)
	if c.process.Ended() {
		return nil, errEnded
	}
	return found, err
}

// oldEnough is how long a process must have had its number before a connection of it is
// accepted, where the kernel doesn't hold on to who opened that: longer than connections
// wait for being accepted.
const oldEnough = time.Second

// holdOld takes hold of the process with that number, if it had the number when a
// connection that was accepted now was opened.
func holdOld(pid int, now time.Time) (*pidfd.Process, error) {
	process, err := pidfd.Hold(pid)
	if errors.Is(err, unix.ESRCH) {
		return nil, errEnded
	}
	if err != nil {
		return nil, err
	}
	age, err := ageOf(pid, now)
	if err == nil && age < oldEnough {
		err = errYoung
	}
	if err == nil && process.Ended() { // or the age may have been another's
		err = errEnded
	}
	if err != nil {
		process.Close()
		return nil, err
	}
	return process, nil
}

// ticks is how many the kernel counts in a second where it tells of processes: the same
// on every architecture that Go knows.
const ticks = 100

// ageOf says how long ago a process started (proc(5), the 22nd field of stat).
func ageOf(pid int, now time.Time) (time.Duration, error) {
	stat, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	started, err := strconv.ParseInt(stat[19], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the start of process %d: %w", pid, err)
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(up.Nano()) - time.Since(now) - afterBoot(started), nil
}

// afterBoot returns a number of ticks as a time. Multiplied by a second, those of three years
// would be more than that holds.
func afterBoot(started int64) time.Duration { return time.Duration(started) * (time.Second / ticks) }
