package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// What is measured in each round, by its row's name.
const (
	rowStart = "app listens → key"
	rowCrash = "app crashes → key gone"
	rowHang  = "app hangs → key gone"
	rowTerm  = "registrar gets TERM → key gone"
	rowStop  = "`docker stop` → key gone"
	rowSpare = "key gone → app gets TERM"
	rowKill  = "container killed → key gone"
	rowWill  = "container killed → key gone, with `dockreg host`"
	rowDeath = "its first process dies → key gone, with `dockreg host`"
	rowWrong = "registered while the app does not answer: a start, a crash, a hang and a stop"
)

// slowStart makes an app that is down for longer than the interval after its crash:
// else it might be back before the loop has looked.
const slowStart = "START_DELAY=6"

// events measures each event n times for each registrar. The registrars' containers
// run beside each other, so that both meet the same machine.
func (b *bench) events(n int, d *document) error {
	for round := range n {
		fmt.Fprintf(os.Stderr, "round %d of %d ...\n", round+1, n)
		var group sync.WaitGroup
		errs := make([]error, len(registrars))
		for i, r := range registrars {
			group.Go(func() { errs[i] = b.round(r, d) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// round measures each event once.
func (b *bench) round(r registrar, d *document) error {
	var running [5]*instance
	defer func() {
		for _, i := range running {
			if i != nil {
				_ = i.Remove()
			}
		}
	}()
	for i := range running {
		var args []string
		if i == 0 {
			args = []string{"-e", slowStart}
		}
		var err error
		if running[i], err = b.start(r, args...); err != nil {
			return err
		}
	}
	slow, hung, term, stop, kill := running[0], running[1], running[2], running[3], running[4]
	for _, i := range running[1:] {
		if _, err := i.put(); err != nil {
			return err
		}
	}

	// The two that take long wait beside the others.
	var group sync.WaitGroup
	var killErr, hangErr error
	group.Go(func() {
		at := time.Now()
		if _, killErr = kill.Do("kill"); killErr == nil {
			_, killErr = d.note(rowKill, r, kill, at)
		}
	})
	hangAt, err := hung.Signal("STOP", "node")
	if err != nil {
		return err
	}
	var hangTook time.Duration
	group.Go(func() { hangTook, hangErr = d.note(rowHang, r, hung, hangAt) })

	termAt, err := term.terminate(r)
	if err != nil {
		return err
	}
	if _, err := d.note(rowTerm, r, term, termAt); err != nil {
		return err
	}
	late, err := b.stop(r, d, stop)
	if err != nil {
		return err
	}
	early, crash, err := b.crash(r, d, slow)
	if err != nil {
		return err
	}
	group.Wait()
	d.add(rowWrong, r, late+early+crash+hangTook)
	return errors.Join(killErr, hangErr)
}

// terminate sends TERM to the registrar alone. It returns when.
func (i *instance) terminate(r registrar) (time.Time, error) {
	if r.conf == "" {
		return i.SignalFirst("TERM")
	}
	return i.Signal("TERM", r.comm)
}

// stop measures docker stop. It returns for how long the key outlived the app.
func (b *bench) stop(r registrar, d *document, i *instance) (late time.Duration, err error) {
	at := time.Now()
	if _, err := i.Do("stop"); err != nil {
		return 0, err
	}
	took, err := d.note(rowStop, r, i, at)
	if err != nil {
		return 0, err
	}
	appStops, err := i.logged("the app stops")
	if err != nil {
		return 0, err
	}
	spare := appStops.Sub(at.Add(took))
	d.add(rowSpare, r, spare)
	return max(0, -spare), nil
}

// crash measures a start and a crash. It returns for how long the key was there
// before the app listened, and after it crashed.
func (b *bench) crash(r registrar, d *document, i *instance) (early, took time.Duration, err error) {
	put, err := i.put()
	if err != nil {
		return 0, 0, err
	}
	listens, err := i.logged("the app listens")
	if err != nil {
		return 0, 0, err
	}
	d.add(rowStart, r, put.Sub(listens))
	at, err := i.Signal("KILL", "node")
	if err != nil {
		return 0, 0, err
	}
	took, err = d.note(rowCrash, r, i, at)
	return max(0, listens.Sub(put)), took, err
}
