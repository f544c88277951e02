package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// As a container's first process it takes note of the end of those whose parents have
// ended before them, such as what a probe's command leaves behind.
func TestFirstProcessLeavesNoZombies(t *testing.T) {
	t.Parallel()
	port := startApp(t)
	file := filepath.Join(t.TempDir(), "runs")
	p := dockreg("--etcd", etcd.URL, "--port", port, "--host-port", port, "--ip", "127.0.0.1", "--key", "first",
		"--check", `exec:sh -c 'echo run >>`+file+`; setsid sh -c "sleep 0.05" &'`, "--interval", "100ms", "--timeout", "100ms")
	p.Cmd = within(p.Cmd, "unshare", "--pid", "--fork", "--kill-child", "--")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	err := poll(t, time.Minute, func() error {
		text, err := os.ReadFile(file)
		if runs := strings.Count(string(text), "run"); runs < 30 {
			return fmt.Errorf("the command ran %d times, %w", runs, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = poll(t, 20*time.Second, func() error {
		if n := zombies(t, p.Process.Pid); n > 2 {
			return fmt.Errorf("there are %d zombies after 30 runs of the command", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// zombies counts the processes that have ended, and are children of a child of this
// process.
func zombies(t *testing.T, grandparent int) (count int) {
	t.Helper()
	parents, states := map[string]string{}, map[string]string{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it is gone
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		pid := filepath.Base(filepath.Dir(stat))
		states[pid], parents[pid] = fields[0], fields[1]
	}
	for pid, state := range states {
		if state == "Z" && parents[parents[pid]] == strconv.Itoa(grandparent) {
			count++
		}
	}
	return count
}

// A command that a probe runs ends with a dockreg that is killed.
func TestKilledDockregLeavesNoCommand(t *testing.T) {
	t.Parallel()
	port := startApp(t)
	file := filepath.Join(t.TempDir(), "pid")
	p := besideApp(t, etcd.URL, port, "--check", "exec:sh -c 'echo $$ >"+file+".new; mv "+file+".new "+file+"; exec sleep 600'",
		"--interval", "10m", "--timeout", "10m", "--ttl", "30m")
	var pid int
	err := poll(t, time.Minute, func() error {
		text, err := os.ReadFile(file)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Process.Kill()
	err = poll(t, 20*time.Second, func() error {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(text), ") Z ") {
			return fmt.Errorf("the command goes on: %s", text)
		}
		return nil
	})
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Error(err)
	}
}

// P10: a command that a probe runs gets dockreg's environment, without what is secret.
func TestP10CommandsGetNoSecret(t *testing.T) {
	t.Parallel()
	port := startApp(t)
	file := filepath.Join(t.TempDir(), "environment")
	p := dockreg("--dry-run", "--port", port, "--host-port", port, "--ip", "127.0.0.1", "--interval", "1m", "--timeout", "1m", "--ttl", "5m")
	p.Env = append(p.Env, "DOCKREG_ETCD="+strings.Replace(etcd.URL, "://", "://joe:hunter2@", 1), "DOCKREG_CHECK=exec:sh -c 'env >"+file+"' hunter2",
		"DOCKREG_KEY=web", "OF_THE_APP=here")
	_ = p.Run()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if env := string(text); strings.Contains(env, "hunter2") || !strings.Contains(env, "DOCKREG_KEY=web\n") || !strings.Contains(env, "OF_THE_APP=here\n") {
		t.Errorf("the command's environment is\n%s", env)
	}
}
