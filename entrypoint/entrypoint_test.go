package entrypoint

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const sec = time.Second

// An app that ends by itself is the end, unless it is to be started again, which takes longer
// from one time to the next until it has run for a while.
func TestAppEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		restart Restart
		lives   []life
		signals []asks
		code    int
		want    string
	}{
		{"for good", Never, []life{{sec, 3, 0, nil, 0}}, nil, 3, `
			0s start app
			0s start sidekick
			1s app ended
			1s SIGTERM to group of app
			3.5s SIGKILL to sidekick
			3.5s exit`},
		{"and fails", OnFailure, []life{{0, 1, 0, nil, 0}, {0, 1, 0, nil, 0}, {10 * sec, 1, 0, nil, 0}, {0, 0, 0, nil, 0}}, nil, 0, `
			0s start app
			0s start sidekick
			0s app ended
			0s SIGTERM to group of app
			100ms start app
			100ms app ended
			100ms SIGTERM to group of app
			300ms start app
			10.3s app ended
			10.3s SIGTERM to group of app
			10.4s start app
			10.4s app ended
			10.4s SIGTERM to group of app
			12.9s SIGKILL to sidekick
			12.9s exit`},
		{"and is stopped while it doesn't run", Always, []life{{0, 0, 0, nil, 0}}, []asks{{50 * time.Millisecond, unix.SIGTERM}}, 0, `
			0s start app
			0s start sidekick
			0s app ended
			0s SIGTERM to group of app
			2.55s SIGKILL to sidekick
			2.55s exit`},
		{"before it starts, again and again", Always, []life{{refuse: errNotThere}}, []asks{{time.Second, unix.SIGTERM}}, 127, `
			0s app can't start
			0s start sidekick
			100ms app can't start
			300ms app can't start
			700ms app can't start
			3.5s SIGKILL to sidekick
			3.5s exit`},
		{"before it starts", Never, []life{{refuse: errNotThere}}, nil, 127, `
			0s app can't start
			0s exit`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// A sidekick that ends only because its time is up, which shows here.
			code, got := live(t, Entrypoint{Restart: c.restart}, map[string][]life{"app": c.lives, "sidekick": {{never, 0, never, nil, 0}}}, c.signals...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			wantRecord(t, got, c.want)
		})
	}
}

// A sidekick that ends is started again, with pauses, and the app does not notice; one that
// can't ever register is not.
func TestSidekickEnds(t *testing.T) {
	t.Parallel()
	code, got := live(t, Entrypoint{}, map[string][]life{
		"app":      {{never, 0, 0, nil, 0}},
		"sidekick": {{sec, 134, 0, nil, 0}, {sec, 1, 0, nil, 0}, {10 * sec, 2, 0, nil, 0}, {sec, ExitUsage, 0, nil, 0}},
	}, asks{100 * sec, unix.SIGTERM})
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	wantRecord(t, got, `
		0s start app
		0s start sidekick
		1s sidekick ended
		1.1s start sidekick
		2.1s sidekick ended
		2.3s start sidekick
		12.3s sidekick ended
		12.4s start sidekick
		13.4s sidekick ended
		1m40s SIGTERM to group of app
		1m40s SIGCONT to group of app
		1m40s app ended
		1m40s SIGTERM to group of app
		1m40s exit`)

	_, got = live(t, Entrypoint{}, map[string][]life{"app": {{never, 0, 0, nil, 0}}, "sidekick": {{refuse: errNotThere}}}, asks{350 * time.Millisecond, unix.SIGTERM})
	wantRecord(t, got, `
		0s start app
		0s sidekick can't start
		100ms sidekick can't start
		300ms sidekick can't start
		350ms SIGTERM to group of app
		350ms SIGCONT to group of app
		350ms app ended
		350ms SIGTERM to group of app
		350ms exit`)
}

// What suspends at a terminal suspends both, with a signal that the app can't ignore; all else
// is the app's.
func TestSignals(t *testing.T) {
	t.Parallel()
	var signals []asks
	for n, s := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT, unix.SIGKILL} {
		signals = append(signals, asks{time.Duration(n+1) * sec, s})
	}
	code, got := live(t, Entrypoint{}, map[string][]life{"app": {{never, 0, never, nil, 0}}, "sidekick": {{never, 0, never, nil, 0}}}, signals...)
	if code != 137 {
		t.Errorf("exit code %d", code)
	}
	wantRecord(t, got, `
		0s start app
		0s start sidekick
		1s SIGHUP to app
		2s SIGINT to app
		3s SIGWINCH to app
		4s SIGSTOP to app
		4s SIGSTOP to itself
		5s SIGCONT to app
		6s SIGKILL to app
		6s app ended
		6s SIGTERM to group of app
		8.5s SIGKILL to sidekick
		8.5s exit`)
}

// An image with another STOPSIGNAL than it was told of stops without a drain, which is said.
func TestTellsOfAnotherStopSignal(t *testing.T) {
	t.Parallel()
	lives := map[string][]life{"app": {{never, 0, sec, nil, 0}}, "sidekick": {obedient}}
	for _, c := range []struct {
		signals []asks
		ends    time.Duration
		warns   bool
	}{
		{[]asks{{10 * sec, unix.SIGQUIT}}, never, true},
		{[]asks{{10 * sec, unix.SIGTERM}}, never, false},
		{[]asks{{10 * sec, unix.SIGHUP}, {11 * sec, unix.SIGTERM}}, never, false},
		{[]asks{{10 * sec, unix.SIGHUP}}, 17 * sec, true},
		{[]asks{{10 * sec, unix.SIGHUP}}, 19 * sec, false},
		{nil, sec, false},
	} {
		lives["app"][0].lasts = c.ends
		var log bytes.Buffer
		live(t, Entrypoint{Log: slog.New(slog.NewTextHandler(&log, nil))}, lives, c.signals...)
		if warns := strings.Contains(log.String(), "the app ended after a signal"); warns != c.warns {
			t.Errorf("%v: warned: %t\n%s", c.signals, warns, log.String())
		}
	}
}

// An app that is suspended at its terminal suspends the entrypoint with it.
func TestSuspended(t *testing.T) {
	t.Parallel()
	_, got := live(t, Entrypoint{}, map[string][]life{"app": {{lasts: 2 * sec, suspends: sec}}, "sidekick": {obedient}}, asks{3 * sec, unix.SIGTERM})
	wantRecord(t, got, `
		0s start app
		0s start sidekick
		1s app suspended
		1s SIGSTOP to itself
		2s app ended
		2s SIGTERM to group of app
		4.5s SIGKILL to sidekick
		4.5s exit`)
}

// A pause doubles up to half a minute, and starts anew after what has run well.
func TestBackoff(t *testing.T) {
	t.Parallel()
	var b backoff
	for n, want := range []string{"100ms", "200ms", "400ms", "800ms", "1.6s", "3.2s", "6.4s", "12.8s", "25.6s", "30s", "30s"} {
		if got := b.after(wellAfter - 1); got.String() != want {
			t.Errorf("pause %d is %s, want %s", n, got, want)
		}
	}
	if got := b.after(wellAfter); got != leastPause {
		t.Errorf("after it ran well: %s", got)
	}
}

// A signal is read as Dockerfiles have it.
func TestParseSignal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]syscall.Signal{
		"TERM": 15, "SIGTERM": 15, "sigquit": 3, "int": 2, "37": 37, "15": 15, "RTMIN+3": 37, "SIGRTMAX-1": 63, "rtmin+": 0, "RTMIN+40": 0, "RTMIN+-3": 0, "RTMIN+0": 0, "WINCH": 28,
		"": 0, "0": 0, "-1": 0, "65": 0, "TREM": 0, "15 TERM": 0, "15x": 0, "KILL": 0, "9": 0, "STOP": 0, "CHLD": 0, "URG": 0, "32": 0,
	} {
		got, err := ParseSignal(text)
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
}
