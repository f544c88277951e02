package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/urfave/cli/v2"

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
