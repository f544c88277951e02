package host

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// accepted returns the two ends of a connection that this process opened.
func accepted(t *testing.T) (server, client *net.UnixConn) {
	t.Helper()
	at := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"}
	socket, err := net.ListenUnix("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	if client, err = net.DialUnix("unix", nil, at); err != nil {
		t.Fatal(err)
	}
	if server, err = socket.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return server, client
}

// The kernel says who opened a connection.
func TestCallerOf(t *testing.T) {
	t.Parallel()
	server, _ := accepted(t)
	c, err := callerOf(server, time.Now(), cgroupsOf)
	if err != nil {
		t.Fatal(err)
	}
	defer c.process.Close()
	if c.pid != os.Getpid() || c.process.Ended() || len(c.cgroups) == 0 {
		t.Errorf("%+v", c)
	}
	if _, err := callerOf(server, time.Now(), func(int) (cgroups, error) { return nil, errHidden }); !errors.Is(err, errHidden) {
		t.Errorf("%v", err)
	}
}

// P11: what is read of a process that has ended meanwhile may be another's.
func TestP11CallerEndsMeanwhile(t *testing.T) {
	t.Parallel()
	pid, end := start(t)
	process, err := holdOld(pid, time.Now().Add(2*oldEnough))
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{pid: pid, process: process}
	defer process.Close()
	if _, err := c.look(cgroupsOf); err != nil {
		t.Errorf("%v", err)
	}
	if _, err := c.look(func(int) (cgroups, error) { end(); return cgroups{"": "/docker/" + otherID}, nil }); !errors.Is(err, errEnded) {
		t.Errorf("%v", err)
	}
}

// P11: before Linux 6.5 only the age of a process tells that it is the one that opened a
// connection.
func TestP11OlderKernel(t *testing.T) {
	t.Parallel()
	pid, end := start(t)
	if _, err := holdOld(pid, time.Now().Add(-time.Minute)); !errors.Is(err, errYoung) {
		t.Errorf("just started: %v", err)
	}
	process, err := holdOld(pid, time.Now().Add(oldEnough+time.Second))
	if err != nil {
		t.Errorf("old enough: %v", err)
	} else {
		process.Close()
	}
	end()
	if _, err := holdOld(pid, time.Now().Add(oldEnough+time.Second)); !errors.Is(err, errEnded) {
		t.Errorf("ended: %v", err)
	}
	if age, err := ageOf(os.Getpid(), time.Now()); err != nil || age < 0 || age > time.Hour {
		t.Errorf("this process is %s old, %v", age, err)
	}
	// Of a host that runs for years, too.
	if years := 4 * 365 * 24 * time.Hour; afterBoot(int64(years/time.Second)*ticks) != years {
		t.Errorf("%s after the boot is taken for %s", years, afterBoot(int64(years/time.Second)*ticks))
	}
}
