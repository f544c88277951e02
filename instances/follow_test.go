package instances

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// told follows a store in a bubble, and keeps what was told, and when.
type told struct {
	*store
	began time.Time
	mu    sync.Mutex
	lines []string
}

// following does something to a store that is followed, and what is followed of it is what
// lines say, from the second on.
func following(t *testing.T, prefixes []string, do func(f *told)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &told{store: newStore(t), began: time.Now()}
		f.put("/service/10.1.0.101:1", "running")
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		following.Go(func() { Follow(ctx, f, prefixes, f.take) })
		synctest.Wait()
		f.want(t, "0s listed")
		do(f)
		cancel()
		following.Wait()
	})
}

func (f *told) take(e Event) {
	line := []string{time.Since(f.began).String(), string(e.Kind)}
	if e.Instance.Key != "" {
		line = append(line, strings.TrimPrefix(e.Instance.Key, "/service/"), "="+e.Instance.Value)
	}
	if e.Err != nil {
		line = append(line, e.Err.Error())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, strings.Join(line, " "))
}

// want is what was told since the last time.
func (f *told) want(t *testing.T, lines ...string) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if got, want := strings.Join(f.lines, "\n"), strings.Join(lines, "\n"); got != want {
		t.Errorf("told:\n%s\nwant\n%s", got, want)
	}
	f.lines = nil
}

// wantLast is want for so many lines, of which the last one ends like this.
func (f *told) wantLast(t *testing.T, lines int, last string) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) != lines || !strings.HasSuffix(f.lines[lines-1], last) {
		t.Errorf("told %q, want %d lines and%s at the end", f.lines, lines, last)
	}
	f.lines = nil
}

// at waits until that long after the beginning.
func (f *told) at(after time.Duration) {
	time.Sleep(after - time.Since(f.began)) // in the bubble, whose time it is
	synctest.Wait()
}

// meanwhile does something while the store is away: who follows it sees that at 3 s, and has it
// back at 3.7 s.
func (f *told) meanwhile(do func()) {
	f.goAway(errors.New("no answer"))
	f.at(3500 * time.Millisecond)
	do()
	f.goAway(nil)
}

// loseData leaves the store as a new one, of the same cluster.
func (f *told) loseData() {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	f.revision, f.history = 1, nil
	clear(f.keys)
}

var service = []string{"/service/"}

// Each change is told at once, and as what it is.
func TestFollow(t *testing.T) {
	t.Parallel()
	following(t, []string{"/service/", "/skydns/"}, func(f *told) {
		f.at(time.Second)
		f.put("/service/10.1.0.102:1", "running")
		f.want(t, "1s came 10.1.0.102:1 =running")
		f.put("/service/10.1.0.102:1", "draining")
		f.want(t, "1s changed 10.1.0.102:1 =draining")
		f.put("/skydns/web", "{}")
		f.want(t, "1s came /skydns/web ={}")
		f.put("/elsewhere/10.1.0.103:1", "running")
		f.at(2 * time.Second)
		f.delete("/service/10.1.0.101:1")
		f.delete("/service/10.1.0.102:1")
		f.want(t, "2s went 10.1.0.101:1 =running", "2s went 10.1.0.102:1 =draining")
		f.put("/service/10.1.0.101:1", "running")
		f.want(t, "2s came 10.1.0.101:1 =running")
	})
}

// An etcd that is away is asked more and more seldom; what happened meanwhile is told when it
// is back, and then what is known is held against what there is until it is the same.
func TestFollowOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	following(t, service, func(f *told) {
		f.at(time.Second)
		before := f.listed()
		f.goAway(errors.New("no answer"))
		f.at(4 * time.Second)
		f.want(t, "3s lost no answer") // when it was asked for nothing
		f.put("/service/10.1.0.102:1", "running")
		f.at(10 * time.Second)
		f.goAway(nil)
		// Asked 0.1, 0.3, 0.7, 1.5, 3.1, 5.1 and 7.1 s after it was lost.
		f.at(11 * time.Second)
		f.want(t, "10.1s back", "10.1s came 10.1.0.102:1 =running")
		f.at(time.Minute)
		f.want(t)
		if got := f.listed() - before; got != 1 {
			t.Errorf("all keys were read %d times, want once", got)
		}
	})
}

// What there was no trace of is told as a gap, and then what differs.
func TestFollowTellsOfGaps(t *testing.T) {
	t.Parallel()
	following(t, service, func(f *told) {
		f.meanwhile(func() {
			f.delete("/service/10.1.0.101:1")
			f.put("/service/10.1.0.102:1", "running")
			f.compact()
		})
		f.at(5 * time.Second)
		f.want(t, "3s lost no answer", "3.7s back",
			"3.7s gap etcd has forgotten what happened since (it was compacted)", "3.7s went 10.1.0.101:1 =running", "3.7s came 10.1.0.102:1 =running")
	})
	following(t, service, func(f *told) { // one that lost its data, and has as many revisions again
		f.meanwhile(func() {
			f.loseData()
			f.put("/service/10.1.0.103:1", "running")
		})
		f.at(time.Minute)
		f.want(t, "3s lost no answer", "3.7s back", "9.7s gap "+errOther.Error(), "9.7s went 10.1.0.101:1 =running", "9.7s came 10.1.0.103:1 =running")
	})
	following(t, service, func(f *told) { // one that has older data again
		f.at(time.Second)
		f.put("/service/10.1.0.102:1", "running")
		f.want(t, "1s came 10.1.0.102:1 =running")
		f.meanwhile(func() {
			f.store.mu.Lock()
			f.revision, f.history = f.revision-1, nil
			delete(f.keys, "/service/10.1.0.102:1")
			f.store.mu.Unlock()
		})
		f.at(5 * time.Second)
		f.want(t, "3s lost no answer", "3.7s back", "3.7s gap "+errOther.Error(), "3.7s went 10.1.0.102:1 =running")
	})
	following(t, service, func(f *told) { // a key that went and came, of which nothing but its revision tells
		f.meanwhile(func() {
			f.delete("/service/10.1.0.101:1")
			f.put("/service/10.1.0.101:1", "running")
			f.compact()
		})
		f.at(5 * time.Second)
		f.want(t, "3s lost no answer", "3.7s back",
			"3.7s gap etcd has forgotten what happened since (it was compacted)", "3.7s went 10.1.0.101:1 =running", "3.7s came 10.1.0.101:1 =running")
	})
	following(t, service, func(f *told) { // one that lost its data just before the watches listen
		f.loseData()
		f.put("/service/10.1.0.103:1", "running")
		f.at(time.Minute)
		f.want(t, "6s gap "+errOther.Error(), "6s went 10.1.0.101:1 =running", "6s came 10.1.0.103:1 =running")
	})
	following(t, service, func(f *told) { // another one
		f.meanwhile(func() {
			f.store.mu.Lock()
			f.cluster = 2
			f.store.mu.Unlock()
		})
		f.at(time.Minute)
		f.want(t, "3s lost no answer", "3.7s back", "3.7s gap "+errOther.Error())
	})
}

// Of one outage, no more than so many reasons are told, each once; of the next one, again.
func TestFollowTellsFewReasons(t *testing.T) {
	t.Parallel()
	following(t, service, func(f *told) {
		for n := range mostReasons + 10 {
			f.goAway(fmt.Errorf("reason %d", n))
			f.at(time.Duration(2*n+6) * time.Second)
		}
		f.wantLast(t, mostReasons, fmt.Sprintf(" lost reason %d", mostReasons-1))
		f.goAway(nil)
		f.at(2 * time.Minute)
		f.wantLast(t, 1, " back")
		f.goAway(errors.New("reason 1"))
		f.at(124 * time.Second)
		f.wantLast(t, 1, " lost reason 1")
	})
}

// Where one prefix is refused, etcd can't be asked until it is not, and that is told once.
func TestFollowOfARefusedPrefix(t *testing.T) {
	t.Parallel()
	following(t, []string{"/service/", "/skydns/"}, func(f *told) {
		f.meanwhile(func() { f.refuse("/skydns/") })
		f.at(time.Minute)
		f.wantLast(t, 2, " permission denied")
		f.refuse("")
		f.at(time.Minute + mostPause)
		f.wantLast(t, 1, " back")
	})
}

// Where watches hear nothing of a change, what is known is held against what there is no more
// than so many times.
func TestFollowChecksFewTimes(t *testing.T) {
	t.Parallel()
	following(t, service, func(f *told) {
		var before int
		f.meanwhile(func() {
			f.store.mu.Lock()
			f.silent = true
			f.store.mu.Unlock()
			before = f.listed()
		})
		for n := range 100 { // something always differs
			f.put("/service/10.1.0.102:1", fmt.Sprint(n))
			f.at(5*time.Second + time.Duration(n)*time.Second)
		}
		if got := f.listed() - before; got != mostChecks {
			t.Errorf("all keys were read %d times, want %d", got, mostChecks)
		}
	})
}
