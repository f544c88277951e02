package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// journal logs what becomes of the will, once each time that it changes.
type journal struct {
	log    *slog.Logger
	had    bool   // the service had the will
	gone   bool   // and the log warns that it ended
	warned bool   // the log warns that there is no will
	last   string // why there was none

	failing time.Time // since when the service has not taken the will; zero: it has
}

func (j *journal) told(lease int64) {
	level, text := slog.LevelDebug, "the host's service has the last will"
	if j.gone || j.warned {
		level, text = slog.LevelInfo, "the host's service has the last will again"
	}
	j.log.Log(context.Background(), level, text, "lease", inHex(lease))
	*j = journal{log: j.log, had: true}
}

// warnAfter is how long a service may have reasons of its own not to take a will, such as
// an etcd that is away, before the log warns of it.
const warnAfter = 30 * time.Second

func (j *journal) failed(err error) {
	now := time.Now()
	if j.failing.IsZero() {
		j.failing = now
	}
	var refused *refusedError
	switch {
	case errors.Is(err, errGone) && j.had:
		if !j.gone {
			j.gone = true
			j.log.Warn("the host's service has ended; it gets the last will again when it is back")
		}
	case errors.As(err, &refused) && (!j.warned || j.last != err.Error()) &&
		(refused.status == http.StatusForbidden || now.Sub(j.failing) >= warnAfter):
		j.warned = true
		j.log.Warn("there is no last will: should the container be killed, its key stays for the TTL", "err", err)
	case j.last != err.Error():
		j.log.Debug("there is no last will", "err", err)
	}
	j.last = err.Error()
}
