package metrics

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"dockreg/host"
	"dockreg/host/client"
	"dockreg/sidekick"
)

const (
	// forgetAfter is how long what a sidekick told last is shown: it has missed two times.
	forgetAfter = 3 * client.TellMetricsEvery
	// mostSidekicks bounds those of a host, and mostOfOne those of one container.
	mostSidekicks = 1024
	mostOfOne     = 16
)

// Host gathers what the sidekicks of a host tell, and what its service does. It is a
// host.Metrics, and safe for concurrent use.
type Host struct {
	registry *prometheus.Registry // of the service's own
	executed prometheus.Histogram
	shapes   map[string]*shape

	mu   sync.Mutex
	told map[teller]*told
}

// teller is one sidekick.
type teller struct {
	id   string
	port uint16
}

// told is what one has told.
type told struct {
	container string
	at        time.Time
	ended     func() bool
	families  map[string][]*dto.Metric // by the metric's name
}

// NewHost returns the metrics of a host's service.
func NewHost(version, commit string) *Host {
	h := &Host{
		registry: prometheus.NewRegistry(),
		executed: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dockreg_host_last_will_duration_seconds", Help: "How long after a container's end its keys were gone.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		shapes: shapesOf(NewSidekick(version, commit, time.Second, func() sidekick.Status { return sidekick.Status{} })),
		told:   map[teller]*told{},
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dockreg_host_build_info", Help: "1, with what this dockreg host was built from.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	h.registry.MustRegister(info, h.executed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dockreg_host_sidekicks", Help: "Sidekicks of this host that tell their metrics.",
	}, func() float64 { return float64(len(h.current())) }))
	return h
}

// Executed is host.Metrics's.
func (h *Host) Executed(took time.Duration) { h.executed.Observe(took.Seconds()) }

// Take is host.Metrics's. What is not as a sidekick of this version tells it is left out: it
// may be of another one.
func (h *Host) Take(from host.Source, text []byte) error {
	labels := []*dto.LabelPair{labelOf("container", from.Container)}
	if from.Port != 0 {
		labels = append(labels, labelOf("port", strconv.Itoa(int(from.Port))))
	}
	families, err := unpack(text, h.shapes, labels)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	who := teller{from.ID, from.Port}
	if h.told[who] == nil {
		ofOne := 0
		for other := range h.told {
			if other.id == from.ID {
				ofOne++
			}
		}
		if ofOne >= mostOfOne || len(h.told) >= mostSidekicks {
			return fmt.Errorf("metrics of too many sidekicks; taken are those of %d in a container, and of %d in all", mostOfOne, mostSidekicks)
		}
	}
	h.told[who] = &told{from.Container, time.Now(), from.Ended, families}
	return nil
}

// Forget is host.Metrics's.
func (h *Host) Forget(from host.Source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.told, teller{from.ID, from.Port})
}

// sweep forgets what is no more.
func (h *Host) sweep() {
	for who, t := range h.told {
		if time.Since(t.at) > forgetAfter || t.ended() {
			delete(h.told, who)
		}
	}
}

// current returns what is told now, sorted by container and port.
func (h *Host) current() []*told {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep()
	who := slices.SortedFunc(maps.Keys(h.told), func(a, b teller) int {
		return cmp.Or(cmp.Compare(h.told[a].container, h.told[b].container), cmp.Compare(a.id, b.id), cmp.Compare(a.port, b.port))
	})
	all := make([]*told, len(who))
	for i, w := range who {
		all[i] = h.told[w]
	}
	return all
}

// Gather is prometheus.Gatherer's.
func (h *Host) Gather() ([]*dto.MetricFamily, error) {
	all, err := h.registry.Gather()
	if err != nil {
		return nil, err
	}
	sidekicks := h.current()
	for _, name := range slices.Sorted(maps.Keys(h.shapes)) {
		s := h.shapes[name]
		family := &dto.MetricFamily{Name: &s.name, Help: &s.help, Type: &s.kind}
		for _, told := range sidekicks {
			family.Metric = append(family.Metric, told.families[name]...)
		}
		if len(family.Metric) > 0 {
			all = append(all, family)
		}
	}
	return all, nil
}

// Serve answers at an address until Close. Its error is that nobody can listen there.
func (h *Host) Serve(ctx context.Context, address string) (*Server, error) {
	return serve(ctx, address, h)
}
