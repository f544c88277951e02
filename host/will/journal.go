package will

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
)

// journal logs what becomes of the will, once each time that it changes.
type journal struct {
	log  *slog.Logger
	had  bool   // the service had the will
	gone bool   // and the log says that it ended
	last string // what the log said last of why there is none
}

func (j *journal) told(lease int64) {
	level, text := slog.LevelDebug, "the host's service has the last will"
	if j.gone || j.last != "" {
		level, text = slog.LevelInfo, "the host's service has the last will again"
	}
	//nolint:sloglint // one of the two constants above
	j.log.Log(context.Background(), level, text, "lease", strconv.FormatInt(lease, 16))
	j.had, j.gone, j.last = true, false, ""
}

func (j *journal) failed(err error) {
	var refused *refusedError
	switch {
	case errors.Is(err, errGone):
		if j.had && !j.gone {
			j.gone = true
			j.log.Warn("the host's service has ended; it gets the last will again when it is back", "err", err)
		}
	case errors.As(err, &refused) && refused.status == http.StatusForbidden && j.last != err.Error():
		j.last = err.Error()
		j.log.Warn("there is no last will: should the container be killed, its key stays for the TTL", "err", err)
	default:
		j.log.Debug("there is no last will", "err", err)
	}
}
