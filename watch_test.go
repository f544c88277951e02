package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever reads no more, such as a pager that shows its first page, does not keep dockreg watch
// from stopping. Who reads late is waited for.
func TestStopWhileNobodyReads(t *testing.T) {
	t.Parallel()
	for late, want := range map[time.Duration]time.Duration{0: 0, 100 * time.Millisecond: 100 * time.Millisecond, time.Hour: flushTimeout} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			stopped := time.Now().Add(time.Minute)
			time.AfterFunc(time.Minute, cancel)
			untilStuck(ctx, func() {
				<-ctx.Done()
				time.Sleep(late)
			})
			if took := time.Since(stopped); took != want {
				t.Errorf("with a reader that is %v late it takes %v, want %v", late, took, want)
			}
			time.Sleep(2 * time.Hour) // for what is left behind
		})
	}
}
