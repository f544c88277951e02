package testbed

import (
	"context"
	"fmt"
	"time"

	"dockreg/probe/pidfd"
)

// AwaitDeath delivers when the process with that number ended, or five minutes later.
func AwaitDeath(pid int) (<-chan time.Time, error) {
	process, err := pidfd.Hold(pid)
	if err != nil {
		return nil, err
	}
	died := make(chan time.Time, 1)
	go func() {
		defer process.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		_ = process.Await(ctx)
		died <- time.Now()
	}()
	return died, nil
}

// Finished returns when the container ended last, by Docker's clock.
func (c *Container) Finished() (time.Time, error) {
	text, err := c.Do("inspect", "--format", "{{.State.FinishedAt}}")
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, text)
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
