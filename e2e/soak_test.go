package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// All promises hold, and nothing piles up, while apps, instances, keys and members
// fail all the time: make soak, in short.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	// The tests that run in parallel wait for this one: it has deadlines of its own.
	soak := filepath.Join(t.TempDir(), "soak")
	if out, err := exec.Command("go", "build", "-o", soak, "./soak").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	eachEtcd(t, func(t *testing.T, binary string) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		log := filepath.Join(t.TempDir(), "log")
		cmd := exec.CommandContext(ctx, soak, "-etcd", binary, "-duration", "40s", "-log", log)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = time.Minute
		out, err := cmd.CombinedOutput()
		t.Logf("figure:\n%s", out)
		if err != nil {
			broken, _ := exec.Command("grep", "-h", "BROKEN", log).Output()
			t.Errorf("%v\n%s", err, bytes.TrimSpace(broken))
		}
	})
}
