package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"dockreg/settings"
)

// stalled is a reader of the log that reads nothing until it is told to.
type stalled struct {
	goOn chan struct{}
	text strings.Builder
}

func (s *stalled) Write(p []byte) (int, error) {
	<-s.goOn
	return s.text.Write(p)
}

// logsOf returns the log's settings, as they are by default.
func logsOf(t *testing.T) (logs *settings.Log) {
	t.Helper()
	set := &settings.Set{}
	logs = set.Log()
	app := &cli.App{Flags: set.Flags(), Writer: io.Discard, Action: set.Read}
	if err := app.Run([]string{"dockreg"}); err != nil {
		t.Fatal(err)
	}
	return logs
}

// P1, P2: a log that nobody reads holds nothing up. What is too much is dropped, and
// counted where it is missing; the end doesn't wait for it for long.
func TestP2LogNeverBlocks(t *testing.T) {
	logs := logsOf(t)
	synctest.Test(t, func(t *testing.T) {
		reader := &stalled{goOn: make(chan struct{})}
		log, flush := startLog(logs, reader)
		start := time.Now()
		log.Info("first")
		synctest.Wait()
		for i := range queuedLines + 17 {
			log.Info("line", "n", i)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s to log what nobody reads", took)
		}
		close(reader.goOn)
		synctest.Wait()
		log.Info("last")
		flush()
		log.Info("after the end")
		lines := strings.Split(strings.TrimSpace(reader.text.String()), "\n")
		for i, want := range map[int]string{0: "msg=first", 1: "n=0", queuedLines: fmt.Sprintf("n=%d", queuedLines-1), queuedLines + 1: "dropped=17", queuedLines + 2: "msg=last"} {
			if i >= len(lines) || !strings.HasSuffix(lines[i], want) {
				t.Errorf("line %d of %d is not %s", i, len(lines), want)
			}
		}
		if len(lines) != queuedLines+3 {
			t.Errorf("%d lines, want %d", len(lines), queuedLines+3)
		}
	})
}

func TestP2EndDoesNotWaitForTheLog(t *testing.T) {
	logs := logsOf(t)
	synctest.Test(t, func(t *testing.T) {
		reader := &stalled{goOn: make(chan struct{})}
		log, flush := startLog(logs, reader)
		log.Info("line")
		start := time.Now()
		flush()
		if took := time.Since(start); took != flushTimeout {
			t.Errorf("the end waited for %s, want %s", took, flushTimeout)
		}
		close(reader.goOn)
	})
}

// P2: a standard error that an app beside it has set not to block, as Node does, loses no line,
// nor a part of one, while nobody reads it.
func TestP2LogThatAnAppSetNotToBlock(t *testing.T) {
	t.Parallel()
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	stderr := os.NewFile(uintptr(ends[1]), "stderr")
	t.Cleanup(func() { _ = stderr.Close() })
	for _, end := range ends { // of stderr it is too late for Go's own poller
		if err := unix.SetNonblock(end, true); err != nil {
			t.Fatal(err)
		}
	}
	reader := os.NewFile(uintptr(ends[0]), "reader")
	t.Cleanup(func() { _ = reader.Close() })
	log, flush := startLog(logsOf(t), stderr)
	const lines = 300 // more than a pipe takes
	long := strings.Repeat("x", 1000)
	for n := range lines {
		log.Info("line", "text", long, "n", n)
	}
	time.Sleep(2 * roomPause) // nobody reads
	_ = reader.SetReadDeadline(time.Now().Add(10 * time.Second))
	all := bufio.NewScanner(reader)
	for n := range lines {
		if want := fmt.Sprintf("level=INFO msg=line text=%s n=%d", long, n); !all.Scan() || !strings.HasSuffix(all.Text(), want) {
			t.Fatalf("line %d is\n%s\n%v", n, all.Text(), all.Err())
		}
	}
	flush()
}
