package entrypoint

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ended takes the end of a process in.
func (r *run) ended(pid int, status syscall.WaitStatus) {
	if status.Stopped() {
		r.suspended(pid, status.StopSignal())
		return
	}
	switch pid {
	case r.app:
		r.appEnded(status)
	case r.sidekick:
		r.sidekick = 0
		r.teller.Close()
		r.teller = nil
		r.sidekickGone(codeOf(status))
	case r.hook:
		r.hook = 0
		if code := codeOf(status); code != 0 {
			r.Log.Warn("the command before the stop has failed", "command", r.PreStop[0], "code", code)
		}
		if r.phase == preStopping {
			r.terminate()
		}
	}
}

// appEnded is after the end of the app's process.
func (r *run) appEnded(status syscall.WaitStatus) {
	if r.teller != nil {
		r.teller.Ended() // first of all
	}
	r.tellGroup(unix.SIGTERM) // what it has left behind
	r.app = 0
	code, ran := codeOf(status), time.Since(r.appStarted)
	attrs := []any{"code", code, "after", ran}
	if status.Signaled() {
		attrs = append(attrs, "signal", nameOf(status.Signal()))
	}
	if r.phase == running && code != 0 {
		r.Log.Warn("the app has failed", attrs...)
	} else {
		r.Log.Info("the app has ended", attrs...)
	}
	if r.phase == running && r.handed != 0 && time.Since(r.handedAt) < r.StopTimeout {
		r.Log.Warn("the app ended after a signal that is only handed on, and so before its key was gone; if that is how the container is stopped, as its image's STOPSIGNAL says, give it as --stop-signal",
			"signal", nameOf(r.handed))
	}
	r.appGone(code, ran)
}

// suspended is after somebody has suspended a process, such as an app at its terminal. There a
// container's first process goes on, as nobody could wake it; else so does this one, until the
// shell wakes both.
func (r *run) suspended(pid int, by syscall.Signal) {
	switch {
	case pid != r.app || by != unix.SIGTSTP:
	case unix.Getpid() == 1:
		r.tellGroup(unix.SIGCONT)
	default:
		r.signal(unix.Getpid(), unix.SIGSTOP)
	}
}

// appGone is after the app's end, or when it could not be started, and so ran for no time.
func (r *run) appGone(code int, ran time.Duration) {
	r.code = code
	if r.phase == running && r.Restart.again(code) {
		pause := r.appPause.after(ran)
		r.Log.Warn("starting the app again", "in", pause)
		r.alarms[startApp] = time.Now().Add(pause)
		return
	}
	r.finish()
}

// sidekickGone is after the sidekick's end.
func (r *run) sidekickGone(code int) {
	switch r.phase {
	case running:
		if code == ExitUsage {
			r.Log.Error("the sidekick can't register the app; its log says why. The app goes on without")
			return
		}
		pause := r.sidePause.after(time.Since(r.sidePause.started))
		r.Log.Error("the sidekick has ended, and is started again; the app goes on", "code", code, "in", pause)
		r.alarms[startSidekick] = time.Now().Add(pause)
	case deregistering:
		r.runPreStop()
	case finishing:
		r.phase = done
	}
}
