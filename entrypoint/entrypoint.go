// Package entrypoint runs an app as a container's first process does, with a sidekick beside
// it: it starts both, hands signals on, reaps whatever ends, and stops in the right order.
//
// The sidekick is a process of its own, so that whatever goes wrong in it is no concern of the
// app's. What this process does itself is little: it waits for signals and for ends, in one
// loop (entrypoint.go); what has ended is started again, or is the end (ending.go), and a stop goes
// from step to step (stopping.go).
package entrypoint

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/entrypoint/control"
	"dockreg/sidekick"
)

// Entrypoint is an app and its sidekick.
type Entrypoint struct {
	App    []string // the command
	AppEnv []string

	Sidekick []string // its words; run is this program's own file
	Env      []string // the sidekick's

	Restart Restart // of the app

	StopSignal  syscall.Signal // asks for a stop, as TERM does
	StopTimeout time.Duration  // from being asked to killing the app; more than Drain + sidekick.StopBudget
	Drain       time.Duration  // that the sidekick takes after deregistering
	PreStop     []string       // a command that is run after the drain, if there is one

	Log *slog.Logger // never blocks
}

const (
	// endTimeout bounds how long a sidekick is waited for when the app has ended.
	endTimeout = sidekick.StopBudget + moment
	// moment is what a process takes to end, at the most, that is about to, or is killed.
	moment = 500 * time.Millisecond
)

// ExitUsage is the sidekick's exit code for what starting again won't help. It is not 2, with
// which Go ends a process that it finds no thread for, as where the app has used up
// docker run --pids-limit for a moment [measured].
const ExitUsage = 3

// phase is how far a stop has come.
type phase int

const (
	running       phase = iota
	deregistering       // the sidekick was asked to stop
	preStopping         // the command runs
	terminating         // the app was asked to stop
	finishing           // the app has ended, and the sidekick is waited for
	done
)

// processes are the operating system's.
type processes interface {
	// start starts a program in a process group of its own, and returns its number.
	start(path string, words, env []string, files []uintptr) (pid int, err error)
	// signal sends to a process, or to a group, the number of which is negative then.
	signal(pid int, s syscall.Signal)
	// reap takes note of all that have ended, or were suspended, and tells of each.
	reap(ended func(pid int, status syscall.WaitStatus))
}

// run is what happens in one Run.
type run struct {
	*Entrypoint
	processes
	signals  chan os.Signal
	terminal *terminal

	app, sidekick, hook int // process numbers; 0: it does not run
	hookKilled          bool
	appStarted          time.Time
	appPause, sidePause backoff
	teller              *control.Teller

	phase    phase
	asked    syscall.Signal // for a stop
	handed   syscall.Signal // the last one that was handed on
	handedAt time.Time
	deadline time.Time // of the stop: the app is killed
	alarms   [lastAlarm]time.Time
	code     int
}

// alarm is something that is due at a time.
type alarm int

const (
	startApp      alarm = iota
	startSidekick       // again
	nextStep            // of a stop, ready or not
	lastAlarm
)

// Run runs the app, and returns its exit code once it has ended for good: 128 and the signal's
// number if it died by one, 126 or 127 if it could not be started. Signals are the process's
// own, and so there is one Run in a process.
func (e *Entrypoint) Run() (code int) {
	// Where this is not the first process, the app's orphans are for it to reap all the same.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	signals, children, release := notify()
	defer release()
	r := &run{Entrypoint: e, processes: kernel{}, signals: signals, terminal: ownTerminal()}
	return r.loop(children)
}

// loop is Run, told by children that there may be something to reap.
func (r *run) loop(children <-chan os.Signal) (code int) {
	r.startApp()
	if r.phase != done {
		r.startSidekick()
	}
	for r.phase != done {
		select {
		case s := <-r.signals:
			r.take(s.(syscall.Signal)) //nolint:forcetypeassert // they all are, on Linux
		case <-children:
			r.reap(r.ended)
		case <-r.nextAlarm():
			r.ring(time.Now())
		}
	}
	return r.code
}

func (r *run) nextAlarm() <-chan time.Time {
	var next time.Time
	for _, at := range r.alarms {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

func (r *run) ring(now time.Time) {
	for a, at := range r.alarms {
		if at.IsZero() || now.Before(at) {
			continue
		}
		r.alarms[a] = time.Time{}
		switch alarm(a) {
		case startApp:
			r.startApp()
		case startSidekick:
			r.startSidekick()
		case nextStep:
			r.late()
		}
	}
}

func (r *run) startApp() {
	pid, err := r.startCommand(r.App, []uintptr{0, 1, 2})
	if err != nil {
		r.Log.Error("the app can't be started", "command", r.App[0], "err", err)
		r.appGone(codeOfStart(err), 0)
		return
	}
	r.app, r.appStarted = pid, time.Now()
	r.terminal.giveTo(pid, r.signals)
	r.Log.Info("started the app", "command", r.App[0], "pid", pid)
	if r.teller != nil {
		r.teller.Running()
	}
}

// startCommand starts the app, or what is to run before its stop.
func (r *run) startCommand(words []string, files []uintptr) (pid int, err error) {
	path, err := exec.LookPath(words[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return 0, err
	}
	return r.start(path, words, r.AppEnv, files)
}

func (r *run) startSidekick() {
	if err := r.trySidekick(); err != nil {
		r.Log.Error("the sidekick can't be started; trying again", "err", err)
		r.alarms[startSidekick] = time.Now().Add(r.sidePause.after(0))
	}
}

func (r *run) trySidekick() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	teller, theirs, err := control.New()
	if err != nil {
		return err
	}
	defer func() { _ = theirs.Close() }()
	pid, err := r.start(self, r.Sidekick, r.Env, []uintptr{null.Fd(), 2, 2, theirs.Fd()})
	if err != nil {
		teller.Close()
		return err
	}
	r.sidekick, r.teller = pid, teller
	r.sidePause.started = time.Now()
	if r.app != 0 {
		teller.Running()
	}
	return nil
}

// take takes a signal in.
func (r *run) take(s syscall.Signal) {
	switch {
	case s == unix.SIGTERM || s == r.StopSignal:
		r.stop(s)
	case isStopped(s): // and so is the app, which a shell that started both takes for one
		r.tellApp(unix.SIGSTOP)
		r.signal(unix.Getpid(), unix.SIGSTOP) // nothing, for a container's first process
	case s == unix.SIGCONT && r.app != 0 && r.terminal.isOwn(): // a shell has given it, to wake this one
		r.terminal.giveTo(r.app, r.signals)
	default:
		r.handed, r.handedAt = s, time.Now()
		r.tellApp(s)
	}
}

// tellApp hands a signal on to the app's process.
func (r *run) tellApp(s syscall.Signal) {
	if r.app != 0 {
		r.signal(r.app, s)
	}
}

// tellGroup hands a signal on to all of the app's process group.
func (r *run) tellGroup(s syscall.Signal) {
	if r.app != 0 {
		r.signal(-r.app, s)
	}
}
