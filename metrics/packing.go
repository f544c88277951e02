package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// mostMetrics bounds those of one name that a sidekick has: one for each member of etcd.
	mostMetrics = 16
	// longestLabel bounds a label's value, in bytes.
	longestLabel = 256
)

// Pack returns all metrics as dockreg host takes them: in Prometheus's protobuf format, each
// family behind its length.
func (m *Sidekick) Pack() ([]byte, error) {
	all, err := m.registry.Gather()
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	e := expfmt.NewEncoder(&packed, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for _, family := range all {
		if err := e.Encode(family); err != nil {
			return nil, err
		}
	}
	return packed.Bytes(), nil
}

// shape is how the metrics of one name are to look.
type shape struct {
	name, help string
	kind       dto.MetricType
	labels     []string // sorted
	bounds     []float64
}

// shapesOf returns those of a sidekick's metrics.
func shapesOf(m *Sidekick) map[string]*shape {
	m.Requested("a member", time.Second, nil)
	all, err := m.registry.Gather()
	if err != nil {
		panic(err) // a name that is registered twice
	}
	shapes := map[string]*shape{}
	for _, family := range all {
		one := family.GetMetric()[0]
		s := &shape{name: family.GetName(), help: family.GetHelp(), kind: family.GetType()}
		for _, l := range one.GetLabel() {
			s.labels = append(s.labels, l.GetName())
		}
		for _, b := range one.GetHistogram().GetBucket() {
			s.bounds = append(s.bounds, b.GetUpperBound())
		}
		shapes[s.name] = s
	}
	return shapes
}

var errNoFormat = errors.New("not metrics as dockreg tells them: families in Prometheus's protobuf format, each behind its length")

// unpack reads what a sidekick has told, which anybody in its container may have written:
// nothing is kept but numbers, and label values of a known label. The labels behind them are
// the service's own.
func unpack(text []byte, shapes map[string]*shape, labels []*dto.LabelPair) (map[string][]*dto.Metric, error) {
	families := map[string][]*dto.Metric{}
	for len(text) > 0 {
		one, n := protowire.ConsumeBytes(text)
		if n < 0 {
			return nil, errNoFormat
		}
		text = text[n:]
		var family dto.MetricFamily
		if err := proto.Unmarshal(one, &family); err != nil {
			return nil, errNoFormat
		}
		s := shapes[family.GetName()]
		if s == nil || s.kind != family.GetType() {
			continue
		}
		if families[s.name] != nil {
			return nil, fmt.Errorf("%s is told twice", s.name)
		}
		if len(family.GetMetric()) > mostMetrics {
			return nil, fmt.Errorf("%s has %d metrics; %d are the most that are taken", s.name, len(family.GetMetric()), mostMetrics)
		}
		seen := map[string]bool{}
		for _, told := range family.GetMetric() {
			id, copied := s.copyOf(told)
			if copied == nil || seen[id] {
				continue
			}
			seen[id] = true
			copied.Label = append(copied.Label, labels...)
			families[s.name] = append(families[s.name], copied)
		}
	}
	if len(families) == 0 {
		return nil, errNoFormat
	}
	return families, nil
}

// copyOf returns a metric's numbers and label values, with what tells it from others of its
// name. It is nil if it has not that shape.
func (s *shape) copyOf(told *dto.Metric) (id string, copied *dto.Metric) {
	copied = &dto.Metric{}
	values := make([]string, 0, len(s.labels))
	for _, l := range told.GetLabel() {
		if i := len(values); i >= len(s.labels) || l.GetName() != s.labels[i] || len(l.GetValue()) > longestLabel || !utf8.ValidString(l.GetValue()) {
			return "", nil
		}
		values = append(values, l.GetValue())
		copied.Label = append(copied.Label, labelOf(l.GetName(), l.GetValue()))
	}
	if len(values) != len(s.labels) {
		return "", nil
	}
	switch s.kind {
	case dto.MetricType_GAUGE:
		copied.Gauge = &dto.Gauge{Value: proto.Float64(told.GetGauge().GetValue())}
		if !isFinite(*copied.Gauge.Value) {
			return "", nil
		}
	case dto.MetricType_COUNTER:
		copied.Counter = &dto.Counter{Value: proto.Float64(told.GetCounter().GetValue())}
		if v := *copied.Counter.Value; !isFinite(v) || v < 0 {
			return "", nil
		}
	case dto.MetricType_HISTOGRAM:
		if copied.Histogram = s.histogramOf(told.GetHistogram()); copied.Histogram == nil {
			return "", nil
		}
	default:
		return "", nil
	}
	return strings.Join(values, "\xff"), copied
}

func (s *shape) histogramOf(told *dto.Histogram) *dto.Histogram {
	h := &dto.Histogram{SampleCount: proto.Uint64(told.GetSampleCount()), SampleSum: proto.Float64(told.GetSampleSum())}
	before := uint64(0)
	for i, b := range told.GetBucket() {
		count := b.GetCumulativeCount()
		if i >= len(s.bounds) || b.GetUpperBound() != s.bounds[i] || count < before {
			return nil
		}
		before = count
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: proto.Float64(s.bounds[i]), CumulativeCount: proto.Uint64(count)})
	}
	if len(h.Bucket) != len(s.bounds) || h.GetSampleCount() < before || !isFinite(h.GetSampleSum()) {
		return nil
	}
	return h
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func labelOf(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: proto.String(name), Value: proto.String(value)}
}
