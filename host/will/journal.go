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
	log    *slog.Logger
	had    bool   // the service had the will
	gone   bool   // and the log warns that it ended
	warned bool   // the log warns that there is no will
	last   string // why there was none
}

func (j *journal) told(lease int64) {
	level, text := slog.LevelDebug, "the host's service has the last will"
	if j.gone || j.warned {
		level, text = slog.LevelInfo, "the host's service has the last will again"
	}
	j.log.Log(context.Background(), level, text, "lease", strconv.FormatInt(lease, 16))
	*j = journal{log: j.log, had: true}
}

func (j *journal) failed(err error) {
	var refused *refusedError
	switch {
	case errors.Is(err, errGone) && j.had:
		if !j.gone {
			j.gone = true
			j.log.Warn("the host's service has ended; it gets the last will again when it is back", "err", err)
		}
	case j.last == err.Error():
	case errors.As(err, &refused) && refused.status == http.StatusForbidden:
		j.warned = true
		j.log.Warn("there is no last will: should the container be killed, its key stays for the TTL", "err", err)
	default:
		j.log.Debug("there is no last will", "err", err)
	}
	j.last = err.Error()
}
