package main

import (
	"fmt"
	"os"
	"time"

	"dockreg/e2e/testbed"
)

// kills measures n times the end of a container whose last will the host's service has,
// with nothing beside: most of that time is Docker's, and shorter than what the rounds
// beside each other take from each other.
func (b *bench) kills(n int, d *document) error {
	folder, stop, err := b.startHost()
	if err != nil {
		return err
	}
	defer stop()
	for i := range n {
		fmt.Fprintf(os.Stderr, "kill %d of %d ...\n", i+1, n)
		for _, r := range registrars {
			if !r.hasWill {
				continue
			}
			if err := b.kill(folder, r, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// startHost runs the host's service, from the image, and returns what ends it.
func (b *bench) startHost() (folder string, stop func(), err error) {
	if folder, err = os.MkdirTemp("", "host"); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // containers mount it
		return "", nil, err
	}
	c, err := b.docker.Run("--pid", "host", "--cgroupns", "host", "--network", "host", "--read-only", "--cap-drop", "ALL", "--no-healthcheck",
		"-v", folder+":"+folder, "-v", "/var/run/docker.sock:/var/run/docker.sock",
		"--entrypoint", "dockreg", b.image, "host", "--listen", folder+"/docker.sock", "--etcd", b.etcd.URL)
	if err != nil {
		return "", nil, err
	}
	return folder, func() {
		_ = c.Remove()
		_ = os.RemoveAll(folder)
	}, nil
}

func (b *bench) kill(folder string, r registrar, d *document) error {
	i, err := b.start(r, "-v", folder+":/run/dockreg:ro", "-e", "DOCKREG_DOCKER=/run/dockreg/docker.sock", "-e", "DOCKREG_LOG_LEVEL=debug")
	if err != nil {
		return err
	}
	defer func() { _ = i.Remove() }()
	if _, err := i.put(); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // nobody tells
		if _, err = i.logged("has the last will"); err == nil {
			break
		}
		if time.Now().After(end) {
			return err
		}
	}
	first, err := i.First()
	if err != nil {
		return err
	}
	died, err := testbed.AwaitDeath(first)
	if err != nil {
		return err
	}
	at := time.Now()
	if _, err := i.Do("kill"); err != nil {
		return err
	}
	took, err := d.note(rowWill, r, i, at)
	if err != nil {
		return err
	}
	d.add(rowDeath, r, max(0, took-(<-died).Sub(at)))
	return nil
}
