package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// metricsPath is where metrics are told, with the app's port behind it, by which several
// sidekicks of one container differ; 0: it has none.
const metricsPath = "/dockreg/metrics/"

const (
	// TellMetricsEvery is how often a service that takes metrics is told them.
	TellMetricsEvery = 10 * time.Second
	// notTakenPause is after a service said that it takes none: it may be started anew in
	// another way.
	notTakenPause = time.Minute
)

// Metrics tells the host's service what Prometheus is to read there of a sidekick, until
// Close. Nobody waits for it.
type Metrics struct {
	client *http.Client
	path   string
	gather func() ([]byte, error)
	log    *slog.Logger
	cancel context.CancelFunc
	ended  chan struct{}
}

// NewMetrics tells what gather returns, every TellMetricsEvery. socket is a path.
func NewMetrics(socket string, port uint16, gather func() ([]byte, error), log *slog.Logger) *Metrics {
	ctx, cancel := context.WithCancel(context.Background())
	m := &Metrics{
		client: clientOf(socket), path: metricsPath + strconv.Itoa(int(port)), gather: gather, log: log,
		cancel: cancel, ended: make(chan struct{}),
	}
	go func() {
		defer close(m.ended)
		m.keep(ctx)
	}()
	return m
}

// Close ends the telling, and has the service forget what it was told, if it listens.
func (m *Metrics) Close() {
	m.cancel()
	<-m.ended
}

func (m *Metrics) keep(ctx context.Context) {
	defer m.client.CloseIdleConnections()
	taken, last := false, "" // what the log said
	for {
		err := m.tell(ctx)
		taken = taken || err == nil || ctx.Err() != nil // when they may be
		text := "taken"
		if err != nil {
			text = err.Error()
		}
		if text != last && ctx.Err() == nil {
			m.log.Debug("told the host's service the metrics", "err", err)
			last = text
		}
		select {
		case <-ctx.Done():
			if taken {
				m.forget()
			}
			return
		case <-time.After(pauseAfter(err)):
		}
	}
}

// pauseAfter is how long to wait after they have been told, or have not.
func pauseAfter(err error) time.Duration {
	refused := (*refusedError)(nil)
	switch {
	case errors.Is(err, errOther):
		return elsewherePause
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		return notTakenPause
	}
	return TellMetricsEvery
}

func (m *Metrics) tell(ctx context.Context) error {
	text, err := m.gather()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := ask(ctx, m.client, http.MethodPut, m.path, text)
	if err == nil {
		_ = answer.Body.Close()
	}
	return err
}

func (m *Metrics) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if answer, err := ask(ctx, m.client, http.MethodDelete, m.path, nil); err == nil {
		_ = answer.Body.Close()
	}
}
