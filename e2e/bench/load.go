package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"dockreg/e2e/testbed"
)

const (
	loadRate  = 300 // requests a second
	instances = 3
)

// stops stops and starts one of three instances again and again, under a load from
// a client that follows the keys by a watch and never tries a request twice.
func (b *bench) stops(r registrar, n int) (testbed.Outcome, error) {
	var none testbed.Outcome
	var running [instances]*instance
	defer func() {
		for _, i := range running {
			if i != nil {
				_ = i.Remove()
			}
		}
	}()
	if err := b.present(0); err != nil { // what earlier instances left has lapsed
		return none, err
	}
	for i := range running {
		var err error
		if running[i], err = b.start(r); err != nil {
			return none, err
		}
	}
	if err := b.present(instances); err != nil {
		return none, err
	}
	load := testbed.StartLoad(loadRate, b.keys.Pick)
	for i := range n {
		if err := b.restart(running[i%instances]); err != nil {
			load.Stop()
			return none, err
		}
		if (i+1)%10 == 0 {
			fmt.Fprintf(os.Stderr, "  %d stops ...\n", i+1)
		}
	}
	o := load.Stop()
	for _, f := range o.Failures[:min(len(o.Failures), 20)] {
		fmt.Fprintln(os.Stderr, " ", f)
	}
	return o, nil
}

func (b *bench) restart(i *instance) error {
	if _, err := i.Do("stop"); err != nil {
		return err
	}
	if err := b.present(instances - 1); err != nil {
		return err
	}
	if _, err := i.Do("start"); err != nil {
		return err
	}
	return b.present(instances)
}

func (b *bench) present(n int) error {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	return b.keys.AwaitPresent(ctx, n)
}
