package pidfd

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process that is held on to shows its end, and a wait for that ends with its context.
func TestProcess(t *testing.T) {
	t.Parallel()
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = c.Process.Kill() }
	t.Cleanup(func() { kill(); _ = c.Wait() })
	p, err := Hold(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 2 { // the first leaves nothing behind that ends the second
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := p.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("it lives: %v", err)
		}
		cancel()
	}
	if p.Ended() {
		t.Error("it lives, and counts as one that has ended")
	}
	kill()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Await(ctx); err != nil || !p.Ended() {
		t.Errorf("killed: %v", err)
	}
	_ = c.Wait()
	if !p.Ended() {
		t.Error("waited for, and counts as one that lives")
	}
	if _, err := Hold(c.Process.Pid); !errors.Is(err, unix.ESRCH) {
		t.Errorf("hold of one that is gone: %v", err)
	}
	p.Close()
	if !p.Ended() {
		t.Error("let go, and counts as one that lives")
	}
}

// A pidfd that came in another way is the process's, too.
func TestAdopt(t *testing.T) {
	t.Parallel()
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Adopt(fd)
	if err != nil || p.Ended() {
		t.Fatalf("%v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Await(t.Context()) }()
	p.Close()
	if err := <-ended; err == nil {
		t.Error("a wait for one that was let go says that it has ended")
	}
	if _, err := Adopt(-1); err == nil {
		t.Error("no pidfd was adopted")
	}
}
