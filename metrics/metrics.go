// Package metrics tells a monitoring system what a sidekick does, in Prometheus's text
// format (https://prometheus.io/docs/instrumenting/exposition_formats/). Names follow its
// conventions (https://prometheus.io/docs/practices/naming/).
package metrics

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dockreg/sidekick"
)

// Sidekick counts what one does. It is a sidekick.Observer, and safe for concurrent use.
type Sidekick struct {
	registry *prometheus.Registry
	probes   *prometheus.CounterVec
	took     prometheus.Histogram
	happened map[sidekick.Occasion]prometheus.Counter
	taken    prometheus.Counter
	requests *prometheus.HistogramVec
	errors   *prometheus.CounterVec

	mu      sync.Mutex
	members []string // with requests, the one that was asked last at the end
}

// The classes of what a probe comes to.
var results = []string{"passed", "not_listening", "timeout", "failed"}

// NewSidekick returns the metrics of a sidekick, of whose state status tells.
func NewSidekick(version, commit string, ttl time.Duration, status func() sidekick.Status) *Sidekick {
	m := &Sidekick{
		registry: prometheus.NewRegistry(),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dockreg_probes_total", Help: "Probes of the app, by what came of them.",
		}, []string{"result"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dockreg_probe_duration_seconds", Help: "How long probes of the app took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dockreg_etcd_request_duration_seconds", Help: "How long requests to a member of etcd took, with connecting to it where that was due.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"member"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dockreg_etcd_request_errors_total", Help: "Requests to a member of etcd that failed, or were not answered in time.",
		}, []string{"member"}),
		happened: map[sidekick.Occasion]prometheus.Counter{},
		taken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dockreg_takeovers_total", Help: "How often the app's key took the place of an earlier instance's.",
		}),
	}
	for _, result := range results {
		m.probes.WithLabelValues(result)
	}
	for occasion, text := range map[sidekick.Occasion][2]string{
		sidekick.Registered:   {"dockreg_registrations_total", "How often the app was registered, after it was not."},
		sidekick.Deregistered: {"dockreg_deregistrations_total", "How often the app was deregistered, because it failed its probe or dockreg was asked to stop."},
		sidekick.Repaired:     {"dockreg_repairs_total", "How often the registration was put right after it was disturbed, or could not be renewed."},
		sidekick.StoodBy:      {"dockreg_stand_bys_total", "How often another, newer instance had the key."},
		sidekick.Drained:      {"dockreg_drains_total", "How often a stop waited for consumers to notice."},
	} {
		m.happened[occasion] = prometheus.NewCounter(prometheus.CounterOpts{Name: text[0], Help: text[1]})
		m.registry.MustRegister(m.happened[occasion])
	}
	gauge := func(name, help string, value func(sidekick.Status) float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(status()) }))
	}
	gauge("dockreg_app_up", "1 while the app passes its probe.", func(s sidekick.Status) float64 { return of(s.App == "up") })
	gauge("dockreg_registered", "1 while the app is registered.", func(s sidekick.Status) float64 { return of(s.Registered) })
	gauge("dockreg_records", "Keys that the app is to be registered with; 0 before its address is known.", func(s sidekick.Status) float64 { return float64(len(s.Records)) })
	gauge("dockreg_lease_renewal_age_seconds", "How long ago the lease was renewed last; 0 before the first time.", func(s sidekick.Status) float64 { return age(s.Renewed) })
	gauge("dockreg_lease_ttl_seconds", "The lease's TTL, as it was asked for.", func(sidekick.Status) float64 { return ttl.Seconds() })
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dockreg_build_info", Help: "1, with what this dockreg was built from.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(m.taken, m.probes, m.took, m.requests, m.errors, info)
	return m
}

func of(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t).Seconds()
}

// Probed is sidekick.Observer's.
func (m *Sidekick) Probed(err error, took time.Duration) {
	m.took.Observe(took.Seconds())
	m.probes.WithLabelValues(resultOf(err)).Inc()
}

func resultOf(err error) string {
	switch {
	case err == nil:
		return "passed"
	case errors.Is(err, sidekick.ErrNotListening):
		return "not_listening"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "failed"
}

// Happened is sidekick.Observer's.
func (m *Sidekick) Happened(what sidekick.Occasion) { m.happened[what].Inc() }

// TookOver counts that a key took the place of an earlier instance's.
func (m *Sidekick) TookOver() { m.taken.Inc() }

// Requested counts a request to a member of etcd. Members may get new names for ever, by SRV
// records: the one that was not asked for the longest time is forgotten then.
func (m *Sidekick) Requested(member string, took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members = append(slices.DeleteFunc(m.members, func(other string) bool { return other == member }), member)
	if len(m.members) > mostMetrics {
		m.requests.DeleteLabelValues(m.members[0])
		m.errors.DeleteLabelValues(m.members[0])
		m.members = slices.Delete(m.members, 0, 1)
	}
	m.requests.WithLabelValues(member).Observe(took.Seconds())
	if counter := m.errors.WithLabelValues(member); err != nil {
		counter.Inc()
	}
}
