package main

import (
	"fmt"
	"strconv"
	"time"

	"dockreg/e2e/testbed"
)

// container is an instance as it is meant to be: in a container, both programs under
// supervisord, or the app entered by dockreg run.
type container struct {
	docker  *testbed.Docker
	image   string
	entered bool
	running *testbed.Container
}

func (c *container) Start(etcdURL string) (string, error) {
	delay := []string{"-e", "START_DELAY=" + strconv.Itoa(int(startDelay.Seconds()))}
	var running *testbed.Container
	var err error
	if c.entered {
		running, err = c.docker.RunEntered(c.image, etcdURL, delay, "--restart", "on-failure", "--", "node", "/srv/app.js")
	} else {
		running, err = c.docker.RunApp(c.image, etcdURL, delay...)
	}
	if err != nil {
		return "", err
	}
	c.running = running
	return c.docker.Address(running)
}

func (c *container) Crash() (time.Time, error) { return c.running.Signal("KILL", "node") }

func (c *container) Stop() error {
	_, err := c.running.Do("stop")
	return err
}

func (c *container) Stopping() string { return "docker stop" }

func (c *container) Remove() error {
	if c.running == nil {
		return nil
	}
	return c.running.Remove()
}

func (c *container) String() string { return fmt.Sprintf("docker logs -f %.12s", c.running.ID) }
