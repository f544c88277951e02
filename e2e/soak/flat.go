package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
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
	moreGoroutines = 10
	moreFiles      = 30
	moreHeap       = 2 << 20
)

// measure lowers the figures to what they are now.
func (f *figures) measure() error {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	f.goroutines = min(f.goroutines, runtime.NumGoroutine())
	f.files = min(f.files, len(files))
	f.heap = min(f.heap, memory.HeapAlloc)
	return nil
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
