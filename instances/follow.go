package instances

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
)

// Kind is what an Event says.
type Kind string

// The kinds of events. After Lost comes Back, and Gap if something may have happened
// meanwhile that nobody can tell of any more; then what is known to have changed.
const (
	Listed  Kind = "listed"  // the first word: what there is
	Came    Kind = "came"    // a key was put that was not there
	Went    Kind = "went"    // it was deleted, or its lease was revoked or lapsed
	Changed Kind = "changed" // it was put again: with another value, or by another instance
	Lost    Kind = "lost"    // etcd can't be asked; told again for another reason, up to 20 of them
	Back    Kind = "back"    // it can be again
	Gap     Kind = "gap"     // what happened meanwhile is not known
)

// Event is a change, or why none can be told.
type Event struct {
	Kind     Kind
	At       time.Time // when it was heard of
	Instance Instance  // of Came, Went and Changed: as it is now, or was at last
	Before   Instance  // of Changed
	Since    time.Time // of Went and Changed: when it came; zero if that was before Listed
	Listing  Listing   // of Listed
	Err      error     // of Lost and Gap
}

const (
	// mostChecks is how often, at the most, all keys are read after an outage: where others
	// come and go all the time, something always differs.
	mostChecks = 10
	// aliveEvery is how often etcd is asked for nothing while it tells of nothing.
	aliveEvery = 3 * time.Second
	// mostReasons is for how many reasons it is told, of one outage, that etcd can't be asked.
	mostReasons = 20
	// leastPause and mostPause are between tries, while it can't be asked.
	leastPause, mostPause = 100 * time.Millisecond, 2 * time.Second
)

var (
	errOther = errors.New("etcd lost its data, or has older data again")
	// errAgain ends a watch from a revision that is not the right one any more.
	errAgain = errors.New("it is to be watched from another revision")
)

// Follow tells of the keys below prefixes, first of what there is and then of each change,
// below each prefix in etcd's order, until ctx ends. An etcd that is away is asked until it is back, and then
// for what happened meanwhile: nothing is left out that etcd still knows.
func Follow(ctx context.Context, e Etcd, prefixes []string, tell func(Event)) {
	f := &follower{etcd: e, prefixes: prefixes, tell: tell, known: map[string]known{}, told: map[string]bool{}}
	for pause := leastPause; ctx.Err() == nil; {
		begun := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue // with another revision
		}
		f.lose(err)
		if time.Since(begun) > mostPause {
			pause = leastPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, mostPause)
	}
}

type known struct {
	Instance
	since time.Time
}

type follower struct {
	etcd     Etcd
	prefixes []string
	tell     func(Event)

	known   map[string]known
	listed  bool
	cluster uint64
	heard   []int64          // by prefix: the revision up to which all is told
	checks  int              // how often what is known is yet to be held against what is there
	differs map[string]int64 // the keys of which it differed the last time, and their revisions
	told    map[string]bool  // why etcd can't be asked; empty: it can be
}

func (f *follower) say(kind Kind, e Event) {
	e.Kind, e.At = kind, time.Now()
	f.tell(e)
}

func (f *follower) lose(err error) {
	if !f.told[err.Error()] && len(f.told) < mostReasons {
		f.told[err.Error()] = true
		f.say(Lost, Event{Err: err})
	}
}

// follow follows until etcd can't be asked, or a watch ends; nil: it is to be watched from
// another revision.
func (f *follower) follow(ctx context.Context) error {
	var client *clientv3.Client
	var header *etcdserverpb.ResponseHeader
	err := f.etcd.Ask(ctx, etcd.Timeout, func(ctx context.Context, c *clientv3.Client) error {
		for _, prefix := range f.prefixes { // one of which may be refused
			found, err := c.Get(ctx, prefix, clientv3.WithCountOnly(), clientv3.WithPrefix())
			if err != nil {
				return fmt.Errorf("read keys: %w", err)
			}
			client, header = c, found.Header
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case !f.listed:
		err = f.list(ctx, nil)
	case f.isOther(header):
		err = f.list(ctx, errOther)
	default:
		f.back()
	}
	if err != nil {
		return err
	}
	err = f.watch(ctx, client)
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return f.list(ctx, errors.New("etcd has forgotten what happened since (it was compacted)"))
	case errors.Is(err, errAgain):
		return nil
	}
	return err
}

// isOther says whether an answer is of another history than the one that was heard.
func (f *follower) isOther(header *etcdserverpb.ResponseHeader) bool {
	return f.cluster != header.ClusterId || slices.Max(f.heard) > header.Revision
}

func (f *follower) back() {
	if len(f.told) > 0 {
		clear(f.told)
		f.say(Back, Event{})
	}
}

// list reads all keys, and tells what is different from what was known. gap is why
// something may have happened of which no trace is left.
func (f *follower) list(ctx context.Context, gap error) error {
	l, err := List(ctx, f.etcd, f.prefixes)
	if err != nil {
		return err
	}
	f.back()
	f.take(l, gap)
	return nil
}

// take makes what was read what is known. Watches are to begin anew behind it.
func (f *follower) take(l Listing, gap error) {
	f.cluster, f.heard = l.Cluster, slices.Repeat([]int64{l.Revision}, len(f.prefixes))
	if !f.listed {
		f.listed = true
		for _, i := range l.Instances {
			f.known[i.Key] = known{Instance: i}
		}
		f.say(Listed, Event{Listing: l})
		return
	}
	f.say(Gap, Event{Err: gap})
	there := map[string]bool{}
	for _, i := range l.Instances {
		there[i.Key] = true
	}
	for key := range f.known {
		if !there[key] {
			f.went(key)
		}
	}
	for _, i := range l.Instances {
		if was, ok := f.known[i.Key]; !ok || was.Instance != i {
			f.came(i)
		}
	}
}

// check holds what is known against what is there. What differs twice in the same way is no
// event that is still on its way.
func (f *follower) check(ctx context.Context) error {
	l, err := List(ctx, f.etcd, f.prefixes)
	if err != nil {
		return err
	}
	f.checks--
	differs := map[string]int64{}
	there := map[string]bool{}
	for _, i := range l.Instances {
		there[i.Key] = true
		if f.known[i.Key].Instance != i {
			differs[i.Key] = i.Modified
		}
	}
	for key := range f.known {
		if !there[key] {
			differs[key] = 0
		}
	}
	for key, revision := range differs {
		if before, ok := f.differs[key]; ok && before == revision {
			f.take(l, errOther)
			return errAgain
		}
	}
	if f.differs = differs; len(differs) == 0 {
		f.checks = 0
	}
	return nil
}

func (f *follower) came(i Instance) {
	was, ok := f.known[i.Key]
	if ok && was.Created == i.Created {
		f.known[i.Key] = known{i, was.since}
		f.say(Changed, Event{Instance: i, Before: was.Instance, Since: was.since})
		return
	}
	if ok { // it went and came, and nobody heard
		f.went(i.Key)
	}
	f.known[i.Key] = known{i, time.Now()}
	f.say(Came, Event{Instance: i})
}

func (f *follower) went(key string) {
	if was, ok := f.known[key]; ok {
		delete(f.known, key)
		f.say(Went, Event{Instance: was.Instance, Since: was.since})
	}
}
