// Package control is how an entrypoint tells its sidekick of the app's process: over a pipe,
// of which each has one end. It knows of the end by its own wait, so that a crash costs no
// probe.
package control

import (
	"context"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"dockreg/sidekick"
)

// Descriptor is the number of the pipe's end in the sidekick's process.
const Descriptor = 3

// What is said: a byte each. The pipe's end says that there will be no app any more.
const (
	running = 'r'
	ended   = 'e'
)

// Teller is the entrypoint's end.
type Teller struct{ pipe *os.File }

// New returns both ends. The sidekick's is for its process, and to be closed here.
func New() (t *Teller, theirs *os.File, err error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	return &Teller{ours}, theirs, nil
}

// Running says that the app's process has started.
func (t *Teller) Running() { t.tell(running) }

// Ended says that the app's process has ended.
func (t *Teller) Ended() { t.tell(ended) }

// tell tries once, and waits for nobody. The pipe takes 65,536 words from an app that comes and
// goes before it is full; a sidekick that has read none of them hangs, and is killed at the stop.
// It has no deadline: one that is over before the try, as on a machine that stood still, would
// lose the word.
func (t *Teller) tell(what byte) {
	if conn, err := t.pipe.SyscallConn(); err == nil {
		_ = conn.Write(func(fd uintptr) bool {
			_, _ = unix.Write(int(fd), []byte{what})
			return true
		})
	}
}

// Close says that the app does not come back: the sidekick is to deregister, and to end
// without a drain.
func (t *Teller) Close() { _ = t.pipe.Close() }

// App is the sidekick's view of the app's process. It is safe for concurrent use.
type App struct {
	over chan struct{} // closed at the pipe's end

	mu      sync.Mutex
	running bool
	ends    int           // of the app's process, so far
	told    int           // of those, that a probe has told
	end     chan struct{} // closed at the next one
}

// Follow reads from the sidekick's end until that of the pipe. Until it has been told
// otherwise, there is no process. No command that the sidekick runs inherits that end.
func Follow(pipe *os.File) *App {
	if conn, err := pipe.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { unix.CloseOnExec(int(fd)) })
	}
	a := &App{over: make(chan struct{}), end: make(chan struct{})}
	go func() {
		defer close(a.over)
		defer func() { _ = pipe.Close() }()
		said := make([]byte, 64)
		for {
			n, err := pipe.Read(said)
			for _, what := range said[:n] {
				a.hear(what)
			}
			if err != nil {
				a.hear(ended)
				return
			}
		}
	}()
	return a
}

func (a *App) hear(what byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running && what == ended {
		a.ends++
		close(a.end)
		a.end = make(chan struct{})
	}
	a.running = what == running
}

// state says whether there is a process, all ends before which have been told, and when its
// own comes. A probe tells of them.
func (a *App) state(tells bool) (is bool, end <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	is = a.running && a.told == a.ends
	if tells {
		a.told = a.ends
	}
	return is, a.end
}

// Over is closed when the app does not come back.
func (a *App) Over() <-chan struct{} { return a.over }

// Prober probes while there is a process, and fails at once when that ends, once at least for
// each end.
func (a *App) Prober(p sidekick.Prober) sidekick.Prober { return prober{a, p} }

type prober struct {
	app *App
	sidekick.Prober
}

func (p prober) Probe(ctx context.Context) error {
	is, end := p.app.state(true)
	if !is {
		return sidekick.ErrNotRunning
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- p.Prober.Probe(ctx) }()
	select {
	case err := <-result:
		return err
	case <-end:
		cancel()
		<-result // probes end with their context
		return sidekick.ErrNotRunning
	}
}

// Watcher watches as w does, and for the end of the process.
func (a *App) Watcher(w sidekick.Watcher) sidekick.Watcher { return watcher{a, w} }

type watcher struct {
	app *App
	sidekick.Watcher
}

func (w watcher) Await(ctx context.Context) {
	is, end := w.app.state(false)
	if !is {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-end:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Watcher.Await(ctx)
}
