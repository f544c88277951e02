package entrypoint

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/sidekick"
)

// stop goes from step to step: the sidekick deregisters and drains, the command before the
// stop runs, the app is sent the signal that asked for it, and is killed when the time is up.
// Asked again, it goes to the next step at once.
func (r *run) stop(s syscall.Signal) {
	r.asked = s
	switch r.phase {
	case running:
		r.phase = deregistering
		r.alarms[startApp], r.alarms[startSidekick] = time.Time{}, time.Time{}
		now := time.Now()
		r.deadline = now.Add(r.StopTimeout)
		switch {
		case r.app == 0: // it was about to be started again
			r.finish()
		case r.sidekick == 0: // it was about to be started again, and another one holds no lease
			r.Log.Warn("there is no sidekick that could deregister; stopping the app all the same. A key that is left lapses with its lease")
			r.runPreStop()
		default:
			r.signal(r.sidekick, unix.SIGTERM)
			// One whose etcd does not answer takes all of that, and a moment to end.
			takes := sidekick.StopBudget + r.Drain
			r.alarms[nextStep] = now.Add(takes + min(moment, (r.StopTimeout-takes)/2))
		}
	case deregistering:
		r.signal(r.sidekick, unix.SIGTERM) // ends the drain
	case preStopping:
		r.killHook()
	case terminating:
		r.tellGroup(s)
	}
}

// late goes to the next step because the time for this one is up.
func (r *run) late() {
	switch r.phase {
	case deregistering: // it goes on trying, beside the app's stop
		r.Log.Error("the sidekick is late to deregister; stopping the app all the same")
		r.runPreStop()
	case preStopping:
		if r.hookKilled { // another user's, perhaps
			r.terminate()
			return
		}
		r.Log.Warn("the command before the stop is late, and is killed", "command", r.PreStop[0])
		r.killHook()
	case terminating:
		r.Log.Warn("the app did not stop in time, and is killed", "stop_timeout", r.StopTimeout)
		r.tellGroup(unix.SIGKILL)
	case finishing:
		r.signal(r.sidekick, unix.SIGKILL)
		r.phase = done
	}
}

// runPreStop runs the command before the stop, for at most half of the time that is left.
func (r *run) runPreStop() {
	r.phase = preStopping
	if r.PreStop == nil {
		r.terminate()
		return
	}
	null, err := os.Open(os.DevNull)
	if err == nil {
		defer func() { _ = null.Close() }()
		r.hook, err = r.startCommand(r.PreStop, []uintptr{null.Fd(), 1, 2})
	}
	if err != nil {
		r.Log.Warn("the command before the stop can't be started", "command", r.PreStop[0], "err", err)
		r.terminate()
		return
	}
	r.alarms[nextStep] = time.Now().Add(time.Until(r.deadline) / 2)
}

// killHook ends the command before the stop. The next step follows its end, or, where it can't
// be killed, a moment later.
func (r *run) killHook() {
	if r.hook != 0 {
		r.signal(-r.hook, unix.SIGKILL)
		if !r.hookKilled {
			r.hookKilled = true
			r.alarms[nextStep] = time.Now().Add(min(moment, time.Until(r.deadline)/2))
		}
	}
}

func (r *run) terminate() {
	r.phase = terminating
	r.Log.Info("stopping the app", "signal", nameOf(r.asked))
	r.tellGroup(r.asked)
	r.tellGroup(unix.SIGCONT) // one that was suspended hears of it
	r.alarms[nextStep] = r.deadline
}

// finish is after the app has ended for good. The sidekick deregisters, and drains no more.
func (r *run) finish() {
	r.phase = finishing
	r.killHook()
	if r.sidekick == 0 {
		r.phase = done
		return
	}
	r.teller.Close()
	r.alarms[nextStep] = time.Now().Add(endTimeout)
}
