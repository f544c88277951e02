package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxTold bounds what a sidekick tells at a time of what Prometheus is to read. One has some
// 2 KB to tell.
const maxTold = 16 << 10

// Metrics is what Prometheus reads of this host: what its sidekicks tell, and what the
// service does. Its methods never block.
type Metrics interface {
	// Take keeps what a sidekick tells, in the place of what it told before. The error is
	// what is wrong with it.
	Take(from Source, told []byte) error
	// Forget is for a sidekick that ends.
	Forget(from Source)
	// Executed is after a last will was executed, with how long ago its container had ended.
	Executed(took time.Duration)
}

// Source is a sidekick, as the service knows it.
type Source struct {
	Container string      // its name
	ID        string      // the container's
	Port      uint16      // the app's; 0: none
	Ended     func() bool // whether the container's first process has ended
}

var (
	errNoMetrics = errors.New("no metrics are taken here: the service was started without --metrics")
	errTold      = fmt.Errorf("no metrics: they have a Content-Length of 1 to %d bytes", maxTold)
)

// answerMetrics answers a sidekick that tells what Prometheus is to read of it (PUT), or
// that it ends (DELETE). Docker is not asked for it.
func (s *Service) answerMetrics(ctx context.Context, c *conn, r *http.Request, port string) (reply, error) {
	if s.Metrics == nil {
		return reply{}, refuse(http.StatusNotFound, errNoMetrics)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return reply{}, refuse(http.StatusForbidden, errForbidden)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	first, err := s.own(ctx, c.caller)
	if err != nil {
		return reply{}, err
	}
	from := Source{Container: first.name, ID: first.container, Port: uint16(number), Ended: func() bool { return s.containers.ended(first) }}
	if r.Method == http.MethodDelete {
		s.Metrics.Forget(from)
		return reply{status: http.StatusNoContent}, nil
	}
	if r.ContentLength < 1 || r.ContentLength > maxTold {
		return reply{}, refuse(http.StatusForbidden, errTold)
	}
	told := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, told); err != nil {
		return reply{}, fmt.Errorf("read metrics: %w", err)
	}
	if err := s.Metrics.Take(from, told); err != nil {
		return reply{}, refuse(http.StatusForbidden, err)
	}
	return reply{status: http.StatusNoContent}, nil
}
