package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/e2e/testbed"
)

// tab is a page in a real Chromium, and what its console complains of.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp's way

	mu       sync.Mutex
	problems []string
}

// open opens a page.
func open(t *testing.T, url string) *tab {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is needed: apt-get install chromium")
		}
		t.Skip("chromium is not here: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"), chromedp.WSURLReadTimeout(2*time.Minute), chromedp.WindowSize(1000, 800))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	console := chromedp.Console(ctx) // exceptions, too
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for message, err := range console {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.problems = append(p.problems, fmt.Sprintf("%+v", message))
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-heard })
	within, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	if err := chromedp.Do(within, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	return p
}

// eval evaluates an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// await waits until an expression is true in the page, and returns how long that took.
func (p *tab) await(expression string) time.Duration {
	p.t.Helper()
	start := time.Now()
	if err := poll(p.t, 30*time.Second, func() error {
		if !eval[bool](p, expression) {
			return errors.New(expression)
		}
		return nil
	}); err != nil {
		p.t.Fatalf("%v; the page has %s", err, eval[string](p, "document.body.innerText.slice(0, 2000)"))
	}
	return time.Since(start)
}

// wantQuiet wants that the console has nothing to say.
func (p *tab) wantQuiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.problems != nil {
		p.t.Errorf("in the page's console: %q", p.problems)
	}
}

// startWeb starts dockreg web for an etcd, and returns the page's URL.
func startWeb(t *testing.T, etcd string) string {
	t.Helper()
	at := "127.0.0.1:" + lowPort(t, "127.0.0.1")
	p := startDockreg(t, "web", "--etcd", etcd, "--listen", at)
	p.awaitLogged(t, "the page is at http://"+at+"/")
	return "http://" + at + "/"
}

// row is an expression for the row of a name.
func rowOf(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].find(r => r.querySelector("th").textContent === %q)`, name)
}

// The page in a real browser: what comes, goes and comes again is shown without a reload,
// an etcd that is away is said, and what somebody else wrote is text.
func TestWebPage(t *testing.T) {
	t.Parallel()
	m := stopWith(t)(testbed.StartAlone(must(t)(etcd37()))).Members[0]
	c := change{t, m.Client}
	c.put("/service/10.1.0.101:1", `/service/<img src=x onerror="document.title='broken'">`)
	_, err := m.Client.Put(t.Context(), "/service/10.1.0.101:2", `<script>document.title='broken'</script>`+strings.Repeat("x", 1<<20))
	c.must(err)
	for _, key := range []string{"/service/<svg onload=document.title='broken'>", "/service/\x00\x1b[2J\u202e\xff"} {
		_, err := m.Client.Put(t.Context(), key, "\x1b[2J\u202e\xff</td></table><script>document.title='broken'</script>")
		c.must(err)
	}
	p := open(t, startWeb(t, m.URL))
	p.await(`document.querySelectorAll("tbody tr").length === 5`)
	p.await(`document.getElementById("totals").textContent.startsWith("5 up on ")`)
	if title := eval[string](p, "document.title"); title != "dockreg" || eval[int](p, `document.querySelectorAll("img, main svg, main script").length`) != 0 {
		t.Errorf("a record was no text: the title is %s", title)
	}
	if eval[bool](p, `/[\x00\x1b\u202e]/.test(document.body.textContent)`) {
		t.Error("a record's control characters are on the page")
	}

	c.put("/service/10.1.0.102:1")
	shown := p.await("!!" + rowOf("10.1.0.102:1"))
	t.Logf("figure: shown %s after it came", shown.Round(time.Millisecond))
	if shown > 20*time.Second { // on a busy machine; else within one
		t.Errorf("it took %s to show what came", shown)
	}
	c.drop("/service/10.1.0.102:1")
	p.await(rowOf("10.1.0.102:1") + `.classList.contains("gone")`)
	p.await(rowOf("10.1.0.102:1") + `.querySelector(".since").textContent.startsWith("gone for ")`)
	c.put("/service/10.1.0.102:1")
	p.await("!" + rowOf("10.1.0.102:1") + `.classList.contains("gone")`)
	p.await(rowOf("10.1.0.102:1") + `.querySelector(".strip").getAttribute("aria-label").endsWith("went 1 time")`)

	m.Kill()
	p.await(`document.getElementById("banner").textContent.startsWith("etcd can't be asked: ")`)
	if n := eval[int](p, `document.querySelectorAll("tbody tr").length`); n != 6 {
		t.Errorf("%d rows while etcd is away, want what was known last: 6", n)
	}
	c.must(m.Start())
	c.must(m.Ready())
	p.await(`document.getElementById("banner").hidden`)
	change{t, m.Client}.drop("/service/10.1.0.101:1")
	p.await(rowOf("10.1.0.101:1") + `.classList.contains("gone")`)
	eval[bool](p, `document.getElementById("filter").value = "10.1.0.102", document.getElementById("filter").dispatchEvent(new Event("input"))`)
	p.await(`[...document.querySelectorAll("tbody tr")].filter(r => !r.hidden).length === 1`)
	p.wantQuiet()
}

// A thousand instances, a hundred of which come and go: no script of the page takes long,
// and nothing goes wrong in it.
func TestWebPageOfMany(t *testing.T) {
	t.Parallel()
	m := stopWith(t)(testbed.StartAlone(must(t)(etcd37()))).Members[0]
	put := func(from, to int) {
		t.Helper()
		var puts []clientv3.Op
		for n := from; n < to; n++ {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("/service/10.1.%d.1:%d", n%20, 32768+n), "running"))
		}
		if _, err := m.Client.Txn(t.Context()).Then(puts...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; n < 1000; n += 100 {
		put(n, n+100)
	}
	p := open(t, startWeb(t, m.URL))
	// What frames that take long spend on scripts, those of the page's start among them.
	eval[bool](p, `window.longest = 0, new PerformanceObserver(l => {
		for (const e of l.getEntries()) window.longest = Math.max(window.longest, e.scripts.reduce((sum, s) => sum + s.duration, 0));
	}).observe({type: "long-animation-frame", buffered: true}), true`)
	p.await(`document.querySelectorAll("tbody tr").length === 1000`)
	for n := range 100 { // one after the other
		key := fmt.Sprintf("/service/10.1.%d.1:%d", n%20, 32768+n)
		if _, err := m.Client.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Client.Put(t.Context(), key, "again"); err != nil {
			t.Fatal(err)
		}
	}
	p.await(`[...document.querySelectorAll("td.record")].filter(r => r.textContent === "again").length === 100`)
	p.await(`document.getElementById("totals").textContent.startsWith("1000 up on 20 hosts, 0 gone ")`)
	// However short it was, it can be seen: 2 pixels.
	p.await(`[...document.querySelectorAll(".strip")].filter(s => {
		const down = [...s.style.background.matchAll(/var\(--down\) ([\d.]+)%/g)].map(m => Number(m[1]));
		return down.some((end, n) => n % 2 && (end - down[n - 1]) / 100 * s.clientWidth >= 2);
	}).length === 100`)
	longest := eval[float64](p, "window.longest")
	t.Logf("figure: scripts took %.0f ms of a frame at the most", longest)
	if longest > 5_000 { // on a busy machine; else within 100
		t.Errorf("scripts took %.0f ms of a frame, want 100 at the most, or 5,000 on a busy machine", longest)
	}
	p.wantQuiet()
}

// The page comes back by itself: from a proxy that had no server to ask, and from a
// connection on which nothing arrives any more.
func TestWebPageComesBack(t *testing.T) {
	t.Parallel()
	m := stopWith(t)(testbed.StartAlone(must(t)(etcd37()))).Members[0]
	change{t, m.Client}.put("/service/10.1.0.101:1")
	target, err := url.Parse(startWeb(t, m.URL))
	if err != nil {
		t.Fatal(err)
	}
	const refuse, stall, pass = 0, 1, 2
	var mode atomic.Int32
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch way := mode.Load(); {
		case r.URL.Path != "/events" || way == pass:
			proxy.ServeHTTP(w, r)
		case way == refuse:
			w.WriteHeader(http.StatusBadGateway)
		default:
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(front.Close)
	p := open(t, front.URL)
	t.Cleanup(front.CloseClientConnections)
	p.await(`document.getElementById("banner").textContent.startsWith("The server of this page does not answer")`)
	mode.Store(stall)
	p.await(`source.readyState === EventSource.OPEN`)
	p.await(`document.getElementById("banner").textContent.startsWith("The server of this page does not answer")`)
	mode.Store(pass)
	eval[bool](p, `heard -= 60, true`) // as if a minute had passed
	p.await("!!" + rowOf("10.1.0.101:1"))
	p.await(`document.getElementById("banner").hidden`)
}
