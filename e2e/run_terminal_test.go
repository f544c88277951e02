package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/e2e/testbed"
)

// screen is a terminal, at which somebody sits who is attached to a container that has one.
type screen struct {
	*os.File
	shows journal
}

// attach is docker attach, at a new terminal.
func attach(t *testing.T, c *testbed.Container) *screen {
	t.Helper()
	s := &screen{}
	var err error
	if s.File, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	fd := int(s.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.resize(t, 80, 24)
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker", "attach", c.ID)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	go func() { _, _ = io.Copy(&s.shows, s.File) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = s.Close()
		if t.Failed() {
			t.Logf("the screen shows\n%s", s.shows.String())
		}
	})
	return s
}

func (s *screen) resize(t *testing.T, columns, lines uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(s.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: lines, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// types types, and waits until the screen shows these words, which are not among those typed.
func (s *screen) types(t *testing.T, keys, want string) {
	t.Helper()
	if _, err := s.WriteString(keys); err != nil {
		t.Fatal(err)
	}
	s.shows.await(t, want)
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlZ = "\x1a"
)

// With docker run -it the app has the terminal: it reads what is typed, Ctrl-C is its own and
// stops nothing else, Ctrl-Z suspends nothing that nobody could wake, and it hears of the
// window's size.
func TestRunGivesTheTerminal(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c, keys, key := registeredIn(t, []string{"-it", apps}, nil, "python3", "-c", `
import http.server, os, signal, sys, threading
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())
signals = {signal.SIGINT, signal.SIGWINCH}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
def hear(): # a handler would run after the next line only, if a signal comes just before the read
    while True:
        if signal.sigwait(signals) == signal.SIGINT:
            say("heard INT")
        else:
            say("heard size %dx%d" % os.get_terminal_size(0))
server = http.server.HTTPServer(("", 8000), http.server.SimpleHTTPRequestHandler)
for target in hear, server.serve_forever:
    threading.Thread(target=target, daemon=True).start()
for line in iter(sys.stdin.readline, ""):
    terminal = os.open("/dev/tty", os.O_RDWR)
    say("read", line.strip().upper(), os.tcgetpgrp(terminal) == os.getpgrp())
say("read the end")
sys.exit(6)
`)
	s := attach(t, c)
	s.types(t, "hello\n", "read HELLO True")
	s.types(t, ctrlC, "heard INT")
	s.types(t, "again\n", "read AGAIN True")
	s.types(t, ctrlZ+"on\n", "read ON True") // as with an app that is the first process
	s.resize(t, 123, 45)
	s.shows.await(t, "heard size 123x45")
	for _, e := range keys.History() {
		if e.Key == key && e.Gone {
			t.Errorf("the key was gone: %+v", e)
		}
	}
	began := time.Now()
	s.types(t, ctrlD, "read the end")
	wantCode(t, c, 6)
	wantGone(t, keys, key, began, busy)
}

// A terminal that suspends who writes to it in the background suspends no sidekick.
func TestRunOutlivesTostop(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c := enteredIn(t, []string{"-it", apps}, nil, "sh", "-c", "stty tostop; exec python3 -m http.server 8000")
	awaitLogged(t, c, "msg=registered", 1)
}

// A shell has job control: what it runs is in the terminal's foreground, is suspended by
// Ctrl-Z, goes on, and ends with Ctrl-C, and the shell with it does not.
func TestRunGivesJobControl(t *testing.T) {
	needDocker(t)
	t.Parallel()
	c := enteredIn(t, []string{"-it", "-e", "PS1=$ ", apps}, nil, "bash", "--norc")
	s := attach(t, c)
	s.types(t, "echo flags=${-//[^m]/}\n", "flags=m") // of job control
	if _, err := s.WriteString("sleep 1000\n"); err != nil {
		t.Fatal(err)
	}
	awaitForeground(t, c, "sleep")
	s.types(t, ctrlZ, "Stopped")
	s.types(t, "jobs | tr a-z A-Z\n", "SLEEP 1000")
	if _, err := s.WriteString("fg\n"); err != nil {
		t.Fatal(err)
	}
	awaitForeground(t, c, "sleep")
	s.types(t, ctrlC, "^C")
	awaitForeground(t, c, "bash")
	s.types(t, "echo code=$?\n", "code=130")
	if _, err := s.WriteString("exit 5\n"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c, 5)
	for _, complaint := range []string{"no job control", "process group"} {
		if shown := s.shows.String(); strings.Contains(shown, complaint) {
			t.Errorf("%q in\n%s", complaint, shown)
		}
	}
}

// awaitForeground waits until a process of that name is in its terminal's foreground, and runs.
func awaitForeground(t *testing.T, c *testbed.Container, name string) {
	t.Helper()
	err := poll(t, time.Minute, func() error {
		out, err := c.Exec("sh", "-c", `cat /proc/[0-9]*/stat 2>/dev/null | awk '$2 == "(`+name+`)" && $3 != "T" && $5 == $8'`)
		if err == nil && out == "" {
			err = fmt.Errorf("no %s is in the foreground", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
