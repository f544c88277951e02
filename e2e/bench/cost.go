package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cost is what an idle registration costs.
type cost struct {
	cpu              time.Duration // a minute
	rss, peak        int           // bytes
	size             int           // bytes of its files
	writes, requests float64       // to etcd, a minute
}

func (b *bench) cost(r registrar, idle time.Duration) (c cost, err error) {
	if err := b.present(0); err != nil { // an old lease that ends is a write, too
		return c, err
	}
	i, err := b.start(r)
	if err != nil {
		return c, err
	}
	defer func() { _ = i.Remove() }()
	if _, err := i.put(); err != nil {
		return c, err
	}
	if c.size, err = i.size(r.parts); err != nil {
		return c, err
	}
	before, err := i.counters(r)
	if err != nil {
		return c, err
	}
	start := time.Now()
	select {
	case <-time.After(idle):
	case <-b.ctx.Done():
		return c, b.ctx.Err()
	}
	after, err := i.counters(r)
	if err != nil {
		return c, err
	}
	minutes := time.Since(start).Minutes()
	if c.rss, c.peak, err = i.memory(r); err != nil {
		return c, err
	}
	c.cpu = time.Duration(float64(after.cpu-before.cpu) / minutes)
	c.writes = (after.writes - before.writes) / minutes
	c.requests = (after.requests - before.requests) / minutes
	return c, nil
}

type counters struct {
	cpu              time.Duration
	writes, requests float64
}

func (i *instance) counters(r registrar) (c counters, err error) {
	writes, err1 := i.b.etcd.Sum(i.b.ctx, "etcd_server_proposals_committed_total")
	requests, err2 := i.b.etcd.Sum(i.b.ctx, "grpc_server_msg_received_total")
	cpu, err3 := i.cpu(r)
	return counters{cpu, writes, requests}, errors.Join(err1, err2, err3)
}

// cpu returns what the registrar, and what it has started and waited for, have used
// of the processors so far, in the kernel's ticks of 10 ms.
func (i *instance) cpu(r registrar) (time.Duration, error) {
	out, err := i.Exec("sh", "-c", fmt.Sprintf(`cat /proc/[0-9]*/stat 2>/dev/null | grep "(%s)" | cut -d " " -f 14-17`, r.comm))
	if err != nil {
		return 0, err
	}
	ticks := 0
	for _, field := range strings.Fields(out) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("cpu of %s: %q: %w", r.name, out, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// memory returns what the registrar itself takes, all of its processes together, and what it
// takes at its peak, with the biggest process that it starts again and again.
func (i *instance) memory(r registrar) (own, peak int, err error) {
	out, err := i.Exec("sh", "-c", fmt.Sprintf(`grep -h ^VmRSS $(grep -lx %s /proc/[0-9]*/comm | sed s/comm/status/)`, r.comm))
	if err != nil {
		return 0, 0, err
	}
	kB := 0
	for line := range strings.Lines(out) {
		var one int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &one); err != nil {
			return 0, 0, fmt.Errorf("memory of %s: %q: %w", r.name, out, err)
		}
		kB += one
	}
	if r.starts == "" {
		return kB * 1024, kB * 1024, nil
	}
	out, err = i.Exec("python3", "-c", fmt.Sprintf(`
import resource, subprocess
subprocess.run(%q, shell=True, check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)`, r.starts))
	if err != nil {
		return 0, 0, err
	}
	child, err := strconv.Atoi(out)
	return kB * 1024, (kB + child) * 1024, err
}

func (i *instance) size(files []string) (total int, err error) {
	out, err := i.Exec(append([]string{"stat", "-L", "-c", "%s"}, files...)...)
	if err != nil {
		return 0, err
	}
	for _, field := range strings.Fields(out) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
