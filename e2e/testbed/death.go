package testbed

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitDeath delivers when the process with that number ended, or a minute later.
func AwaitDeath(pid int) (<-chan time.Time, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	died := make(chan time.Time, 1)
	go func() {
		defer func() { _ = unix.Close(fd) }()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000); n > 0 {
				break
			}
		}
		died <- time.Now()
	}()
	return died, nil
}

// First returns the container's first process, by its number on this machine.
func (c *Container) First() (pid int, err error) {
	text, err := c.Do("inspect", "--format", "{{.State.Pid}}")
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(text, &pid)
	return pid, err
}
