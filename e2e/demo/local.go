package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"dockreg/e2e/testbed"
)

// local is an instance on this machine, without Docker: what supervisord does in a
// container, start the app again, it does itself.
type local struct {
	binary  string // dockreg's
	address string
	dockreg *exec.Cmd

	stop    context.CancelFunc // ends the app, and the starting of it
	stopped chan struct{}

	mu  sync.Mutex
	app *exec.Cmd
}

func (l *local) Start(etcdURL string) (string, error) {
	number, err := testbed.LowPort("127.0.0.1")
	if err != nil {
		return "", err
	}
	port := strconv.Itoa(number)
	l.address = net.JoinHostPort("127.0.0.1", port)
	self, err := os.Executable()
	if err != nil {
		return "", err
	}

	l.dockreg = exec.Command(l.binary, "--etcd", etcdURL, "--port", port, "--ip", "127.0.0.1", "--host-port", port)
	l.dockreg.Env = testbed.CleanEnv()
	l.dockreg.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo to pass on
	if err := l.dockreg.Start(); err != nil {
		return "", err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop, l.stopped = stop, make(chan struct{})
	go func() {
		defer close(l.stopped)
		l.supervise(ctx, self)
	}()
	return l.address, nil
}

// supervise runs the app, again whenever it ends, until ctx does.
func (l *local) supervise(ctx context.Context, self string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(startDelay):
		}
		app := exec.CommandContext(ctx, self, "-serve", l.address)
		if err := app.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "demo: start the app:", err)
			continue
		}
		l.mu.Lock()
		l.app = app
		l.mu.Unlock()
		_ = app.Wait() // killed, by the demo itself
	}
}

func (l *local) Crash() (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now(), l.app.Process.Kill()
}

func (l *local) Stop() error {
	err := l.dockreg.Process.Signal(syscall.SIGTERM)
	err = errors.Join(err, l.dockreg.Wait())
	l.stop()
	<-l.stopped
	return err
}

func (l *local) Stopping() string { return "SIGTERM to its dockreg, and then to the app" }

func (l *local) Remove() error {
	if l.dockreg == nil || l.stop == nil || l.dockreg.ProcessState != nil {
		return nil
	}
	return l.Stop()
}

func (l *local) String() string { return fmt.Sprintf("dockreg is process %d", l.dockreg.Process.Pid) }

// serveApp is the app.
func serveApp(address string) error {
	server := &http.Server{
		Addr:              address,
		ReadHeaderTimeout: time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, "Hello from process %d\n", os.Getpid())
		}),
	}
	return server.ListenAndServe()
}
