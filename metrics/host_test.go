package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"dockreg/host"
	"dockreg/sidekick"
)

func alive() bool { return false }

// packed is what a sidekick tells that is registered, after some probes.
func packed(t *testing.T) []byte {
	t.Helper()
	m := NewSidekick("1.2.3", "abc", 20*time.Second, func() sidekick.Status { return sidekick.Status{App: "up", Registered: true} })
	m.Probed(nil, 30*time.Millisecond)
	m.Probed(context.DeadlineExceeded, 3*time.Second)
	m.Requested("http://10.1.0.101:2379", 2*time.Millisecond, errors.New("away"))
	text, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// scraped is what Prometheus reads.
func (h *Host) scraped(t *testing.T) string {
	t.Helper()
	s, err := h.Serve(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	answer, err := http.Get("http://" + s.Address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v\n%s", answer.StatusCode, err, text)
	}
	return string(text)
}

// What sidekicks tell is all there in one scrape, each with its container and its port, and
// Prometheus's own linter has nothing to say.
func TestHostMetrics(t *testing.T) {
	t.Parallel()
	h := NewHost("1.2.3", "abc")
	text := packed(t)
	if len(text) > 4<<10 {
		t.Errorf("%d bytes are told", len(text))
	}
	for _, from := range []host.Source{
		{Container: "web-1", ID: "a", Port: 8000, Ended: alive}, {Container: "web-1", ID: "a", Port: 8001, Ended: alive}, {Container: "worker", ID: "b", Ended: alive},
	} {
		if err := h.Take(from, text); err != nil {
			t.Fatal(err)
		}
	}
	h.Executed(30 * time.Millisecond)
	all := h.scraped(t)
	for _, line := range []string{
		`dockreg_app_up{container="web-1",port="8000"} 1`, `dockreg_app_up{container="web-1",port="8001"} 1`, `dockreg_app_up{container="worker"} 1`,
		`dockreg_probes_total{result="timeout",container="web-1",port="8000"} 1`,
		`dockreg_probe_duration_seconds_bucket{container="worker",le="0.05"} 1`, `dockreg_probe_duration_seconds_bucket{container="worker",le="+Inf"} 2`,
		`dockreg_etcd_request_errors_total{member="http://10.1.0.101:2379",container="web-1",port="8000"} 1`,
		`dockreg_host_sidekicks 3`, `dockreg_host_last_will_duration_seconds_bucket{le="0.025"} 0`, `dockreg_host_last_will_duration_seconds_bucket{le="0.05"} 1`,
		`dockreg_host_build_info{commit="abc",goversion="go`,
	} {
		if !strings.Contains(all, "\n"+line) {
			t.Errorf("no line %s in\n%s", line, all)
		}
	}
	if n := strings.Count(all, "# TYPE dockreg_app_up"); n != 1 {
		t.Errorf("its type is said %d times", n)
	}
	promtool(t, all, "check", "metrics")
	h.Forget(host.Source{ID: "a", Port: 8000})
	if all := h.scraped(t); strings.Contains(all, `port="8000"`) || !strings.Contains(all, `port="8001"`) {
		t.Errorf("after one has ended\n%s", all)
	}
}

// What is told no more is shown no more: of a container that has ended from then on, and of a
// sidekick that was killed once it has missed three times.
func TestHostMetricsEnd(t *testing.T) {
	t.Parallel()
	text := packed(t)
	synctest.Test(t, func(t *testing.T) {
		h := NewHost("", "")
		var ended atomic.Bool
		take := func(id string, has func() bool) {
			if err := h.Take(host.Source{Container: id, ID: id, Ended: has}, text); err != nil {
				t.Fatal(err)
			}
		}
		take("a", ended.Load)
		take("b", alive)
		ended.Store(true)
		if all := h.current(); len(all) != 1 || all[0].container != "b" {
			t.Errorf("%v", all)
		}
		time.Sleep(forgetAfter)
		if len(h.current()) != 1 {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if len(h.current()) != 0 {
			t.Error("not forgotten")
		}
	})
}

// One container can't have more than its share, nor all of them more than there is room for.
func TestHostMetricsAreBounded(t *testing.T) {
	t.Parallel()
	h, text := NewHost("", ""), packed(t)
	for port := range uint16(mostOfOne + 1) {
		for range 2 { // the same one again is no other one
			if err := h.Take(host.Source{ID: "a", Port: port + 1, Ended: alive}, text); (err == nil) != (port < mostOfOne) {
				t.Errorf("%d: %v", port, err)
			}
		}
	}
	for i := range mostSidekicks {
		_ = h.Take(host.Source{ID: "b" + string(rune('a'+i/mostOfOne)), Port: uint16(i), Ended: alive}, text)
	}
	if len(h.told) != mostSidekicks {
		t.Errorf("%d are kept", len(h.told))
	}
}

// A sidekick whose etcd's members have had many names, as SRV records give them new ones, is
// told of nevertheless.
func TestHostMetricsOfManyMembers(t *testing.T) {
	t.Parallel()
	m := NewSidekick("1.2.3", "abc", 20*time.Second, func() sidekick.Status { return sidekick.Status{App: "up"} })
	for n := range 10 * mostMetrics {
		m.Requested(fmt.Sprintf("http://etcd-%03d:2379", n), time.Millisecond, nil)
	}
	text, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 16<<10 { // host.maxTold
		t.Errorf("%d bytes are told", len(text))
	}
	h := NewHost("1.2.3", "abc")
	if err := h.Take(host.Source{Container: "web", ID: "a", Port: 8000, Ended: alive}, text); err != nil {
		t.Fatal(err)
	}
	all := h.scraped(t)
	for line, want := range map[string]int{"\ndockreg_app_up{": 1, "\ndockreg_etcd_request_errors_total{": mostMetrics, "\ndockreg_etcd_request_duration_seconds_count{": mostMetrics} {
		if n := strings.Count(all, line); n != want {
			t.Errorf("%d of%s, want %d", n, line, want)
		}
	}
}

// change returns what a sidekick tells, with one family changed.
func change(t *testing.T, name string, do func(*dto.MetricFamily)) []byte {
	t.Helper()
	var changed []byte
	for text := packed(t); len(text) > 0; {
		one, n := protowire.ConsumeBytes(text)
		text = text[n:]
		var family dto.MetricFamily
		if err := proto.Unmarshal(one, &family); err != nil {
			t.Fatal(err)
		}
		if family.GetName() == name {
			do(&family)
		}
		again, err := proto.Marshal(&family)
		if err != nil {
			t.Fatal(err)
		}
		changed = protowire.AppendBytes(changed, again)
	}
	return changed
}

// Whatever a container tells, Prometheus reads what it can read, of what it knows, and the
// other containers' metrics are as they were.
func TestHostileMetrics(t *testing.T) {
	t.Parallel()
	family := func(name string, do func(*dto.MetricFamily)) []byte { return change(t, name, do) }
	metric := func(name string, do func(*dto.Metric)) []byte {
		return family(name, func(f *dto.MetricFamily) { do(f.Metric[0]) })
	}
	const requests = "dockreg_etcd_request_errors_total"
	const app, repairs, took = "dockreg_app_up", "dockreg_repairs_total", "dockreg_probe_duration_seconds"
	member := func(value string) []byte {
		return metric(requests, func(m *dto.Metric) { m.Label[0].Value = proto.String(value) })
	}
	bucket := func(i int, do func(*dto.Bucket)) []byte {
		return metric(took, func(m *dto.Metric) { do(m.Histogram.Bucket[i]) })
	}
	for name, c := range map[string]struct {
		text []byte
		of   string // the metric of which
		want int    // lines are there
	}{
		"another name":   {family(app, func(f *dto.MetricFamily) { f.Name = proto.String("node_cpu_seconds_total") }), app, 0},
		"another type":   {family(app, func(f *dto.MetricFamily) { f.Type = dto.MetricType_COUNTER.Enum() }), app, 0},
		"another label":  {metric(requests, func(m *dto.Metric) { m.Label[0].Name = proto.String("container") }), requests, 0},
		"a label more":   {metric(app, func(m *dto.Metric) { m.Label = append(m.Label, labelOf("container", "victim")) }), app, 0},
		"no label":       {metric(requests, func(m *dto.Metric) { m.Label = nil }), requests, 0},
		"a long label":   {member(strings.Repeat("x", longestLabel+1)), requests, 0},
		"a longest one":  {member(strings.Repeat("x", longestLabel)), requests, 1},
		"a line's end":   {member("\"}\n# HELP x \\"), requests, 1},
		"NaN":            {metric(app, func(m *dto.Metric) { m.Gauge.Value = proto.Float64(math.NaN()) }), app, 0},
		"infinite":       {metric(repairs, func(m *dto.Metric) { m.Counter.Value = proto.Float64(math.Inf(1)) }), repairs, 0},
		"below zero":     {metric(repairs, func(m *dto.Metric) { m.Counter.Value = proto.Float64(-1) }), repairs, 0},
		"a bucket less":  {metric(took, func(m *dto.Metric) { m.Histogram.Bucket = m.Histogram.Bucket[:11] }), took, 0},
		"other buckets":  {bucket(0, func(b *dto.Bucket) { b.UpperBound = proto.Float64(0) }), took, 0},
		"shrinking":      {bucket(0, func(b *dto.Bucket) { b.CumulativeCount = proto.Uint64(2) }), took, 0},
		"fewer in all":   {metric(took, func(m *dto.Metric) { m.Histogram.SampleCount = proto.Uint64(1) }), took, 0},
		"a sum of NaN":   {metric(took, func(m *dto.Metric) { m.Histogram.SampleSum = proto.Float64(math.NaN()) }), took, 0},
		"the same twice": {family(requests, func(f *dto.MetricFamily) { f.Metric = append(f.Metric, f.Metric[0]) }), requests, 1},
		"a timestamp":    {metric(app, func(m *dto.Metric) { m.TimestampMs = proto.Int64(4711) }), app, 1},
		"another help":   {family(app, func(f *dto.MetricFamily) { f.Help = proto.String("hunter2\n") }), app, 1},
		"a bucket more": {metric(took, func(m *dto.Metric) {
			m.Histogram.Bucket = append(m.Histogram.Bucket, &dto.Bucket{UpperBound: proto.Float64(9), CumulativeCount: proto.Uint64(2)})
		}), took, 0},
	} {
		h := NewHost("", "")
		if err := h.Take(host.Source{Container: "web", ID: "a", Ended: alive}, c.text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all := h.scraped(t)
		if n := strings.Count(strings.ReplaceAll(all, "_count{", "{"), "\n"+c.of+"{"); n != c.want {
			t.Errorf("%s: %d lines of %s, want %d:\n%s", name, n, c.of, c.want, all)
		}
		if strings.Contains(all, "victim") || strings.Contains(all, "hunter2") || strings.Contains(all, "4711") || strings.Contains(all, "node_cpu") || !strings.Contains(all, `dockreg_registered{container="web"} 1`+"\n") {
			t.Errorf("%s:\n%s", name, all)
		}
		promtool(t, all, "check", "metrics")
	}
	many := func(f *dto.MetricFamily) {
		for range mostMetrics {
			f.Metric = append(f.Metric, f.Metric[0])
		}
	}
	one := packed(t)
	for name, text := range map[string][]byte{
		"nothing": {}, "text": []byte("dockreg_app_up 1\n"), "cut off": one[:len(one)-1],
		"longer than it is": protowire.AppendVarint(nil, math.MaxInt64), "zeros": make([]byte, 100),
		"twice": append(one, one...), "many": family(requests, many),
		"no UTF-8": protowire.AppendBytes(nil, []byte("\x0a\x02\xff\xfe")),
	} {
		h := NewHost("", "")
		if err := h.Take(host.Source{ID: "a", Ended: alive}, text); err == nil || len(h.told) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzUnpack holds what is taken to what Prometheus reads.
func FuzzUnpack(f *testing.F) {
	m := NewSidekick("1.2.3", "abc", 20*time.Second, func() sidekick.Status { return sidekick.Status{} })
	m.Requested("x", time.Second, nil)
	text, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte{})
	shapes := shapesOf(NewSidekick("", "", time.Second, func() sidekick.Status { return sidekick.Status{} }))
	f.Fuzz(func(t *testing.T, text []byte) {
		families, err := unpack(text, shapes, []*dto.LabelPair{labelOf("container", "web")})
		if (err == nil) != (len(families) > 0) {
			t.Fatalf("%v, %d families", err, len(families))
		}
		for name, metrics := range families {
			for _, one := range metrics {
				if n := len(one.Label); n != len(shapes[name].labels)+1 || one.Label[n-1].GetValue() != "web" {
					t.Errorf("%s: %v", name, one)
				}
			}
		}
	})
}
