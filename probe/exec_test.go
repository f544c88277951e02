package probe

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sh is the check that runs script. A file of its own could not be run while
// another test, which starts a process, happens to hold it open: text file busy.
func sh(script string, args ...string) string {
	return "exec:/bin/sh -c '" + script + "' sh " + strings.Join(args, " ")
}

func TestExecPasses(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]string{
		"found in PATH":    "exec:true",
		"by its path":      "exec:/bin/true",
		"exit 0":           sh("exit 0"),
		"arguments":        "exec:test one = one",
		"reads its input":  "exec:cat", // which is empty, not a terminal
		"prints much":      sh("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"),
		"closes its files": sh("exec <&- >&- 2>&-; exit 0"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := parse(t, check, 0)
			mustPass(t, p)
			mustPass(t, p)
		})
	}
}

func TestExecFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "check")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ check, want string }{
		"exit 3":         {sh("exit 3"), "the command ended with exit status 3"},
		"exit 255":       {sh("exit 255"), "the command ended with exit status 255"},
		"killed":         {sh("kill -KILL $$"), "the command ended with signal: killed"},
		"terminated":     {sh("kill $$"), "the command ended with signal: terminated"},
		"prints":         {sh("echo hunter2; echo hunter2 >&2; exit 1"), "the command ended with exit status 1"},
		"not in PATH":    {"exec:no-such-check", `start the command: exec: "no-such-check": executable file not found in $PATH`},
		"not there":      {"exec:" + file + "s", "start the command: fork/exec " + file + "s: no such file or directory"},
		"not executable": {"exec:" + file, "start the command: fork/exec " + file + ": permission denied"},
		"a folder":       {"exec:" + dir, "start the command: fork/exec " + dir + ": permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustFail(t, parse(t, tt.check, 0), tt.want)
		})
	}
}

// TestExecArguments splits as a shell does, and does nothing else that one does.
func TestExecArguments(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]string{
		``:                      nil,
		`one two`:               {"one", "two"},
		"  one \t two\n three ": {"one", "two", "three"},
		`'two words' "and two"`: {"two words", "and two"},
		`a'b c'd`:               {"ab cd"},
		`two\ words`:            {"two words"},
		`'' ""`:                 {"", ""},
		`"a \"b\" 'c'" 'd "e"'`: {`a "b" 'c'`, `d "e"`},
		`'it'\''s'`:             {"it's"},
		`$HOME "$HOME" ${HOME}`: {"$HOME", "$HOME", "${HOME}"},
		`* /* ~ {a,b} [a-z]?`:   {"*", "/*", "~", "{a,b}", "[a-z]?"},
		"`id` $(id) $((1+1))":   {"`id`", "$(id)", "$((1+1))"},
		`a;b a&&b |b >/ <& #c`:  {"a;b", "a&&b", "|b", ">/", "<&", "#c"},
		`http://a/?b=c&d %zz`:   {"http://a/?b=c&d", "%zz"},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "arguments")
			mustPass(t, parse(t, sh(`file=$1; shift; for a; do printf "%s\0" "$a"; done >"$file"`, file, args), 0))
			out, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Split(string(out), "\x00")
			if got = got[:len(got)-1]; !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// TestExecSaysNothing is a command that has nowhere to print to, and nobody to ask:
// neither is a place in dockreg's own log for a secret.
func TestExecSaysNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "files")
	mustPass(t, parse(t, sh(`files=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo "$files" >"$1"`, file), 0))
	out, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("/dev/null\n", 3); string(out) != want {
		t.Errorf("input, output and errors are %q, want %q", out, want)
	}
}

// TestExecLeavesNothing is a command that starts another one: asked every few
// seconds, it would fill the container.
func TestExecLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end, want string
		late      bool
	}{
		"passes":            {end: "exit 0"},
		"fails":             {end: "exit 1", want: "the command ended with exit status 1"},
		"hangs":             {end: "wait", late: true},
		"ignores SIGTERM":   {end: `trap "" TERM INT HUP; wait; wait; sleep 60`, late: true},
		"stops by a signal": {end: "kill -STOP $$", late: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pids")
			// A child, and a child of a child that is an orphan already.
			p := parse(t, sh(`sleep 60 & echo $$ $! >"$1"; (sleep 60 & echo $! >>"$1"); `+tt.end, file), 0)
			took, err := ask(t, p)
			switch {
			case tt.late:
				mustFailLate(t, took, err, "the command did not end")
			case fmt.Sprint(err) != cmp.Or(tt.want, "<nil>"):
				t.Errorf("%v after %s, want %q", err, took, tt.want)
			}
			out, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pids := strings.Fields(string(out))
			if len(pids) != 3 {
				t.Fatalf("processes %q, want the command and two more", pids)
			}
			for _, pid := range pids {
				mustEnd(t, pid)
			}
		})
	}
}

// TestExecKilledBeforeItStarts is a command that the system starts only when its probe has
// given it up: it does not run on.
func TestExecKilledBeforeItStarts(t *testing.T) {
	t.Parallel()
	syscall.ForkLock.RLock() // a start waits for it
	c := start([]string{"sleep", "60"}, nil)
	c.kill()
	syscall.ForkLock.RUnlock()
	select {
	case <-c.ended:
	case <-time.After(patience):
		t.Fatal("it runs on")
	}
	if err := c.clear(); err == nil || err.Error() != "the command ended with signal: killed" {
		t.Errorf("%v, want it to have been killed", err)
	}
}

// TestExecUnkillable is a command of another user, who may not kill it: it fails the probe
// in time, and isn't run a second time beside itself.
func TestExecUnkillable(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir := t.TempDir()
	runs, free := filepath.Join(dir, "runs"), filepath.Join(dir, "free")
	p := parse(t, sh(`echo run >>"$1"; until test -e "$2"; do sleep 0.02; done`, runs, free), 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// This thread alone becomes somebody else, and ends with the goroutine. The
		// command is another thread's.
		runtime.LockOSThread()
		const nobody = 65534
		if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); err != 0 {
			t.Error(err)
			return
		}
		took, err := ask(t, p)
		if !errors.Is(err, errUnkillable) || took > patience {
			t.Errorf("%v after %s, want %v in time", err, took, errUnkillable)
		}
		if took, err := ask(t, p); !errors.Is(err, errUnkillable) || took > budget/2 {
			t.Errorf("%v after %s, want %v at once", err, took, errUnkillable)
		}
	}()
	<-done
	if text, err := os.ReadFile(runs); err != nil || string(text) != "run\n" {
		t.Errorf("runs %q, %v, want one", text, err)
	}
	if err := os.WriteFile(free, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err = ask(t, p); !errors.Is(err, errUnkillable) {
			break
		}
	}
	if err != nil {
		t.Errorf("%v, want it to pass again once the command has ended", err)
	}
}

// mustEnd waits until a process is gone, or is one that only waits for its parent
// to take note: an orphan's is process 1, which in a container may never do so.
func mustEnd(t *testing.T, pid string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var stat []byte
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		var err error
		stat, err = os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if err != nil {
			return
		}
		// proc_pid_stat(5): the state follows the name, which may hold anything.
		if state := stat[bytes.LastIndexByte(stat, ')')+2]; state == 'Z' || state == 'X' {
			return
		}
	}
	t.Errorf("process %s is still there: %s", pid, stat)
}
