package entrypoint

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dockreg/sidekick"
)

// A stop goes from step to step, each of which starts when the one before has ended, or its
// time is up, or the stop is asked for again.
func TestStop(t *testing.T) {
	t.Parallel()
	term := asks{10 * sec, unix.SIGTERM}
	for _, c := range []struct {
		name    string
		lives   map[string][]life
		hook    bool
		signals []asks
		code    int
		want    string
	}{
		{"in order", map[string][]life{"app": {{never, 0, sec, nil, 0}}, "sidekick": {obedient}, "hook": {{sec, 0, 0, nil, 0}}}, true, []asks{term}, 0, `
			10s SIGTERM to sidekick
			12s sidekick ended
			12s start hook
			13s hook ended
			13s SIGTERM to group of app
			13s SIGCONT to group of app
			14s app ended
			14s SIGTERM to group of app
			14s exit`},
		{"with the image's own signal", map[string][]life{"app": {{never, 0, sec, nil, 0}}, "sidekick": {obedient}}, false, []asks{{10 * sec, unix.SIGQUIT}}, 0, `
			10s SIGTERM to sidekick
			12s sidekick ended
			12s SIGQUIT to group of app
			12s SIGCONT to group of app
			13s app ended
			13s SIGTERM to group of app
			13s exit`},
		{"of an app that heeds nothing", map[string][]life{"app": {{never, 0, never, nil, 0}}, "sidekick": {obedient}}, false, []asks{term}, 137, `
			10s SIGTERM to sidekick
			12s sidekick ended
			12s SIGTERM to group of app
			12s SIGCONT to group of app
			18s SIGKILL to group of app
			18s app ended
			18s SIGTERM to group of app
			18s exit`},
		{"with a sidekick that hangs", map[string][]life{"app": {{never, 0, sec, nil, 0}}, "sidekick": {{never, 0, never, nil, 0}}}, false, []asks{term}, 0, `
			10s SIGTERM to sidekick
			14.5s SIGTERM to group of app
			14.5s SIGCONT to group of app
			15.5s app ended
			15.5s SIGTERM to group of app
			18s SIGKILL to sidekick
			18s exit`},
		{"with a command that can't be killed", map[string][]life{"app": {{never, 0, sec, nil, 0}}, "sidekick": {obedient}, "hook": {{never, 0, immortal, nil, 0}}}, true, []asks{term}, 0, `
			10s SIGTERM to sidekick
			12s sidekick ended
			12s start hook
			15s SIGKILL to group of hook
			15.5s SIGTERM to group of app
			15.5s SIGCONT to group of app
			16.5s app ended
			16.5s SIGTERM to group of app
			16.5s SIGKILL to group of hook
			16.5s exit`},
		{"asked for again and again beside a command that can't be killed", map[string][]life{"app": {{never, 0, sec, nil, 0}}, "sidekick": {obedient}, "hook": {{never, 0, immortal, nil, 0}}}, true, []asks{term, {13 * sec, unix.SIGTERM}, {13400 * time.Millisecond, unix.SIGTERM}}, 0, `
			10s SIGTERM to sidekick
			12s sidekick ended
			12s start hook
			13s SIGKILL to group of hook
			13.4s SIGKILL to group of hook
			13.5s SIGTERM to group of app
			13.5s SIGCONT to group of app
			14.5s app ended
			14.5s SIGTERM to group of app
			14.5s SIGKILL to group of hook
			14.5s exit`},
		{"with a command that hangs", map[string][]life{"app": {{never, 0, 0, nil, 0}}, "sidekick": {obedient}, "hook": {{never, 0, never, nil, 0}}}, true, []asks{term}, 0, `
			10s SIGTERM to sidekick
			12s sidekick ended
			12s start hook
			15s SIGKILL to group of hook
			15s hook ended
			15s SIGTERM to group of app
			15s SIGCONT to group of app
			15s app ended
			15s SIGTERM to group of app
			15s exit`},
		{"with a command that can't be started", map[string][]life{"app": {{never, 0, 0, nil, 0}}, "sidekick": {obedient}, "hook": {{refuse: errNotThere}}}, true, []asks{term}, 0, `
			10s SIGTERM to sidekick
			12s sidekick ended
			12s hook can't start
			12s SIGTERM to group of app
			12s SIGCONT to group of app
			12s app ended
			12s SIGTERM to group of app
			12s exit`},
		{
			"asked for in each step",
			map[string][]life{"app": {{never, 0, never, nil, 0}}, "sidekick": {obedient}, "hook": {{never, 0, never, nil, 0}}},
			true,
			[]asks{term, {11 * sec, unix.SIGTERM}, {13500 * time.Millisecond, unix.SIGTERM}, {15 * sec, unix.SIGTERM}},
			137, `
			10s SIGTERM to sidekick
			11s SIGTERM to sidekick
			13s sidekick ended
			13s start hook
			13.5s SIGKILL to group of hook
			13.5s hook ended
			13.5s SIGTERM to group of app
			13.5s SIGCONT to group of app
			15s SIGTERM to group of app
			18s SIGKILL to group of app
			18s app ended
			18s SIGTERM to group of app
			18s exit`,
		},
		{"of an app that ends during the drain", map[string][]life{"app": {{11 * sec, 7, 0, nil, 0}}, "sidekick": {obedient}, "hook": {{sec, 0, 0, nil, 0}}}, true, []asks{term}, 7, `
			10s SIGTERM to sidekick
			11s app ended
			11s SIGTERM to group of app
			12s sidekick ended
			12s exit`},
		{"of an app that ends during the command", map[string][]life{"app": {{12500 * time.Millisecond, 7, 0, nil, 0}}, "sidekick": {obedient}, "hook": {{sec, 0, 0, nil, 0}}}, true, []asks{term}, 7, `
			10s SIGTERM to sidekick
			12s sidekick ended
			12s start hook
			12.5s app ended
			12.5s SIGTERM to group of app
			12.5s SIGKILL to group of hook
			12.5s exit`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := Entrypoint{StopSignal: unix.SIGQUIT, Restart: Always} // which a stop ends
			if c.hook {
				e.PreStop = []string{""}
			}
			code, got := live(t, e, c.lives, c.signals...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			wantRecord(t, got, "0s start app\n0s start sidekick\n"+strings.TrimSpace(c.want))
		})
	}
}

// A sidekick whose etcd does not answer takes all the time that it has, and a little more to
// end: it is not late.
func TestSidekickThatTakesItsTimeIsNotLate(t *testing.T) {
	t.Parallel()
	slow := life{lasts: never, stops: sidekick.StopBudget + 2*sec + 100*time.Millisecond}
	var log bytes.Buffer
	_, got := live(t, Entrypoint{Log: slog.New(slog.NewTextHandler(&log, nil))}, map[string][]life{"app": {{never, 0, sec, nil, 0}}, "sidekick": {slow}}, asks{10 * sec, unix.SIGTERM})
	wantRecord(t, got, `
		0s start app
		0s start sidekick
		10s SIGTERM to sidekick
		14.1s sidekick ended
		14.1s SIGTERM to group of app
		14.1s SIGCONT to group of app
		15.1s app ended
		15.1s SIGTERM to group of app
		15.1s exit`)
	if strings.Contains(log.String(), "late") {
		t.Error(log.String())
	}
}
