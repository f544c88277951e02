package entrypoint

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// never is how long what runs until it is asked to end lasts.
const never = time.Duration(-1)

// immortal is how long after being asked to stop ends what nobody can kill, such as another
// user's.
const immortal = time.Duration(-2)

// life is how a process lives.
type life struct {
	lasts    time.Duration // until it ends by itself
	code     int           // of that end
	stops    time.Duration // from being asked to stop to ending; never: only KILL ends it
	refuse   error         // it can't be started
	suspends time.Duration // until somebody suspends it at its terminal; 0: nobody does
}

// world has processes, which do as it is written, and keeps a record of what happens to them.
type world struct {
	t        *testing.T
	began    time.Time
	lives    map[string][]life // by name; the last one again and again
	signals  chan os.Signal
	children chan os.Signal

	names   map[int]string
	stopped map[int]*time.Timer // the end by itself
	record  strings.Builder
	ends    chan end
}

type end struct {
	pid    int
	status syscall.WaitStatus
}

// exited and died are how a process ends.
func exited(code int) syscall.WaitStatus       { return syscall.WaitStatus(code << 8) }
func died(s syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(s) }

func (w *world) note(format string, args ...any) {
	fmt.Fprintf(&w.record, "%v %s\n", time.Since(w.began), fmt.Sprintf(format, args...))
}

// start is called by the loop, as all of processes is.
func (w *world) start(_ string, words, env []string, files []uintptr) (int, error) {
	name := words[len(words)-1]
	if lives := w.lives[name]; lives[0].refuse != nil {
		w.note("%s can't start", name)
		return 0, lives[0].refuse
	}
	pid := 100 + len(w.names)
	w.names[pid] = name
	w.note("start %s", name)
	of, open := "of=app", 3
	if name == "sidekick" {
		of, open = "of=sidekick", 4 // the control pipe
	}
	if len(env) != 1 || env[0] != of || len(files) != open {
		w.t.Errorf("%s has the environment %s, and %d files", name, env, len(files))
	}
	w.stopped[pid] = time.AfterFunc(365*24*time.Hour, func() {})
	if l := w.life(pid); l.lasts != never {
		w.endAfter(pid, l.lasts, exited(l.code))
	}
	if after := w.life(pid).suspends; after > 0 {
		time.AfterFunc(after, func() {
			w.ends <- end{pid, syscall.WaitStatus(unix.SIGTSTP<<8 | 0x7f)}
			w.children <- unix.SIGCHLD
		})
	}
	return pid, nil
}

// life is that of a process.
func (w *world) life(pid int) life {
	name, n := w.names[pid], 0
	for other := range w.names {
		if other < pid && w.names[other] == name {
			n++
		}
	}
	lives := w.lives[name]
	return lives[min(n, len(lives)-1)]
}

// endAfter ends a process, unless it has ended by then.
func (w *world) endAfter(pid int, after time.Duration, status syscall.WaitStatus) {
	if w.stopped[pid] == nil {
		return
	}
	w.stopped[pid].Stop()
	w.stopped[pid] = time.AfterFunc(after, func() {
		w.ends <- end{pid, status}
		w.children <- unix.SIGCHLD
	})
}

func (w *world) signal(pid int, s syscall.Signal) {
	if pid == unix.Getpid() {
		w.note("%s to itself", unix.SignalName(s))
		return
	}
	group := ""
	if pid < 0 {
		pid, group = -pid, "group of "
	}
	w.note("%s to %s%s", unix.SignalName(s), group, w.names[pid])
	l := w.life(pid)
	switch {
	case l.stops == immortal:
	case s == unix.SIGKILL:
		w.endAfter(pid, 0, died(s))
	case (s == unix.SIGTERM || s == unix.SIGQUIT) && l.stops != never && w.stopped[pid] != nil:
		w.endAfter(pid, l.stops, exited(0))
	}
}

func (w *world) reap(ended func(pid int, status syscall.WaitStatus)) {
	for {
		select {
		case e := <-w.ends:
			if e.status.Stopped() {
				w.note("%s suspended", w.names[e.pid])
			} else {
				w.note("%s ended", w.names[e.pid])
				w.stopped[e.pid] = nil
			}
			ended(e.pid, e.status)
		default:
			return
		}
	}
}

// asks is a signal that comes at a time.
type asks struct {
	at time.Duration
	s  syscall.Signal
}

// live lives an entrypoint's life among these processes, and returns its exit code, and what
// happened when.
func live(t *testing.T, e Entrypoint, lives map[string][]life, signals ...asks) (code int, record string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// Channels of the bubble, with room for all that a test has.
		w := &world{
			t: t, began: time.Now(), lives: lives, signals: make(chan os.Signal, 100), children: make(chan os.Signal, 100), ends: make(chan end, 100),
			names: map[int]string{}, stopped: map[int]*time.Timer{},
		}
		// Commands that can be found: every machine with Go has them.
		e.App, e.AppEnv = []string{"env", "app"}, []string{"of=app"}
		e.Sidekick, e.Env = []string{"sidekick"}, []string{"of=sidekick"}
		if e.PreStop != nil {
			e.PreStop = []string{"env", "hook"}
		}
		e.StopTimeout, e.Drain = 8*time.Second, 2*time.Second
		if e.Log == nil {
			e.Log = slog.New(slog.DiscardHandler)
		}
		for _, a := range signals {
			time.AfterFunc(a.at, func() { w.signals <- a.s })
		}
		code = (&run{Entrypoint: &e, processes: w, signals: w.signals}).loop(w.children)
		w.note("exit")
		record = w.record.String()
	})
	return code, record
}

// wantRecord compares what happened with lines in which blanks in front don't count.
func wantRecord(t *testing.T, got, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(want) + "\n") {
		lines = append(lines, strings.TrimSpace(line)+"\n")
	}
	if want = strings.Join(lines, ""); got != want {
		t.Errorf("this happened:\n%s\nwant\n%s", got, want)
	}
}

// A sidekick that does as it is told: it deregisters at once, and drains.
var obedient = life{lasts: never, stops: 2 * time.Second}

var errNotThere = &fs.PathError{Op: "fork/exec", Path: "app", Err: syscall.ENOENT}
