package e2e

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// All promises hold, and nothing piles up, while apps, instances, keys and members
// fail all the time: make soak, in short.
func TestSoak(t *testing.T) {
	// In the long form the tests that run in parallel wait for this one, whose bounds are
	// narrower on a quiet machine.
	if !long {
		t.Parallel()
	}
	soak := mustBuild(t, "soak")
	eachEtcd(t, func(t *testing.T, binary string) {
		log := filepath.Join(t.TempDir(), "log")
		out, err := runCommand(t, 5*time.Minute, soak, "-etcd", binary, "-duration", "40s", "-log", log)
		t.Logf("figure:\n%s", out)
		if err != nil {
			broken, _ := exec.Command("grep", "-h", "BROKEN", log).Output()
			t.Errorf("%v\n%s", err, bytes.TrimSpace(broken))
		}
	})
}
