package port

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"dockreg/probe/pidfd"
)

const (
	// lookEvery is how often the port is looked at. It shows what no process's end
	// does: an app that closes its listener, or that runs in another pid namespace.
	lookEvery = 500 * time.Millisecond
	// lookShare bounds what the looks cost where they are slow: a hundredth of the time.
	lookShare = 100
	// signsApart is the least time from sign to sign. A server that forks a process
	// for each request costs a probe a second, and no more.
	signsApart = time.Second
)

// Watcher watches for signs that the app has died, without a word to the app. It is
// not safe for concurrent use.
type Watcher struct {
	Port int          // the app's
	Log  *slog.Logger // says at debug level how it watches, when that changes

	sockets []Listener       // that listened when the port was last looked at
	took    [2]time.Duration // what the latest two looks took
	holders holders
	sign    time.Time // the latest one
	said    string
}

// Await returns at a sign that the app may have died, or when ctx ends. It is to be
// called after each probe, because it learns anew then whom to watch:
//
//   - the processes that hold the listening socket; the end of any is a sign;
//   - where it can't be read who holds it, the processes that might; the end of one
//     is a sign if nobody listens any more;
//   - the port itself, twice a second: it is a sign if the listening sockets are
//     gone. That is all there is if the app runs in another pid namespace, or if
//     pidfd_open(2), Linux 5.3, is missing.
//
// Where nobody listens on the port to begin with, or the kernel won't tell who does,
// there is no sign. Signs are a second apart.
func (w *Watcher) Await(ctx context.Context) {
	gone := w.look()
	if !gone {
		if len(w.sockets) == 0 {
			w.say("the interval alone", nil, nil)
			<-ctx.Done()
			return
		}
		processes, sure := w.learn()
		if processes != nil {
			defer processes.Close()
		}
		for !gone {
			ended := wait(ctx, processes, w.pause())
			if ctx.Err() != nil {
				return
			}
			gone = w.look() || ended && sure
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(w.sign.Add(signsApart))):
		w.sign = time.Now()
	}
}

// look finds out who listens, and says whether all who did are gone.
func (w *Watcher) look() (gone bool) {
	start := time.Now()
	sockets, err := Listeners(w.Port)
	w.took = [2]time.Duration{w.took[1], time.Since(start)}
	if err != nil {
		w.sockets = nil
		return false
	}
	before := w.sockets
	w.sockets = sockets
	return len(before) > 0 && !slices.ContainsFunc(before, func(l Listener) bool { return slices.Contains(sockets, l) })
}

// pause is how long to wait for the next look. It goes by the quicker one of the latest two:
// in a single one the clock may count what others have done meanwhile.
func (w *Watcher) pause() time.Duration {
	return max(lookEvery, lookShare*min(w.took[0], w.took[1]))
}

// learn opens what tells of the end of the app's processes, or nil if nothing does. It
// is sure if they are known to be the app's.
func (w *Watcher) learn() (processes *pidfd.Set, sure bool) {
	w.holders.proc = "/proc"
	holding, hidden := w.holders.find(w.sockets)
	watched, by := holding, "the processes that hold its socket"
	if sure = len(holding) > 0; !sure {
		watched, by = hidden, "the processes that might hold its socket"
	}
	var err error
	if len(watched) > 0 {
		processes, err = pidfd.Open(watched...)
	}
	if processes == nil {
		watched, by = nil, "its port"
	}
	w.say(by, watched, err)
	return processes, sure
}

// wait waits until one of the processes ends, if there are any, for at most d, or until
// ctx ends. It says whether one did.
func wait(ctx context.Context, processes *pidfd.Set, d time.Duration) (ended bool) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if processes == nil {
		<-ctx.Done()
		return false
	}
	_, err := processes.Await(ctx)
	if err != nil {
		<-ctx.Done() // it has already, unless the kernel refuses to wait
	}
	return err == nil
}

// say says how the app is watched, if that has changed. err is why it isn't watched
// by processes.
func (w *Watcher) say(by string, pids []int, err error) {
	if words := fmt.Sprint(by, pids, err); words != w.said {
		w.said = words
		log := w.Log.With("by", by, "pids", pids)
		if err != nil {
			log = log.With("err", err)
		}
		log.Debug("watching the app")
	}
}
