package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
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
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"), chromedp.WindowSize(1000, 800))
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
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := socket.Addr().String()
	_ = socket.Close()
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
	p := open(t, startWeb(t, m.URL))
	p.await(`document.querySelectorAll("tbody tr").length === 3`)
	p.await(`document.getElementById("totals").textContent.startsWith("3 up on ")`)
	if title := eval[string](p, "document.title"); title != "dockreg" || eval[int](p, `document.querySelectorAll("img, main script").length`) != 0 {
		t.Errorf("a record was no text: the title is %s", title)
	}

	c.put("/service/10.1.0.102:1")
	t.Logf("figure: shown %s after it came", p.await("!!"+rowOf("10.1.0.102:1")).Round(time.Millisecond))
	c.drop("/service/10.1.0.102:1")
	p.await(rowOf("10.1.0.102:1") + `.classList.contains("gone")`)
	p.await(rowOf("10.1.0.102:1") + `.querySelector(".since").textContent.startsWith("gone for ")`)
	c.put("/service/10.1.0.102:1")
	p.await("!" + rowOf("10.1.0.102:1") + `.classList.contains("gone")`)
	p.await(rowOf("10.1.0.102:1") + `.querySelector(".strip").getAttribute("aria-label").includes("went 1 times")`)

	m.Kill()
	p.await(`document.getElementById("banner").textContent.startsWith("etcd can't be asked: ")`)
	if n := eval[int](p, `document.querySelectorAll("tbody tr").length`); n != 4 {
		t.Errorf("%d rows while etcd is away, want what was known last: 4", n)
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
	p.await(`document.querySelectorAll("tbody tr").length === 1000`)
	eval[bool](p, `window.longest = 0, new PerformanceObserver(l => { for (const e of l.getEntries()) window.longest = Math.max(window.longest, e.duration); }).observe({entryTypes: ["longtask"]}), true`)
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
	t.Logf("figure: the longest task took %.0f ms", eval[float64](p, "window.longest"))
	p.wantQuiet()
}
