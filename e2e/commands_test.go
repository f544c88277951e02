package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// commands is the folder of what build builds. It ends with the tests.
var commands string

// build builds one of the commands here, some of which are modules of their own, and
// returns where it is. make e2e has built them already.
func build(name string) (path string, err error) {
	if built := os.Getenv("DOCKREG_COMMANDS"); built != "" {
		return filepath.Join(built, name), nil
	}
	path = filepath.Join(commands, name)
	folder := name
	if name == "grpc-go" { // which is no command of the tests'
		folder = "../examples/grpc-go"
	}
	if out, err := exec.Command("go", "build", "-C", folder, "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

// mustBuild is build, for one test.
func mustBuild(t *testing.T, name string) (path string) {
	t.Helper()
	path, err := build(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// etcd37 builds this module's etcd, once.
var etcd37 = sync.OnceValues(func() (string, error) { return build("etcd") })

// runCommand runs a command that starts processes of its own, and ends them when it is
// asked to stop, as it is after that time.
func runCommand(t *testing.T, within time.Duration, path string, args ...string) (output []byte, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd.CombinedOutput()
}
