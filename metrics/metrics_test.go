package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dockreg/record"
	"dockreg/sidekick"
)

// scrape reads what is served.
func scrape(t *testing.T, m *Sidekick, path string) (status int, text string) {
	t.Helper()
	s, err := m.Serve(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Address()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// promtool is Prometheus's own tool, which has to find nothing.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is needed: apt-get install prometheus")
		}
		t.Skip("promtool is not here: apt-get install prometheus")
	}
	tool := exec.Command("promtool", args...)
	tool.Stdin = strings.NewReader(stdin)
	if out, err := tool.CombinedOutput(); err != nil || args[0] == "check" && len(out) > 0 {
		t.Errorf("promtool %s: %v\n%s", args, err, out)
	}
}

// The alerts that are shipped fire when they are to, and not else.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, "", "test", "rules", "../examples/prometheus/alerts-test.yaml")
}

// What is shipped for Prometheus and Grafana, and its description, uses metrics that there
// are, and each is described.
func TestShippedNames(t *testing.T) {
	t.Parallel()
	m := NewSidekick("1.2.3", "abc", time.Second, func() sidekick.Status { return sidekick.Status{} })
	m.Requested("http://10.1.0.101:2379", time.Millisecond, nil)
	_, text := scrape(t, m, "/metrics")
	text += NewHost("1.2.3", "abc").scraped(t)
	name := regexp.MustCompile(`dockreg_[a-z_]+`)
	there := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1) {
		there[line[1]] = true
	}
	for _, file := range []string{"alerts.yaml", "alerts-test.yaml", "dashboard.json", "README.md"} {
		text, err := os.ReadFile("../examples/prometheus/" + file)
		if err != nil {
			t.Fatal(err)
		}
		used := map[string]bool{}
		for _, n := range name.FindAllString(string(text), -1) {
			n = strings.TrimSuffix(n, "_bucket")
			if used[n] = true; !there[n] {
				t.Errorf("%s uses %s, which there is not", file, n)
			}
		}
		for n := range there {
			if file == "README.md" && !used[n] {
				t.Errorf("%s does not describe %s", file, n)
			}
		}
	}
	if dashboard, err := os.ReadFile("../examples/prometheus/dashboard.json"); err != nil || !json.Valid(dashboard) {
		t.Errorf("the dashboard is no JSON: %v", err)
	}
}

// What has happened is counted, by class and by member, and Prometheus's own linter has
// nothing to say.
func TestMetrics(t *testing.T) {
	t.Parallel()
	now := sidekick.Status{App: "up", Registered: true, Renewed: time.Now().Add(-5 * time.Second), Records: record.Records{{Key: "/a"}, {Key: "/b"}}}
	m := NewSidekick("1.2.3", "abc", 20*time.Second, func() sidekick.Status { return now })
	for _, err := range []error{nil, nil, fmt.Errorf("refused: %w", sidekick.ErrNotListening), fmt.Errorf("late: %w", context.DeadlineExceeded), errors.New("503")} {
		m.Probed(err, 30*time.Millisecond)
	}
	for _, what := range []sidekick.Occasion{sidekick.Registered, sidekick.Repaired, sidekick.Repaired, sidekick.Deregistered, sidekick.StoodBy, sidekick.Drained} {
		m.Happened(what)
	}
	m.TookOver()
	m.Requested("http://10.1.0.101:2379", 2*time.Millisecond, nil)
	m.Requested("http://10.1.0.102:2379", 2*time.Millisecond, errors.New("away"))
	status, text := scrape(t, m, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	for _, line := range []string{
		"dockreg_app_up 1", "dockreg_registered 1", "dockreg_records 2", "dockreg_lease_renewal_age_seconds ", "dockreg_lease_ttl_seconds 20",
		`dockreg_probes_total{result="passed"} 2`, `dockreg_probes_total{result="not_listening"} 1`, `dockreg_probes_total{result="timeout"} 1`, `dockreg_probes_total{result="failed"} 1`,
		`dockreg_probe_duration_seconds_bucket{le="0.025"} 0`, `dockreg_probe_duration_seconds_bucket{le="0.05"} 5`, "dockreg_probe_duration_seconds_count 5",
		"dockreg_registrations_total 1", "dockreg_repairs_total 2", "dockreg_deregistrations_total 1", "dockreg_stand_bys_total 1", "dockreg_drains_total 1", "dockreg_takeovers_total 1",
		`dockreg_etcd_request_duration_seconds_count{member="http://10.1.0.101:2379"} 1`, `dockreg_etcd_request_errors_total{member="http://10.1.0.101:2379"} 0`,
		`dockreg_etcd_request_errors_total{member="http://10.1.0.102:2379"} 1`, `dockreg_build_info{commit="abc",goversion="go`,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	_, age, _ := strings.Cut(text, "\ndockreg_lease_renewal_age_seconds ")
	age, _, _ = strings.Cut(age, "\n")
	if seconds, err := strconv.ParseFloat(age, 64); err != nil || seconds < 5 || seconds > 60 {
		t.Errorf("renewed %s seconds ago, %v, want a little over 5", age, err)
	}
	promtool(t, text, "check", "metrics")
	now = sidekick.Status{App: "down"}
	if _, text = scrape(t, m, "/metrics"); !strings.Contains(text, "\ndockreg_app_up 0\n") || !strings.Contains(text, "\ndockreg_registered 0\n") || !strings.Contains(text, "\ndockreg_lease_renewal_age_seconds 0\n") {
		t.Errorf("of an app that is down\n%s", text)
	}
	if status, _ := scrape(t, m, "/"); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
}

// How many instances there are is told by parent, whatever that is called.
func TestWriteInstances(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	WriteInstances(w, true, []Parent{{"/service/", 3}, {"/\"x\\\n/", 1}})
	text := w.Body.String()
	for _, line := range []string{"dockreg_web_etcd_up 1", `dockreg_instances{parent="/service/"} 3`, `dockreg_instances{parent="/\"x\\\n/"} 1`} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	promtool(t, text, "check", "metrics")
}
