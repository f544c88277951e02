package web

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dockreg/instances"
	"dockreg/metrics"
)

func tell(b *board, kind instances.Kind, key string) {
	b.take(instances.Event{Kind: kind, At: time.Now(), Instance: instances.Instance{Key: key, Value: "running"}})
}

// What came and went within 15 minutes is kept, with when it did, and what is over is
// forgotten.
func TestBoard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		if n := b.since(0); n.Listed || !n.All || len(n.Rows) != 0 {
			t.Errorf("before etcd was read: %+v", n)
		}
		b.take(instances.Event{Kind: instances.Listed, At: time.Now(), Listing: instances.Listing{Instances: []instances.Instance{{Key: "/service/10.1.0.101:1", Value: "x"}}}})
		time.Sleep(time.Minute)
		tell(b, instances.Went, "/service/10.1.0.101:1")
		time.Sleep(time.Minute)
		version := b.since(0).version
		tell(b, instances.Came, "/service/[2001:db8::1]:80")
		n := b.since(0)
		if len(n.Rows) != 2 || !n.Listed || n.Now != 120 {
			t.Fatalf("%+v", n)
		}
		first, second := n.Rows[0], n.Rows[1]
		if first.Up || !first.Earlier || !slices.Equal(first.Turns, []float64{0, 60}) || first.Host != "10.1.0.101" || first.Parent != "/service/" {
			t.Errorf("%+v", first)
		}
		if !second.Up || second.Earlier || !slices.Equal(second.Turns, []float64{120}) || second.Host != "2001:db8::1" || second.Name != "[2001:db8::1]:80" {
			t.Errorf("%+v", second)
		}
		if up, parents := b.parents(); !up || !slices.Equal(parents, []metrics.Parent{{Name: "/service/", Up: 1}}) {
			t.Errorf("by parent: %v, %v", up, parents)
		}
		if n := b.since(version); n.All || len(n.Rows) != 1 || n.Rows[0].Key != second.Key {
			t.Errorf("since then: %+v", n)
		}
		if n := b.since(n.version); len(n.Rows) != 0 {
			t.Errorf("nothing has changed: %+v", n)
		}
		time.Sleep(15 * time.Minute)
		tell(b, instances.Came, "/service/10.1.0.103:1")
		if n := b.since(0); len(n.Rows) != 2 || n.Rows[0].Key == first.Key {
			t.Errorf("what is over is still there: %+v", n)
		}
	})
}

// What is wrong with etcd is shown, for as long as it is.
func TestBoardOfAnEtcdThatIsAway(t *testing.T) {
	t.Parallel()
	b := newBoard()
	version := b.since(0).version
	b.take(instances.Event{Kind: instances.Lost, At: time.Now(), Err: errors.New("etcd is away")})
	if n := b.since(version); n.Lost != "etcd is away" || n.version == version {
		t.Errorf("%+v", n)
	}
	b.take(instances.Event{Kind: instances.Back, At: time.Now()})
	b.take(instances.Event{Kind: instances.Gap, At: time.Now(), Err: errors.New("compacted")})
	if n := b.since(0); n.Lost != "" || n.Gap != "compacted" {
		t.Errorf("%+v", n)
	}
}

// However much there is, and whatever somebody has written, the page gets no more than it
// has room for.
func TestBoardIsBounded(t *testing.T) {
	t.Parallel()
	b := newBoard()
	for n := range mostRows + 10 {
		tell(b, instances.Came, fmt.Sprintf("/service/%d", n))
	}
	for range 10 * mostTurns {
		tell(b, instances.Went, "/service/7")
		tell(b, instances.Came, "/service/7")
	}
	tell(b, instances.Changed, fmt.Sprintf("/service/%d", mostRows))
	n := b.since(0)
	if len(n.Rows) != mostRows || n.Left != 10 {
		t.Errorf("%d rows, and no room for %d", len(n.Rows), n.Left)
	}
	for n := range 10 {
		tell(b, instances.Went, fmt.Sprintf("/service/%d", mostRows+n))
	}
	if n := b.since(0); n.Left != 0 {
		t.Errorf("no room for %d that are gone", n.Left)
	}
	for _, r := range n.Rows {
		if len(r.Turns) > mostTurns || !r.Up || len(r.Turns)%2 != 1 {
			t.Errorf("%s: %d turns", r.Key, len(r.Turns))
		}
	}
	for text, want := range map[string]string{
		"a\x1b[2J\u202eb\xff":       "a\uFFFD[2J\uFFFDb\uFFFD",
		strings.Repeat("ü", 1<<20):  strings.Repeat("ü", longestText/2) + "…",
		"<script>alert(1)</script>": "<script>alert(1)</script>", // which the page sets as text
	} {
		if got := shown(text); got != want {
			t.Errorf("%.50q is shown as %.300q", text, got)
		}
	}
}
