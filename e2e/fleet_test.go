package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// P6, for a fleet: 2,000 instances that lose their etcd come back spread over some
// five seconds, with no errors.
//
// Not beside other tests, and one etcd after the other: the return of so many takes
// most of what two processors have.
func TestP6Fleet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two and a half minutes")
	}
	// A process of its own: the race detector takes no more than 8,128 goroutines.
	fleet := filepath.Join(t.TempDir(), "fleet")
	if out, err := exec.Command("go", "build", "-o", fleet, "./fleet").CombinedOutput(); err != nil {
		t.Fatalf("build the fleet: %v\n%s", err, out)
	}
	var alone sync.Mutex
	eachEtcd(t, func(t *testing.T, binary string) {
		alone.Lock()
		defer alone.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, fleet, "-etcd", binary)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its etcd, too
		cmd.WaitDelay = 20 * time.Second
		out, err := cmd.CombinedOutput()
		for line := range strings.Lines(string(out)) {
			t.Log(strings.TrimSpace(line))
		}
		if err != nil {
			t.Error(err)
		}
	})
}
