package host

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// keptMetrics keeps what it is told.
type keptMetrics struct {
	mu    sync.Mutex
	taken []string
	from  Source
	wrong error
}

func (k *keptMetrics) Take(from Source, told []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken, k.from = append(k.taken, fmt.Sprint(from.Port, " ", string(told))), from
	return k.wrong
}

func (k *keptMetrics) Forget(from Source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken = append(k.taken, fmt.Sprint(from.Port, " ended"))
}

func (k *keptMetrics) Executed(time.Duration) {}

func (k *keptMetrics) all() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.taken, ", ")
}

// What a sidekick tells is kept for its container, by the service's own word for that, and
// what stands behind it is the next request.
func TestP11MetricsAreTaken(t *testing.T) {
	t.Parallel()
	kept := &keptMetrics{}
	w := newWorld(t, func(s *Service) { s.Metrics = kept })
	said := w.say(t, "PUT /dockreg/metrics/8000 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"+
		"PUT /dockreg/metrics/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"+
		"DELETE /dockreg/metrics/8000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if n := strings.Count(said, "HTTP/1.1 204 No Content\r\n"); n != 3 {
		t.Errorf("%d answers of 3:\n%s", n, said)
	}
	if all := kept.all(); all != "8000 hello, 0 x, 8000 ended" {
		t.Errorf("kept: %s", all)
	}
	if kept.from.ID != ownID || kept.from.Container != "web" || kept.from.Ended() {
		t.Errorf("from %+v", kept.from)
	}
	// A container that was found anew is another one.
	w.containers.mu.Lock()
	w.containers.running[ownID] = &firstProcess{container: ownID, process: w.containers.running[ownID].process}
	w.containers.mu.Unlock()
	if !kept.from.Ended() {
		t.Error("it has not ended")
	}
}

// What is no such request is refused, and nothing behind it is read.
func TestP11MetricsAreRefused(t *testing.T) {
	t.Parallel()
	kept := &keptMetrics{}
	w := newWorld(t, func(s *Service) { s.Metrics = kept })
	const hidden = "DELETE /dockreg/metrics/1 HTTP/1.1\r\nHost: x\r\n\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden))
	put := func(path, headers string) string {
		return "PUT " + path + " HTTP/1.1\r\nHost: x\r\n" + headers + hidden
	}
	long := "PUT /dockreg/metrics/1 HTTP/1.1\r\nHost: x\r\n"
	for name, request := range map[string]string{
		"no length":      put("/dockreg/metrics/1", "\r\n"),
		"chunked":        put("/dockreg/metrics/1", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
		"both":           put("/dockreg/metrics/1", "Transfer-Encoding: chunked\r\n"+length),
		"too long":       long + fmt.Sprintf("Content-Length: %d\r\n\r\n", maxTold+1) + strings.Repeat("x", maxTold+1) + hidden,
		"no port":        put("/dockreg/metrics/", length),
		"a port too big": put("/dockreg/metrics/65536", length),
		"a zero before":  put("/dockreg/metrics/01", length),
		"a POST":         strings.Replace(put("/dockreg/metrics/1", length), "PUT", "POST", 1),
		"a GET":          strings.Replace(put("/dockreg/metrics/1", length), "PUT", "GET", 1),
		"a DELETE":       strings.Replace(put("/dockreg/metrics/1", length), "PUT", "DELETE", 1),
		"elsewhere":      put("/dockreg/will/1", length),
	} {
		if said := w.say(t, request); !strings.HasPrefix(said, "HTTP/1.1 403 ") && (name != "both" || said != "") || strings.Count(said, "HTTP/1.1") > 1 {
			t.Errorf("%s: %s", name, said)
		}
	}
	// Whoever says less than announced is cut off.
	if said := w.say(t, long+"Content-Length: 100\r\n\r\nhello"); strings.Contains(said, "204") {
		t.Errorf("less than announced: %s", said)
	}
	if all := kept.all(); all != "" {
		t.Errorf("kept: %s", all)
	}
	kept.wrong = errors.New("not metrics")
	if said := w.say(t, long+"Content-Length: 5\r\n\r\nhello"+hidden); !strings.HasPrefix(said, "HTTP/1.1 403 ") || !strings.Contains(said, `"not metrics"`) || kept.all() != "1 hello" {
		t.Errorf("what is wrong: %s, kept %s", said, kept.all())
	}
	// The longest is taken.
	kept.wrong = nil
	if said := w.say(t, long+fmt.Sprintf("Connection: close\r\nContent-Length: %d\r\n\r\n", maxTold)+strings.Repeat("x", maxTold)); !strings.HasPrefix(said, "HTTP/1.1 204 ") {
		t.Errorf("the longest: %s", said)
	}
}

// A service that takes none says so, and its log is silent.
func TestNoMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if said := w.say(t, "PUT /dockreg/metrics/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"); !strings.HasPrefix(said, fmt.Sprintf("HTTP/1.1 %d ", http.StatusNotFound)) {
		t.Error(said)
	}
	if strings.Contains(w.logged(), "metrics") {
		t.Errorf("logged:\n%s", w.logged())
	}
}
