// Package web shows what is registered on a page, live: what is up, since when, and what came
// and went within the last quarter of an hour. It reads, and changes nothing.
package web

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"dockreg/instances"
	"dockreg/metrics"
)

const (
	// span is how far back the page looks.
	span = 15 * time.Minute
	// mostRows bounds the instances that are shown, and mostTurns how often one of them
	// came and went within the span.
	mostRows, mostTurns = 20_000, 64
	// longestText is how much of a text is shown.
	longestText = 200
)

// row is an instance as the page has it. Times are seconds since the page's server started.
type row struct {
	ID      int    `json:"id"` // keys are cut, and so may be the same
	Key     string `json:"key"`
	Parent  string `json:"parent"`
	Host    string `json:"host"`
	Name    string `json:"name"`
	Record  string `json:"record"`
	Up      bool   `json:"up"`
	Earlier bool   `json:"earlier"` // it was up before the server started
	// Turns are when it came and went, in turn: the first one is when it came.
	Turns []float64 `json:"turns"`

	version uint64 // of the board, when it changed
}

// board is what the page shows. It is safe for concurrent use.
type board struct {
	start time.Time

	mu      sync.Mutex
	rows    map[string]*row
	ids     int
	waiting map[string]waiting // the instances for which there is no room
	listed  bool               // etcd has been read
	lost    string             // why etcd can't be asked; empty: it can be
	gap     string             // why something may have been missed
	gapAt   time.Time          // when that was told
	version uint64
	swept   time.Time
}

// waiting is an instance that gets a row when what went is forgotten.
type waiting struct {
	instances.Instance
	at      time.Time
	earlier bool
}

func newBoard() *board {
	return &board{start: time.Now(), rows: map[string]*row{}, waiting: map[string]waiting{}}
}

func (b *board) seconds(t time.Time) float64 {
	return float64(t.Sub(b.start).Milliseconds()) / 1000
}

// take takes in what instances.Follow tells.
func (b *board) take(e instances.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version++
	b.sweep(e.At)
	switch e.Kind {
	case instances.Listed:
		b.listed = true
		for _, i := range e.Listing.Instances {
			b.came(i, e.At, true)
		}
	case instances.Came, instances.Changed:
		b.came(e.Instance, e.At, false)
	case instances.Went:
		delete(b.waiting, e.Instance.Key)
		if r := b.rows[e.Instance.Key]; r != nil && r.Up {
			r.Up = false
			b.turn(r, e.At)
		}
	case instances.Lost:
		b.lost = shown(e.Err.Error())
	case instances.Back:
		b.lost = ""
	case instances.Gap:
		b.gap, b.gapAt = shown(e.Err.Error()), e.At
	}
}

func (b *board) came(i instances.Instance, at time.Time, earlier bool) {
	r := b.rows[i.Key]
	if r == nil {
		if len(b.rows) >= mostRows {
			w, ok := b.waiting[i.Key]
			if w.Instance = i; !ok {
				w.at, w.earlier = at, earlier
			}
			b.waiting[i.Key] = w
			return
		}
		b.ids++
		r = &row{ID: b.ids, Key: shown(i.Key), Parent: parentOf(i.Key), Name: shown(i.Key), Host: "-", Earlier: earlier}
		if at := i.Address(); at.IsValid() {
			r.Name, r.Host = at.String(), at.Addr().String()
		}
		b.rows[i.Key] = r
	}
	r.Record, r.version = shown(i.Value), b.version
	if !r.Up {
		r.Up = true
		b.turn(r, at)
	}
}

// turn notes that an instance came or went.
func (b *board) turn(r *row, at time.Time) {
	r.Turns, r.version = append(r.Turns, b.seconds(at)), b.version
	if len(r.Turns) > mostTurns { // an even number, so that the first one is when it came
		r.Turns = slices.Delete(r.Turns, 0, 2)
		r.Earlier = false
	}
}

// parentOf returns what the page shows of a key's parent.
func parentOf(key string) string { return shown(key[:strings.LastIndex(key, "/")+1]) }

// sweep forgets what is over, now and then, and gives its room to others.
func (b *board) sweep(now time.Time) {
	if now.Sub(b.swept) < time.Second {
		return
	}
	b.swept = now
	for key, r := range b.rows {
		since := b.seconds(now) - span.Seconds()
		for len(r.Turns) > 2 && r.Turns[1] < since {
			r.Turns, r.Earlier = slices.Delete(r.Turns, 0, 2), false
		}
		if !r.Up && r.Turns[len(r.Turns)-1] < since {
			delete(b.rows, key)
		}
	}
	for key, w := range b.waiting {
		if len(b.rows) >= mostRows {
			break
		}
		delete(b.waiting, key)
		b.version++
		b.came(w.Instance, w.at, w.earlier)
	}
	if now.Sub(b.gapAt) > span { // the page doesn't look back that far
		b.gap = ""
	}
}

// shown returns a text that a page has room for, without what is no text.
func shown(text string) string {
	if len(text) > longestText {
		text = text[:longestText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // such as what turns the direction of writing
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// isListed says whether etcd has been read.
func (b *board) isListed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.listed
}

// parents returns whether etcd can be asked, and how many instances are up by their parent.
func (b *board) parents() (etcdUp bool, all []metrics.Parent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	up := map[string]int{}
	for _, r := range b.rows {
		if up[r.Parent] += 0; r.Up {
			up[r.Parent]++
		}
	}
	for key := range b.waiting {
		up[parentOf(key)]++
	}
	for _, name := range slices.Sorted(maps.Keys(up)) {
		all = append(all, metrics.Parent{Name: name, Up: up[name]})
	}
	return b.listed && b.lost == "", all
}

// news is what has changed since a version of the board.
type news struct {
	Now     float64 `json:"now"`
	All     bool    `json:"all"` // the rows are all that there are
	Listed  bool    `json:"listed"`
	Lost    string  `json:"lost"`
	Gap     string  `json:"gap"`
	Left    int     `json:"left"` // instances for which there is no room
	Rows    []row   `json:"rows"`
	version uint64
}

// since returns what has changed since a version; since 0, all. The page itself forgets
// what went longer ago than the span.
func (b *board) since(version uint64) news {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.sweep(now)
	n := news{Now: b.seconds(now), All: version == 0, Listed: b.listed, Lost: b.lost, Gap: b.gap, Left: len(b.waiting), Rows: []row{}, version: b.version}
	if version == b.version && version != 0 {
		return n
	}
	for _, r := range b.rows {
		if version == 0 || r.version > version {
			copied := *r
			copied.Turns = slices.Clone(r.Turns)
			n.Rows = append(n.Rows, copied)
		}
	}
	slices.SortFunc(n.Rows, func(a, b row) int { return strings.Compare(a.Key, b.Key) })
	return n
}
