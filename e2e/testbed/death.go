package testbed

import (
	"context"
	"fmt"
	"time"

	"dockreg/probe/pidfd"
)

// AwaitDeath delivers when the process with that number ended, or a minute later.
func AwaitDeath(pid int) (<-chan time.Time, error) {
	process, err := pidfd.Hold(pid)
	if err != nil {
		return nil, err
	}
	died := make(chan time.Time, 1)
	go func() {
		defer process.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = process.Await(ctx)
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
