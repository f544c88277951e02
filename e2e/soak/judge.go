package main

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// address is where an app listens, and what is registered there by one instance
// after the other, and sometimes by two. What the judge has to know of it is
// guarded by the judge's mutex.
type address struct {
	key string
	app *app

	failing time.Time // since when the app fails; zero if it passes
	passing time.Time // since when it last passed
	all     []*instance

	there   bool
	holder  *instance // whose record the key has; nil: it is no instance's
	written time.Time // when the key was last put
	wrong   time.Time // since when the key is not there with an instance's record
	damaged bool      // wrong is what somebody else did
	// An operator has a hand in it, or had, until then; or until then, and maybe later.
	touching         bool
	touched, doubted time.Time

	blamed map[string]time.Time // by promise: the instant from which on it was found broken
}

// judge knows what is done to apps, instances, keys and members, follows the keys
// as a consumer does, and tells whether they are as promised.
type judge struct {
	log *slog.Logger

	mu        sync.Mutex
	addresses map[string]*address // by key
	leases    map[int64]*instance // whose each is that a key was on
	findings  map[string]*finding // by promise
	revision  int64               // up to which the keys are known
	deletions int
	revoked   int // keys that a resumed leader revoked
	probes    int
	unproven  int // probes that failed although the app was well

	fault   time.Time // since when a member fails; zero if none does
	healed  time.Time // when the last one that failed was well again
	resumed time.Time // when a leader that had hung was last resumed
	term    uint64
	elected time.Time // when a leader was last elected
	away    bool      // etcd is: nothing can be as promised
	back    time.Time // when it last was back
	busy    time.Time // when the machine was last seen to be too busy for narrow bounds
}

// finding is what was seen of one promise.
type finding struct {
	seen, broken     int
	slowest, hardest time.Duration // when all else was well, and when not
}

// slack is what is added to each bound. hardship is added where a member fails: that
// has to be noticed, the member given up, and perhaps a leader elected. exhaustion is
// added where the machine is busy: what takes a millisecond takes longer than quick. It
// is taken to be busy for busyFor: little tells of it in between. An app that is well and
// fails a probe excuses its own instance alone.
//
// What an operator got no answer to may be done as much as doubt later: a packet that
// is lost is sent again after 13 s, if the last try was at 6 s.
const (
	slack    = time.Second
	doubt    = 20 * time.Second
	hardship = 5 * time.Second
	quick    = 200 * time.Millisecond
	busyFor  = 10 * time.Second

	exhaustion = 20 * time.Second
)

// The promises that the judge tells apart, and for how long the keys may differ
// from them.
var promises = []struct {
	name, says string
	bound      time.Duration
}{
	{"P1", "a key is there only while its app passes", interval + timeout},
	{"P2", "a stop takes the key away", 0},
	{"P3", "a newer instance's key is left alone", 0},
	{"P4", "a deleted, overwritten or revoked key is right again", time.Second},
	{"P5", "a member's failure costs no absence of a key", 0},
	{"P6", "a key is back with its app, instance or etcd", 2 * time.Second},
	{"P7", "nothing is written while all is well", 0},
	{"P8", "the key of a killed instance lapses", ttl + 1500*time.Millisecond},
	{"P10", "no secret is logged", 0},
}

func bound(promise string) time.Duration {
	for _, p := range promises {
		if p.name == promise {
			return p.bound + slack
		}
	}
	return slack
}

func newJudge(log *slog.Logger) *judge {
	j := &judge{log: log, addresses: map[string]*address{}, leases: map[int64]*instance{}, findings: map[string]*finding{}}
	for _, p := range promises {
		j.findings[p.name] = &finding{}
	}
	return j
}

// blame counts a broken promise.
func (j *judge) blame(promise string, a *address, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken(promise, a, format, args...)
}

func (j *judge) broken(promise string, a *address, format string, args ...any) {
	j.findings[promise].broken++
	key := ""
	if a != nil {
		key = a.key
	}
	j.log.Error("BROKEN", "promise", promise, "key", key, "what", fmt.Sprintf(format, args...), "fault", since(j.fault), "healed", since(j.healed), "elected", since(j.elected), "busy", since(j.busy))
}

// since is for the log.
func since(t time.Time) string {
	if t.IsZero() {
		return "no"
	}
	return time.Since(t).Round(time.Millisecond).String()
}

// kept counts a promise that was kept, and how long it took.
func (j *judge) kept(promise string, from, now time.Time) {
	f, took := j.findings[promise], now.Sub(from)
	f.seen++
	if took > bound(promise) {
		j.log.Debug("slow", "promise", promise, "took", took)
	}
	if j.grace(from) > 0 {
		f.hardest = max(f.hardest, took)
	} else {
		f.slowest = max(f.slowest, took)
	}
}

// grace is what hardship, or exhaustion, adds to a bound that began at from.
func (j *judge) grace(from time.Time) time.Duration {
	switch before := from.Add(-slack); {
	case j.busy.After(before.Add(-busyFor)):
		return exhaustion
	case !j.fault.IsZero() || j.healed.After(before) || j.elected.After(before):
		return hardship
	}
	return 0
}

// totals are for the progress.
func (j *judge) totals() (broken int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.findings {
		broken += f.broken
	}
	return broken
}

// The judge is told what is done, below; each from the instant on at which it counts.

func (j *judge) behaves(a *address, m mode) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log.Debug("the app "+m.String(), "key", a.key)
	switch {
	case m == passes:
		a.failing, a.passing = time.Time{}, time.Now()
	case a.failing.IsZero():
		a.failing = time.Now()
	}
}

func (j *judge) started(a *address, i *instance) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a.all = append(a.all, i)
}

func (j *judge) ending(a *address, i *instance, killed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log.Debug("an instance ends", "key", a.key, "instance", i.record, "killed", killed)
	i.ending, i.killed = time.Now(), killed
}

// remains tells that an instance had been stopped, and its key was still there.
func (j *judge) remains(a *address, i *instance, stopped time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.grace(i.ending) == 0 {
		a.blamed["P2"] = i.ending
		j.broken("P2", a, "%s has ended after %s, and left its key", i.record, stopped.Sub(i.ending))
	}
}

// looked tells that a Register has looked at the key.
func (j *judge) looked(i *instance) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i.looked.IsZero() {
		i.looked = time.Now()
	}
}

func (j *judge) probed(a *address, i *instance, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.probes++
	if err == nil {
		return
	}
	i.failed = time.Now()
	if a.failing.IsZero() && time.Since(a.passing) > interval {
		j.unproven++
	}
}

// took tells how long something took that takes a millisecond.
func (j *judge) took(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if d > quick {
		j.busy = time.Now()
	}
}

// touches tells that an operator is about to do something to the key.
func (j *judge) touches(a *address) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a.touching = true
}

// touched tells that an operator has done it. With an error it may yet be done: a
// follower hands it to a leader that was cut off, and it arrives once that is back.
func (j *judge) touched(a *address, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a.touching, a.touched = false, time.Now()
	if err != nil {
		j.log.Debug("an operator got no answer", "key", a.key, "err", err)
		a.doubted = a.touched
	}
}

func (j *judge) memberFails(kind string, member int, leader bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log.Debug("a member "+kind, "member", member, "leader", leader)
	j.fault = time.Now()
}

// etcdGoes tells that all members have been killed, or that one answers again.
func (j *judge) etcdGoes(away bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log.Debug("etcd goes or is back", "away", away)
	j.away, j.back = away, time.Now()
}

func (j *judge) memberResumes(leader bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log.Debug("the member is resumed")
	if leader {
		j.resumed = time.Now()
	}
}

func (j *judge) memberHealed() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log.Debug("all members are well")
	j.fault, j.healed = time.Time{}, time.Now()
}
