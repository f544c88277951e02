package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/e2e/testbed"
)

// runHere prepares dockreg run on this machine, where it is not the first process, with this
// command. What the command prints is in said.
func runHere(command ...string) (p *process, said *journal) {
	args := []string{"run", "--etcd", "http://127.0.0.1:1", "--port", "1", "--host-port", "1", "--ip", "127.0.0.1", "--"}
	p, said = dockreg(append(args, command...)...), &journal{}
	p.Stdout, p.WaitDelay = said, 10*time.Second // and not for whoever has inherited it
	return p, said
}

// enter starts it. It ends with the test.
func enter(t *testing.T, command ...string) (p *process, said *journal) {
	t.Helper()
	p, said = runHere(command...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Signal(unix.SIGTERM) // so that the app ends, too
			_ = p.Wait()
		}
		if t.Failed() {
			t.Logf("it logged\n%sand the app said\n%s", p.stderr.String(), said.String())
		}
	})
	return p, said
}

// pidSaid returns the process number that the app has said after this word.
func pidSaid(t *testing.T, said *journal, word string) (pid int) {
	t.Helper()
	said.await(t, word+" ")
	err := poll(t, 20*time.Second, func() error {
		_, after, _ := strings.Cut(said.String(), word+" ")
		_, err := fmt.Sscanln(after, &pid)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// stateOf returns a process's state as ps has it: S sleeping, T stopped, Z a zombie; and its
// parent. It is not an error for the process to be gone.
func stateOf(pid int) (state string, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	_, _ = fmt.Sscan(string(stat[strings.LastIndex(string(stat), ")")+1:]), &state, &parent)
	return state, parent
}

func awaitState(t *testing.T, pid int, want string) {
	t.Helper()
	err := poll(t, 20*time.Second, func() error {
		if state, _ := stateOf(pid); !strings.Contains(want, state) || state == "" && want != "" {
			return fmt.Errorf("process %d is in state %q, want %q", pid, state, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Its exit code is the app's, as it is, and 128 and the signal's number if the app died by one.
func TestRunHandsTheExitCodeOn(t *testing.T) {
	t.Parallel()
	for _, want := range []int{0, 1, 2, 32, 64, 126, 127, 128, 254, 255} {
		p, _ := enter(t, "sh", "-c", fmt.Sprint("exit ", want))
		if code, _ := p.wait(t, 20*time.Second); code != want {
			t.Errorf("exit code %d, want %d", code, want)
		}
	}
	for _, s := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGKILL, unix.SIGUSR1, unix.SIGTERM} {
		p, _ := enter(t, "sh", "-c", fmt.Sprintf("kill -%d $$", s))
		if code, _ := p.wait(t, 20*time.Second); code != 128+int(s) {
			t.Errorf("exit code %d after %s, want %d", code, s, 128+int(s))
		}
	}
}

// Where it is not the first process, it takes in the app's orphans, and reaps them.
func TestRunReapsWhereItIsNotTheFirst(t *testing.T) {
	t.Parallel()
	p, said := enter(t, "sh", "-c", `sh -c 'setsid sleep 1000 & echo daemon $!'; echo orphaned; exec sleep 1000`)
	daemon := pidSaid(t, said, "daemon")
	said.await(t, "orphaned")
	if _, parent := stateOf(daemon); parent != p.Process.Pid {
		t.Errorf("the orphan's parent is %d, want dockreg, %d", parent, p.Process.Pid)
	}
	if err := syscall.Kill(daemon, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	awaitState(t, daemon, "")
}

// A stop goes to the whole process group of the app, and all others of its signals to the app
// alone.
func TestRunStopsTheWholeGroup(t *testing.T) {
	t.Parallel()
	// The app heeds no TERM, and ends with its child, which does.
	p, said := enter(t, "sh", "-c", `trap 'echo got USR1' USR1; trap : TERM; sleep 1000 & echo child $!; while kill -0 $! 2>/dev/null; do wait; done; exit 9`)
	child := pidSaid(t, said, "child")
	_ = p.Process.Signal(unix.SIGUSR1)
	said.await(t, "got USR1")
	if state, _ := stateOf(child); state == "" || state == "Z" {
		t.Error("the child had the signal, too")
	}
	_ = p.Process.Signal(unix.SIGTERM)
	if code, _ := p.wait(t, 20*time.Second); code != 9 {
		t.Errorf("exit code %d, want 9: TERM did not reach the child", code)
	}
}

// What an app leaves behind in its process group when it ends gets TERM.
func TestRunTermsWhatTheAppLeaves(t *testing.T) {
	t.Parallel()
	p, said := enter(t, "python3", "-c", `
import os, signal
if os.fork() == 0:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print("left", os.getpid(), flush=True)
    print("got", int(signal.sigwait({signal.SIGTERM})), flush=True)
else:
    signal.pause()
`)
	left := pidSaid(t, said, "left")
	_, app := stateOf(left)
	if err := syscall.Kill(app, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	said.await(t, "got 15")
	if code, _ := p.wait(t, 20*time.Second); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
}

// What suspends at a terminal suspends the app and dockreg, as a shell wants it that started
// them; CONT goes on with both.
func TestRunSuspends(t *testing.T) {
	t.Parallel()
	p, said := enter(t, "sh", "-c", `trap 'echo got CONT' CONT; echo app $$; while :; do sleep 0.1; done`)
	app := pidSaid(t, said, "app")
	for n, s := range []syscall.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
		_ = p.Process.Signal(s)
		awaitState(t, p.Process.Pid, "T")
		awaitState(t, app, "T")
		_ = p.Process.Signal(unix.SIGCONT)
		awaitState(t, p.Process.Pid, "SR")
		awaitState(t, app, "SRD")
		err := poll(t, 20*time.Second, func() error {
			if strings.Count(said.String(), "got CONT") <= n {
				return errors.New("the app has not got CONT")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// The app has the input that dockreg was started with, of the open files those that are the
// app's, and of the blocked signals those that Go does not need itself.
func TestRunHandsOnWhatItWasStartedWith(t *testing.T) {
	t.Parallel()
	p, said := runHere("python3", "-c", `
import os, sys
print("read", sys.stdin.read())
print(open("/proc/self/status").read(), *sorted(os.listdir("/proc/self/fd")))`)
	outer := within(p.Cmd, "python3", "-c", `
import os, signal, sys
os.closerange(3, 1000)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN, signal.SIGUSR1})
os.execv(sys.argv[1], sys.argv[1:])`)
	outer.Stdin = strings.NewReader("its input")
	if err := outer.Run(); err != nil {
		t.Fatalf("%v\n%s", err, p.stderr.String())
	}
	for _, want := range []string{
		"read its input\n",
		fmt.Sprintf("SigBlk:\t%016x\n", 1<<(unix.SIGTTIN-1)|1<<(unix.SIGUSR1-1)),
		"\n 0 1 2 3\n", // the last is the folder that it lists
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("no %q in\n%s", want, said.String())
		}
	}
}

// enterServer starts dockreg run on this machine, with an app that answers, and waits for the
// key. It does not drain. If stderr is nil, it is kept.
func enterServer(t *testing.T, stderr io.Writer) (p *process, said *journal, keys *testbed.Keys, key string) {
	t.Helper()
	port := lowPort(t, "127.0.0.1")
	keys, key = follow(t), "/service/127.0.0.1:"+port
	p, said = dockreg("run", "--etcd", etcd.URL, "--port", port, "--host-port", port, "--ip", "127.0.0.1", "--drain", "0s", "--",
		"sh", "-c", "echo app $$; exec python3 -m http.server --bind 127.0.0.1 "+port+" >/dev/null 2>&1"), &journal{}
	p.Stdout, p.WaitDelay = said, 10*time.Second
	if stderr != nil {
		p.Stderr = stderr
	}
	started := time.Now()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	app := pidSaid(t, said, "app")
	t.Cleanup(func() { _ = syscall.Kill(app, syscall.SIGKILL) }) // and so dockreg ends
	wantPut(t, keys, key, started, time.Minute)
	return p, said, keys, key
}

// P2: a log that nobody reads, with no room left in its pipe, keeps nothing from going on: a stop
// takes the key away, stops the app, and ends.
func TestP2RunsStderrIsBlocked(t *testing.T) {
	t.Parallel()
	p, _, keys, key := enterServer(t, fullPipe(t))
	asked := time.Now()
	_ = p.Process.Signal(unix.SIGTERM)
	wantGone(t, keys, key, asked, busy)
	code, took := p.wait(t, 20*time.Second)
	t.Logf("figure: TERM to the exit: %s", took)
	if code != 143 {
		t.Errorf("exit code %d, want 143", code)
	}
}

// Where dockreg is not the first process, and is killed, the app goes on, as with any parent that
// is. Its key does not: nobody would take it away at its end.
func TestRunKilledTakesTheKeyAlong(t *testing.T) {
	t.Parallel()
	p, said, keys, key := enterServer(t, nil)
	killed := time.Now()
	_ = p.Process.Kill()
	wantGone(t, keys, key, killed, busy)
	if state, _ := stateOf(pidSaid(t, said, "app")); state == "" || state == "Z" {
		t.Error("the app has ended, too")
	}
	p.WaitDelay = time.Minute
	waiting := time.Now()
	_ = p.Wait() // for all who hold stderr
	if time.Since(waiting) >= p.WaitDelay/2 {
		t.Error("the sidekick has not ended")
	}
}
