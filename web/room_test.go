package web

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dockreg/instances"
	"dockreg/metrics"
)

// After a rolling restart what went takes room for a quarter of an hour. What came meanwhile
// counts nevertheless, and has its row when there is room again.
func TestBoardHasRoomAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const before, after = mostRows - 3, 10
		b := newBoard()
		for n := range before {
			tell(b, instances.Came, fmt.Sprintf("/service/old-%d", n))
		}
		for n := range after {
			tell(b, instances.Went, fmt.Sprintf("/service/old-%d", n))
			tell(b, instances.Came, fmt.Sprintf("/service/new-%d", n))
		}
		tell(b, instances.Changed, "/service/new-9")
		n := b.since(0)
		if len(n.Rows) != mostRows || n.Left != 7 {
			t.Errorf("%d rows, and no room for %d", len(n.Rows), n.Left)
		}
		if _, parents := b.parents(); !slices.Equal(parents, []metrics.Parent{{Name: "/service/", Up: before}}) {
			t.Errorf("by parent: %v, want %d", parents, before)
		}
		time.Sleep(span + time.Minute) // and nothing happens
		m := b.since(n.version)
		if len(m.Rows) != 7 || m.Left != 0 {
			t.Errorf("with room again: %d rows more, and no room for %d", len(m.Rows), m.Left)
		}
		for _, r := range m.Rows {
			if !r.Up || !slices.Equal(r.Turns, []float64{0}) {
				t.Errorf("%+v", r)
			}
		}
		if _, parents := b.parents(); !slices.Equal(parents, []metrics.Parent{{Name: "/service/", Up: before}}) {
			t.Errorf("by parent: %v, want %d", parents, before)
		}
	})
}

// That something may have been missed is said for as long as the page looks back.
func TestBoardForgetsAGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.take(instances.Event{Kind: instances.Gap, At: time.Now(), Err: errors.New("compacted")})
		time.Sleep(span - time.Minute)
		if n := b.since(0); n.Gap != "compacted" {
			t.Errorf("after %v: %q", span-time.Minute, n.Gap)
		}
		time.Sleep(2 * time.Minute)
		if n := b.since(0); n.Gap != "" {
			t.Errorf("after %v: %q", span+time.Minute, n.Gap)
		}
	})
}
