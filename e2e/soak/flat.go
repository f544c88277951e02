package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// figures are what must not grow.
type figures struct {
	goroutines, files, leases int
	heap                      uint64 // bytes in use
}

type flatness struct{ before, after figures }

// What may be there more than before, without a trend: a part of it comes and goes,
// such as two files for each probe that is under way.
const (
	moreGoroutines = 15
	moreFiles      = 30
	moreHeap       = 2 << 20
)

// measure returns what is there now, except for the leases.
func measure() (f figures, err error) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return f, err
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	return figures{goroutines: runtime.NumGoroutine(), files: len(files), heap: memory.HeapAlloc}, nil
}

// median returns the median of each figure.
func median(all []figures) figures {
	return figures{
		goroutines: middle(all, func(f figures) int { return f.goroutines }),
		files:      middle(all, func(f figures) int { return f.files }),
		heap:       middle(all, func(f figures) uint64 { return f.heap }),
	}
}

func middle[N cmp.Ordered](all []figures, of func(figures) N) N {
	var values []N
	for _, f := range all {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// flat returns an error that says what is not.
func (f flatness) flat() error {
	var errs []error
	for _, of := range []struct {
		what               string
		before, after, may int
	}{
		{"goroutines", f.before.goroutines, f.after.goroutines, moreGoroutines},
		{"open files", f.before.files, f.after.files, moreFiles},
		{"bytes of heap", int(f.before.heap), int(f.after.heap), moreHeap},
		{"leases", f.before.leases, f.after.leases, 0},
	} {
		if of.after > of.before+of.may {
			errs = append(errs, fmt.Errorf("%s grew from %d to %d", of.what, of.before, of.after))
		}
	}
	return errors.Join(errs...)
}
