package sidekick

import (
	"context"
	"log/slog"
	"time"
)

// journal is what the log says of a key, and when: that it is there or gone, once,
// and why it is not as it should be, each cause at most once a minute. Nothing in here
// decides anything.
type journal struct {
	throttle
	board *board // says the same at any time
	key   string

	since          time.Time // when what is wanted now was first wanted, or was lost
	saidRegistered bool      // the log says "registered" last, not "deregistered"
	damaged        bool      // the log says of something that is to be repaired
	holder         string    // who has the key, as the log says; "": no other instance
	saidUnsure     bool      // the log says that the address can't be looked up
}

// found is at the start, and after the address has changed.
func (j *journal) found(msg string, at Place) {
	j.key, j.saidRegistered = at.Records.Key(), false
	j.standsBy("") // the key is another one
	j.wanted()
	j.board.registered(false)
	j.board.set(func(now *Status) {
		if now.Address, now.Records = "", at.Records; at.Address.IsValid() {
			now.Address = at.Address.String()
		}
	})
	attrs := []any{"address", at.Address.String(), "key", j.key}
	if !at.Address.IsValid() {
		msg, attrs = "the app needs no address", attrs[2:]
	}
	if more := len(at.Records); more > 1 {
		attrs = append(attrs, "records", more)
	}
	j.logger.Info(msg, attrs...)
}

// unsure is when the address can't be looked up, and stays. It is news once: nothing is
// amiss, unless that stays so.
func (j *journal) unsure(err error) {
	if !j.saidUnsure {
		j.saidUnsure = j.warn("can't look up the address; going on with the one it was", err)
	}
}

// sure is when the address was looked up.
func (j *journal) sure() { j.saidUnsure = false }

// wanted is when something else is wanted than before.
func (j *journal) wanted() { j.since = time.Now() }

// holds is when the key has come, or has come back.
func (j *journal) holds() {
	j.board.registered(true)
	switch took := time.Since(j.since); {
	case !j.saidRegistered:
		j.board.happened(Registered)
		j.logger.Info("registered", "key", j.key, "took", took)
	case j.damaged:
		j.board.happened(Repaired)
		j.logger.Info("registered again", "key", j.key, "took", took)
	}
	j.saidRegistered, j.damaged, j.holder = true, false, ""
}

// gone is when the key has been taken away.
func (j *journal) gone() {
	j.board.registered(false)
	if j.saidRegistered {
		j.board.happened(Deregistered)
		j.logger.Info("deregistered", "key", j.key, "took", time.Since(j.since))
	}
	j.saidRegistered = false
	j.standsBy("")
}

// disturbed is when the key may not be as it was any more.
func (j *journal) disturbed(reason error) {
	j.board.registered(false)
	j.wanted()
	if j.warn("the registration was disturbed; repairing it", reason) {
		j.damaged = true
	}
}

// lost is when the key is gone, and was ours, or was waited for.
func (j *journal) lost(err error, held bool) {
	j.board.registered(false)
	j.warn("the key has to be earned again; probing the app and looking up the address", err)
	j.damaged = true // that it is back is news, even if this was said a moment ago
	if held || j.holder != "" {
		j.wanted()
	}
	j.standsBy("")
}

// taken is when another instance has the key.
func (j *journal) taken(err error) {
	j.board.registered(false)
	if j.holder != err.Error() {
		j.board.happened(StoodBy)
		j.logger.Warn("another instance has the key; standing by until it is gone", "err", err, "key", j.key)
	}
	j.saidRegistered = false
	j.standsBy(err.Error())
}

// standsBy is why another instance has the key; empty: none has it, as far as is known.
func (j *journal) standsBy(holder string) {
	j.holder = holder
	j.board.set(func(now *Status) { now.Holder = holder })
}

// failed is when the registry could not do as it was asked.
func (j *journal) failed(kind callKind, err error, held bool) {
	msg := "can't deregister; trying again"
	switch {
	case kind == register && held:
		msg = "can't renew the registration; trying again"
		j.wanted()
	case kind == register:
		msg = "can't register; trying again"
	}
	j.warn(msg, err)
	j.damaged = true
}

// warn says whether it did.
func (j *journal) warn(msg string, cause error) bool {
	j.board.fault(cause)
	return j.log(slog.LevelWarn, msg, cause, "key", j.key)
}

// throttle logs the same cause at most once a minute, and no more than linesAMinute of
// all causes together: some are worded differently each time.
type throttle struct {
	logger *slog.Logger
	seen   map[string]*occasion
	most   *occasion // what was left out for being too much
}

const linesAMinute = 20

// occasion is when a cause was logged, and how often it was left out since.
type occasion struct {
	at      time.Time
	leftOut int
}

func newThrottle(log *slog.Logger) throttle {
	return throttle{logger: log, seen: map[string]*occasion{}, most: &occasion{}}
}

// log says whether it did.
func (t throttle) log(level slog.Level, msg string, cause error, attrs ...any) bool {
	id := msg + ": " + cause.Error()
	before := t.seen[id]
	switch {
	case before == nil && t.lately() >= linesAMinute:
		t.most.leftOut++
		return false
	case before == nil:
		before = &occasion{}
	case time.Since(before.at) < time.Minute:
		before.leftOut++
		return false
	}
	if leftOut := before.leftOut + t.most.leftOut; leftOut > 0 {
		attrs = append(attrs, "left_out", leftOut)
	}
	t.forget()
	t.most.leftOut = 0
	t.seen[id] = &occasion{at: time.Now()}
	t.logger.Log(context.Background(), level, msg, append([]any{"err", cause}, attrs...)...)
	return true
}

// lately returns how many causes were logged within the last minute.
func (t throttle) lately() (count int) {
	for _, o := range t.seen {
		if time.Since(o.at) < time.Minute {
			count++
		}
	}
	return count
}

// forget drops what is over.
func (t throttle) forget() {
	for id, o := range t.seen {
		if ago := time.Since(o.at); ago >= time.Hour || o.leftOut == 0 && ago >= time.Minute {
			delete(t.seen, id)
		}
	}
}
