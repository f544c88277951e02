package main

import (
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// take takes in what a member says about the keys. All of them say the same, each in
// its own time: the first to say it counts.
func (j *judge) take(events []*clientv3.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	known, now := j.revision, time.Now()
	for _, e := range events {
		a := j.addresses[string(e.Kv.Key)]
		if e.Kv.ModRevision <= known || a == nil {
			continue
		}
		j.revision = e.Kv.ModRevision
		if e.Type == clientv3.EventTypeDelete {
			j.deleted(a, now)
		} else {
			j.put(a, string(e.Kv.Value), e.Kv.Lease, now)
		}
	}
}

func (j *judge) put(a *address, record string, lease int64, now time.Time) {
	var by *instance
	if n := slices.IndexFunc(a.all, func(i *instance) bool { return i.record == record }); n >= 0 {
		by = a.all[n]
	}
	j.log.Debug("put", "key", a.key, "record", record, "lease", lease)
	if by != nil && !j.leased(a, by, lease, now) {
		by = nil // it is no better than a record of somebody else's
	}
	before := a.holder
	switch {
	case by == nil:
		a.wrong, a.damaged = now, true
	case before != nil && before != by:
		j.findings["P3"].seen++
		if !by.looked.IsZero() && a.written.After(by.looked) {
			j.broken("P3", a, "%s overwrote what %s, the newer, had put", by.record, before.record)
		}
	default:
		if promise, from := j.due(a); promise != "" && from.After(j.back) {
			j.kept(promise, from, now)
		}
	}
	a.there, a.holder, a.written = true, by, now
}

// leased says whether a key that was put with an instance's record is on a lease of that
// instance's. If it isn't, and no operator has had a hand in it, a promise is broken: the
// key would outlive its instance, or end with another.
func (j *judge) leased(a *address, by *instance, lease int64, now time.Time) bool {
	owner, known := j.leases[lease]
	switch {
	case lease != 0 && (!known || owner == by):
		j.leases[lease] = by
		return true
	case j.operated(a, now):
	case lease == 0:
		j.broken("P8", a, "%s put its key without a lease", by.record)
	default:
		j.broken("P8", a, "%s put its key on a lease of %s", by.record, owner.record)
	}
	return false
}

// operated says whether an operator may have done what has just been seen of a key.
func (j *judge) operated(a *address, now time.Time) bool {
	return a.touching || a.touched.After(now.Add(-slack)) || a.doubted.After(now.Add(-doubt))
}

func (j *judge) deleted(a *address, now time.Time) {
	j.deletions++
	i, from := a.holder, now.Add(-slack)
	a.there, a.holder, a.wrong, a.damaged = false, nil, now, false
	why := ""
	switch {
	case j.operated(a, now):
		why, a.damaged = "an operator", true
	case i == nil:
		j.broken("P3", a, "a key that is no instance's was deleted")
	case !i.ending.IsZero():
		why = "its instance ended"
		promise := "P2"
		if i.killed {
			promise = "P8"
		}
		j.kept(promise, i.ending, now)
	case !a.failing.IsZero() || i.failed.After(from.Add(-j.grace(now))):
		why = "its app failed"
		if !a.failing.IsZero() {
			j.kept("P1", a.failing, now)
		}
	case j.resumed.After(j.within(from, now)):
		why, a.damaged = "a resumed leader", true
		j.revoked++
	case slices.ContainsFunc(a.all, func(other *instance) bool { return other != i && other.ending.IsZero() }):
		j.broken("P3", a, "the key of %s was deleted, and there is another instance", i.record)
	default:
		j.broken("P5", a, "the key of %s was deleted, whose app passes", i.record)
	}
	j.log.Debug("deleted", "key", a.key, "by", why)
}

// within is how far back a leader may have been resumed that revokes leases now: it looks for
// those that have run out twice a second, or later where the machine is busy.
func (j *judge) within(from, now time.Time) time.Time {
	if grace := j.grace(now); grace == exhaustion {
		return from.Add(-grace)
	}
	return from
}

// due says since when the key should be there and is not, and by which promise; ""
// if it should not.
func (j *judge) due(a *address) (promise string, from time.Time) {
	if !a.failing.IsZero() || a.there && a.holder != nil {
		return "", from
	}
	promise, from = "P6", a.wrong
	if a.damaged {
		promise = "P4"
	}
	var oldest *instance
	for _, i := range a.all {
		if i.ending.IsZero() && (oldest == nil || i.started.Before(oldest.started)) {
			oldest = i
		}
	}
	if oldest == nil {
		return "", from
	}
	for _, needed := range []time.Time{a.passing, oldest.started, oldest.failed} {
		if needed.After(from) {
			promise, from = "P6", needed
		}
	}
	return promise, from
}

// look finds the promises that are broken by now.
func (j *judge) look(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.addresses {
		// An instance that ended, and has no key any more, is none of the judge's
		// business.
		a.all = slices.DeleteFunc(a.all, func(i *instance) bool {
			return i != a.holder && !i.ending.IsZero() && now.Sub(i.ending) > 2*ttl
		})
		if promise, from := j.due(a); promise != "" {
			j.late(promise, a, from, now, "the key is not there with an instance's record")
		}
		i := a.holder
		switch {
		case i == nil:
		case i.killed:
			from := i.ending
			// A leader gives each lease its TTL again, and the time of an election.
			if j.elected.After(from) {
				from = j.elected.Add(time.Second)
			}
			j.late("P8", a, from, now, "the key of a killed instance is there")
		case !i.ending.IsZero():
			from := i.ending
			if j.grace(from) > 0 { // it lapses if no member answered within the time for a stop
				from = from.Add(2*time.Second + bound("P8"))
			}
			j.late("P2", a, from, now, "the key of a stopped instance is there")
		case !a.failing.IsZero():
			j.late("P1", a, a.failing, now, "the key is there, and the app fails")
		}
	}
}

// late counts a promise as broken, once for each occasion, if its bound is over. The
// time in which etcd was away doesn't count.
func (j *judge) late(promise string, a *address, from, now time.Time, what string) {
	since := from
	if j.back.After(from) {
		since = j.back
	}
	if !j.away && now.Sub(since) > bound(promise)+j.grace(from) && !a.blamed[promise].Equal(from) {
		a.blamed[promise] = from
		j.broken(promise, a, "%s %s after it should", what, now.Sub(from).Round(time.Millisecond))
	}
}
