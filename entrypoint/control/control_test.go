package control

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/sidekick"
)

// asked is a prober, and a watcher, that counts, and lasts for as long as its context.
type asked struct{ times chan struct{} }

func (a asked) Probe(ctx context.Context) error {
	a.times <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (a asked) Await(ctx context.Context) { _ = a.Probe(ctx) }

func ends(t *testing.T) (*Teller, *App) {
	t.Helper()
	teller, theirs, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return teller, Follow(theirs)
}

// A command that a probe runs does not inherit the pipe.
func TestPipeIsNotHandedOn(t *testing.T) {
	t.Parallel()
	teller, theirs, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(teller.Close)
	conn, err := theirs.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	flags := func(cmd, arg int) (now int) {
		if err := conn.Control(func(fd uintptr) { now, err = unix.FcntlInt(fd, cmd, arg) }); err != nil {
			t.Fatal(err)
		}
		return now
	}
	flags(unix.F_SETFD, 0) // as it comes into the sidekick's process
	Follow(theirs)
	if flags(unix.F_GETFD, 0)&unix.FD_CLOEXEC == 0 {
		t.Error("it is")
	}
}

// The end of the app's process ends a probe and the watching, and the app is not asked while
// there is none.
func TestEndOfTheApp(t *testing.T) {
	t.Parallel()
	teller, app := ends(t)
	a := asked{make(chan struct{}, 10)}
	prober, watcher := app.Prober(a), app.Watcher(a)
	if err := prober.Probe(t.Context()); !errors.Is(err, sidekick.ErrNotRunning) || len(a.times) > 0 {
		t.Errorf("before there is one: %v", err)
	}
	for _, do := range []func() error{
		func() error { return prober.Probe(t.Context()) },
		func() error { watcher.Await(t.Context()); return sidekick.ErrNotRunning },
	} {
		teller.Running()
		awaitRunning(t, app)
		result := make(chan error)
		go func() { result <- do() }()
		<-a.times
		teller.Ended()
		select {
		case err := <-result:
			if !errors.Is(err, sidekick.ErrNotRunning) {
				t.Errorf("%v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it goes on")
		}
		_ = prober.Probe(t.Context()) // has told
	}
	teller.Close()
	<-app.Over()
}

func awaitRunning(t *testing.T, app *App) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); time.Now().Before(late); time.Sleep(time.Millisecond) {
		app.mu.Lock()
		running := app.running
		app.mu.Unlock()
		if running {
			return
		}
	}
	t.Fatal("it does not run")
}

// An app that has ended, and runs again before anybody has asked, fails one probe.
func TestEndIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := &App{end: make(chan struct{})}
		for _, what := range []byte{running, ended, running} {
			app.hear(what)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := asked{make(chan struct{}, 10)}
		app.Watcher(a).Await(ctx) // comes back at once
		if ctx.Err() != nil {
			t.Error("the watcher waits")
		}
		if err := app.Prober(a).Probe(ctx); !errors.Is(err, sidekick.ErrNotRunning) {
			t.Errorf("the first probe: %v", err)
		}
		if err := app.Prober(a).Probe(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second probe: %v", err)
		}
	})
}

// A sidekick that does not read holds up nobody.
func TestTellsTheDeaf(t *testing.T) {
	t.Parallel()
	teller, theirs, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = theirs.Close() }()
	// A pipe may have less room, where there are very many.
	_ = teller.pipe.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := teller.pipe.Write(make([]byte, 1<<16)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	_ = teller.pipe.SetWriteDeadline(time.Time{})
	quickest := time.Hour
	for range 20 {
		began := time.Now()
		teller.Ended()
		quickest = min(quickest, time.Since(began))
	}
	if quickest > 20*time.Millisecond {
		t.Errorf("none took less than %s", quickest)
	}
	teller.Close()
}
