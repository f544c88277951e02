package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// One scrape of a host's service has what all its containers' sidekicks tell, which publish no
// port for it. Of a container that was killed nothing is left, and its last will is counted.
func TestHostMetrics(t *testing.T) {
	needDocker(t)
	t.Parallel()
	address := "127.0.0.1:" + lowPort(t, "127.0.0.1")
	folder, host := startHost(t, "--etcd", etcd.URL, "--metrics", address)
	stays, _, _ := runAsked(t, folder)
	killed, keys, key := runAsked(t, folder)

	scrape := func() string {
		client := http.Client{Timeout: 10 * time.Second}
		answer, err := client.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	registered := func(c *testbed.Container) string {
		name, err := c.Do("inspect", "--format", "{{.Name}}")
		if err != nil {
			t.Fatal(err)
		}
		return "\ndockreg_registered{container=\"" + strings.TrimPrefix(name, "/") + "\",port=\"8000\"} 1\n"
	}
	stayed, left := registered(stays), registered(killed)
	// The first time they tell may be before they are registered, and the next one is 10 s later.
	late := time.After(2 * time.Minute)
	for text := scrape(); !strings.Contains(text, stayed) || !strings.Contains(text, left); text = scrape() {
		select {
		case <-late:
			t.Fatalf("not both are told:\n%s", text)
		case <-time.After(100 * time.Millisecond):
		}
	}

	at := time.Now()
	if _, err := killed.Do("kill"); err != nil {
		t.Fatal(err)
	}
	wantGone(t, keys, key, at, busy)
	host.awaitLogged(t, "its keys are gone")
	text := scrape()
	if strings.Contains(text, left) || !strings.Contains(text, stayed) || !strings.Contains(text, "\ndockreg_host_last_will_duration_seconds_count 1\n") || !strings.Contains(text, "\ndockreg_host_sidekicks 1\n") {
		t.Errorf("after one was killed:\n%s", text)
	}
}
