package pidfd

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is for what takes milliseconds, on a machine that is busy.
const patience = 15 * time.Second

// start runs a process that does nothing until it is killed.
func start(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func open(t *testing.T, pids ...int) *Set {
	t.Helper()
	s, err := Open(pids...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// mustEnd fails the test unless Await says that pid has ended.
func mustEnd(t *testing.T, s *Set, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := s.Await(ctx); got != pid || err != nil {
		t.Errorf("Await = %d, %v; want %d", got, err, pid)
	}
}

// mustWait fails the test if Await returns anything before its context ends.
func mustWait(t *testing.T, s *Set) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if pid, err := s.Await(ctx); pid != 0 || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
		t.Errorf("Await = %d, %v; want %v", pid, err, context.DeadlineExceeded)
	}
}

// Each process's end is told once, also while nobody waits for it.
func TestAwait(t *testing.T) {
	t.Parallel()
	first, second, third := start(t), start(t), start(t)
	s := open(t, first.Process.Pid, second.Process.Pid, third.Process.Pid)
	mustWait(t, s)
	go func() { _ = second.Process.Kill() }()
	mustEnd(t, s, second.Process.Pid)
	mustWait(t, s)
	kill(t, first)
	kill(t, third)
	want := []int{first.Process.Pid, third.Process.Pid}
	for range want {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		pid, err := s.Await(ctx)
		cancel()
		if i := slices.Index(want, pid); i >= 0 {
			want[i] = 0
			continue
		}
		t.Errorf("Await = %d, %v; want one of %v", pid, err, want)
	}
	mustWait(t, s)
}

// A process that has ended is one that ends, reaped or not, and among others.
func TestEndedBeforehand(t *testing.T) {
	t.Parallel()
	gone, zombie, alive := start(t), start(t), start(t)
	kill(t, gone)
	_ = gone.Wait()
	kill(t, zombie)
	s := open(t, alive.Process.Pid, gone.Process.Pid, zombie.Process.Pid)
	mustEnd(t, s, gone.Process.Pid)
	mustEnd(t, s, zombie.Process.Pid)
	mustWait(t, s)
}

func TestNobody(t *testing.T) {
	t.Parallel()
	mustWait(t, open(t))
}

// A context that ends just as Await returns interrupts no later Await.
func TestInterruptedOnce(t *testing.T) {
	t.Parallel()
	cmd := start(t)
	s := open(t, cmd.Process.Pid)
	for range 500 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
		if pid, err := s.Await(ctx); ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			t.Fatalf("Await = %d, %v before its context ended", pid, err)
		}
		cancel()
	}
	kill(t, cmd)
	mustEnd(t, s, cmd.Process.Pid)
}

// What is no process's number is an error, after which nothing is open. Not parallel:
// files of others would count.
func TestOpenFails(t *testing.T) {
	links := func() (all []string) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if link, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.Contains(link, "pidfd") {
				all = append(all, link)
			}
		}
		return all
	}
	before := len(links())
	if s, err := Open(os.Getpid(), -1); s != nil || !errors.Is(err, unix.EINVAL) {
		t.Errorf("Open = %v, %v; want %v", s, err, unix.EINVAL)
	}
	s, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if after := links(); len(after) > before {
		t.Errorf("%d pidfds are open, %d were before: %q", len(after), before, after)
	}
}
