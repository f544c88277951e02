// Command screenshots makes the pictures of the documents: of dockreg web, in Chromium.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"

	"dockreg/e2e/testbed"
)

func main() {
	dockreg := flag.String("dockreg", "", "the command to show")
	out := flag.String("o", "docs", "folder for the pictures")
	flag.Parse()
	if err := run(*dockreg, *out); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(dockreg, out string) error {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	etcd, err := testbed.StartEtcd("127.0.0.1")
	if err != nil {
		return err
	}
	defer etcd.Stop()
	port, err := testbed.LowPort("127.0.0.1")
	if err != nil {
		return err
	}
	at := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	page := exec.CommandContext(ctx, dockreg, "web", "--etcd", etcd.URL, "--listen", at) //nolint:gosec // the command that is to be shown
	page.Env, page.Stderr = testbed.CleanEnv(), os.Stderr
	page.Cancel = func() error { return page.Process.Signal(syscall.SIGTERM) }
	if err := page.Start(); err != nil {
		return err
	}
	defer func() { stop(); _ = page.Wait() }()
	if err := fill(ctx, etcd); err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"), chromedp.WindowSize(900, 560))
	allocator, end := chromedp.NewExecAllocator(ctx, options...)
	defer end()
	tab, closeTab := chromedp.NewContext(allocator)
	defer closeTab()
	if err := chromedp.Do(tab, chromedp.Navigate("http://"+at+"/")); err != nil {
		return err
	}
	for there := false; !there; time.Sleep(100 * time.Millisecond) { // nobody tells
		if there, err = chromedp.Run(tab, chromedp.Evaluate[bool](`document.querySelectorAll("tbody tr").length === 6 && document.querySelectorAll("tr.gone").length === 1`)); err != nil {
			return err
		}
	}
	picture, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "web.png"), picture, 0o644) //nolint:gosec // for all to see
}

// fill registers two services on two hosts, one of which is restarted in turn and one of
// which flaps, for a minute.
func fill(ctx context.Context, etcd *testbed.Etcd) error {
	key := func(n int) string {
		return []string{
			"/service/web/10.1.0.101:32768", "/service/web/10.1.0.101:32769", "/service/web/10.1.0.102:32768", "/service/web/10.1.0.102:32771",
			"/service/search/10.1.0.101:32790", "/service/search/10.1.0.102:32790",
		}[n]
	}
	put := func(n int) error {
		_, err := etcd.Client.Put(ctx, key(n), []string{"running", `{"version":"2.1"}`}[n/4])
		return err
	}
	drop := func(n int) error {
		_, err := etcd.Client.Delete(ctx, key(n))
		return err
	}
	for n := range 6 {
		if err := put(n); err != nil {
			return err
		}
	}
	for step := range 12 { // a step every few seconds
		fmt.Fprintf(os.Stderr, "living for a minute, step %d of 12 ...\n", step+1)
		n := step % 4
		if step >= 8 {
			n = 4
		}
		if err := drop(n); err != nil {
			return err
		}
		time.Sleep(3 * time.Second)
		if step == 11 {
			return nil // it stays away
		}
		if err := put(n); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
	}
	return nil
}
