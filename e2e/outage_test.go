package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// P6: etcd is away for longer than the TTL, and in the long form than a minute. Nobody
// exits, the log says each cause once a minute at most, and the keys are back soon after
// etcd is.
func TestP6Outage(t *testing.T) {
	t.Parallel()
	restart := func(m *testbed.Member) error { return m.Start() }
	for _, outage := range []fault{
		{"killed and restarted", func(m *testbed.Member) error { m.Kill(); return nil }, restart},
		{"killed and wiped", func(m *testbed.Member) error { m.Kill(); return m.LoseData() }, restart},
		hangs,
	} {
		t.Run(outage.name, func(t *testing.T) {
			t.Parallel()
			eachEtcd(t, func(t *testing.T, binary string) { sufferOutage(t, binary, outage) })
		})
	}
}

func sufferOutage(t *testing.T, binary string, outage fault) {
	m := startRelayedCluster(t, binary, "127.0.0.1", 1).Members[0]
	f := newFleet(t, m.URL, 3, fleetTTL)
	if err := outage.begin(m); err != nil {
		t.Fatal(err)
	}
	began, spent := time.Now(), map[string]time.Duration{}
	for key, p := range f.all {
		spent[key] = processorTime(t, p)
	}
	lasts(t, either(65*time.Second, fleetTTL+3*time.Second))
	var most float64
	for key, p := range f.all {
		most = max(most, (processorTime(t, p)-spent[key]).Seconds()/time.Since(began).Seconds())
	}
	t.Logf("figure: %s: %.2f%% of a CPU while etcd was away", outage.name, 100*most)
	if most > 0.1 {
		t.Errorf("%.2f%% of a CPU while etcd was away, want 1%%, or 10%% at most in a short while on a busy machine", 100*most)
	}

	if err := outage.end(m); err != nil {
		t.Fatal(err)
	}
	if err := m.Ready(); err != nil {
		t.Fatal(err)
	}
	answers := time.Now()
	keys := testbed.FollowKeys(t.Context(), m.Client, "/service/")
	there := answers
	for key := range f.all {
		there = later(there, present(t, m, key))
	}
	// A lease that is not renewed ends within this time, and one more event comes.
	lasts(t, fleetTTL+3*time.Second)
	f.wantAll(m)
	for _, e := range keys.History() {
		there = later(there, e.At) // a lease may have ended while etcd was away
	}
	took := there.Sub(answers)
	t.Logf("figure: %s: all keys are there %.2f s after etcd answers", outage.name, took.Seconds())
	if took > 2*time.Second+busy {
		t.Errorf("all keys are there %s after etcd answers, want 2s at most, or %s on a busy machine", took, 2*time.Second+busy)
	}
	f.wantNoMore(m)
	for _, p := range f.all {
		p.terminate(t)
		wantOnceAMinute(t, p.stderr.String())
	}
}

// present waits until the key is there, and returns when that was.
func present(t *testing.T, m *testbed.Member, key string) time.Time {
	t.Helper()
	err := poll(t, 20*time.Second, func() error { return has(t, m, key) })
	if err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

// has returns an error unless the key is there.
func has(t *testing.T, m *testbed.Member, key string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found, err := m.Client.Get(ctx, key)
	if err == nil && found.Count == 0 {
		err = fmt.Errorf("key %s is not there", key)
	}
	return err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// processorTime returns what the process has used.
func processorTime(t *testing.T, p *process) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
	var user, system int64
	if _, err := fmt.Sscan(fields[12]+" "+fields[13], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // at 100 a second, as on every Linux
}

var logLine = regexp.MustCompile(`time=(\S+) level=WARN (msg=.* err="[^"]*")`)

// wantOnceAMinute wants no cause to be logged again within a minute.
func wantOnceAMinute(t *testing.T, logs string) {
	t.Helper()
	latest := map[string]time.Time{}
	for _, line := range logLine.FindAllStringSubmatch(logs, -1) {
		at, err := time.Parse(time.RFC3339Nano, line[1])
		if err != nil {
			t.Fatal(err)
		}
		if before, again := latest[line[2]]; again && at.Sub(before) < time.Minute-time.Second { // its clock is read before the line's
			t.Errorf("%s was logged again after %s, in\n%s", line[2], at.Sub(before), logs)
		}
		latest[line[2]] = at
	}
	if len(latest) == 0 {
		t.Errorf("nothing is said of the outage in\n%s", logs)
	}
}

// P5: an etcd that takes 2 s for each answer is slow, and not gone: the keys come, and
// stay.
func TestP5SlowEtcd(t *testing.T) {
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		m := startRelayedCluster(t, binary, "127.0.0.1", 1).Members[0]
		m.Relay.Delay(time.Second)
		start := time.Now()
		const ttl = 20 * time.Second // of which a renewal has a quarter to be answered
		f := newFleet(t, m.URL, 3, ttl)
		t.Logf("figure: three registered after %.0f s", time.Since(start).Seconds())
		m.Relay.Delay(0) // for the test's own view, which would be late
		keys := testbed.FollowKeys(t.Context(), m.Client, "/service/")
		m.Relay.Delay(time.Second)
		watched := either(30*time.Second, ttl+3*time.Second)
		lasts(t, watched)
		gone, absent := absence(keys)
		t.Logf("figure: absent %.1f s of %s, %d times", absent.Seconds(), watched, gone)
		if gone > 0 {
			t.Errorf("the keys were absent: %v", keys.History())
		}
		m.Relay.Delay(0)
		f.wantAll(m)
		m.Relay.Delay(200 * time.Millisecond) // a stop has 2 s, of which a busy machine takes its part, or all
		deregistered := 0
		for key, p := range f.all {
			asked := time.Now()
			p.terminate(t)
			logs := p.stderr.String()
			if strings.Contains(logs, "msg=deregistered") {
				deregistered++
			} else if took := time.Since(asked); took < 2*time.Second {
				t.Errorf("%s was not deregistered within %s:\n%s", key, took, logs)
			}
			if strings.Contains(logs, "disturbed") {
				t.Errorf("%s was taken to be disturbed:\n%s", key, logs)
			}
		}
		if deregistered < len(f.all)-1 {
			t.Errorf("%d of %d were deregistered", deregistered, len(f.all))
		}
	})
}
