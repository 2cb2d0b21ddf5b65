package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/prefix"
)

// A Caching says how rows that share a prefix are sent, so that the server's
// prompt cache has it: together, after the first of them has written it.
type Caching struct {
	Minimum, Step int64               // bytes of the shortest prefix, and that a longer one has more
	Pays          func(rows int) bool // whether a prefix of so many rows is worth it; nil is two or more
	Lifetime      time.Duration       // of what is cached, after its last use
	TokensPerByte float64
	// Marker is the lifetime of the cache markers that requests get ("5m", "1h");
	// empty where the provider caches by itself, or nothing is to be added.
	Marker   string
	AtEnd    bool // a prefix is cached when the answer to it has ended, not at its first token
	ByMarker bool // nothing is cached of requests without a marker
	Key      bool // requests get a prompt_cache_key
}

// cached is a request with what makes the server cache its prefix.
func (c *conversation) cached(turn int, req nightshift.Request) nightshift.Request {
	p, caching := c.row.prefix, c.pool.Caching
	if turn == 0 && c.row.turn != nil { // later turns find their prefix in the cache
		req.Cache = c.row.turn
	}
	if p == nil {
		return req
	}
	var marker, key string
	if caching.Marker != "" {
		var marked bool
		if req, marked = prefix.Mark(req, p, caching.Minimum, caching.Marker); marked {
			marker = caching.Marker
		}
	}
	if caching.ByMarker && marker == "" && !prefix.Marked(&req) {
		c.row.turn.Leave()
		return req
	}
	if caching.Key && !prefix.Marked(&req) {
		key = fmt.Sprintf("nightshift-%016x", p.Hash)
		req.Params = append(req.Params[:len(req.Params):len(req.Params)],
			nightshift.Param{Name: "prompt_cache_key", Value: json.RawMessage(`"` + key + `"`)})
	}
	c.row.turn.Add(marker, key)
	return req
}

const (
	// lookahead is the least number of rows that are left of open prefixes before a
	// further one is opened.
	lookahead = 64
	// ahead is how many rows may be given out and not sent: the request that writes
	// the next prefix comes behind them.
	ahead = 16
)

// directed gives the open rows of a shard to the pool, prefix by prefix. It reads
// the shard once to see what the rows share, and once more for each 64 MiB of
// them.
func (w *walk) directed(u *shard, i int) error {
	d := &direction{walk: w, u: u, number: i, numbers: map[item]int{}}
	whole, err := d.look()
	for pass := 0; whole && pass < d.passes; pass++ {
		whole, err = d.pass(pass)
	}
	return err
}

// An item is a row in one of its epochs.
type item struct {
	row   int64
	epoch int
}

// A direction is one shard whose rows are sent by their prefixes.
type direction struct {
	*walk
	u      *shard
	number int

	numbers  map[item]int // of the rows, in the order in which they were looked at
	prefixes []*prefix.Prefix
	places   []int // of the rows in the order of sending
	passOf   []int // in which each is sent
	passes   int
}

// look finds the prefixes, and divides the rows into passes. Rows that have a record
// count: what a start adds to a request must not depend on how far an earlier one came.
func (d *direction) look() (whole bool, err error) {
	var f prefix.Finder
	var weights []int64
	whole, err = d.all(d.u, d.number, func(s nightshift.Sample) bool {
		req := d.pool.Request(s)
		f.Add(&req)
		d.numbers[item{s.Index, s.Epoch}] = len(weights)
		weights = append(weights, weight(s))
		return true
	})
	c := d.pool.Caching
	d.prefixes = f.Find(prefix.Rule{Minimum: c.Minimum, Step: c.Step, Pays: c.Pays})
	d.places, d.passOf = make([]int, len(weights)), make([]int, len(weights))
	var size int64
	for place, n := range prefix.Order(d.prefixes) {
		if size += weights[n]; size > heldBytes && size > weights[n] {
			d.passes++
			size = weights[n]
		}
		d.places[n], d.passOf[n] = place, d.passes
	}
	d.passes++
	return whole, err
}

// pass reads the rows of one pass and sends them.
func (d *direction) pass(pass int) (whole bool, err error) {
	var rows []row
	whole, err = d.each(d.u, d.number, func(s nightshift.Sample) bool {
		n, known := d.numbers[item{s.Index, s.Epoch}]
		if known && d.passOf[n] == pass {
			rows = append(rows, row{Sample: s, prefix: d.prefixes[n]})
		}
		return true
	})
	if !whole {
		return false, err
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(d.place(a), d.place(b)) })
	q := newPrefixQueue(d.table, rows, d.pool, func(r row) bool {
		return goesOn(d.u.History(r.Index, r.Epoch), d.pool.Workers)
	})
	for {
		r, more := q.next(d.feed)
		if !more {
			return true, nil
		}
		if d.feed.Err() != nil || !d.send(d.u, r) {
			r.turn.Release()
			d.u.incomplete.Store(true)
			return false, nil
		}
	}
}

func (d *direction) place(r row) int { return d.places[d.numbers[item{r.Index, r.Epoch}]] }

// A prefixQueue gives out the rows of a pass, each when its prefix is in the cache or
// to be written by it. Rows of one prefix are a group. As many groups are open as
// keep the pool busy: the more there are, the longer each has to stay in the
// cache.
type prefixQueue struct {
	table  *prefix.Table
	pool   Pool
	open   []*group
	groups []*group // that are not open yet
	alone  []row    // that share nothing
	goOn   []row    // whose requests an earlier process has sent, so that there is nothing to wait for
}

type group struct {
	prefix *prefix.Prefix
	rows   []row
}

func newPrefixQueue(t *prefix.Table, rows []row, p Pool, goesOn func(row) bool) *prefixQueue {
	q := &prefixQueue{table: t, pool: p}
	var last *group
	for _, r := range rows {
		if goesOn(r) {
			q.goOn = append(q.goOn, r)
			continue
		}
		if r.prefix == nil {
			q.alone = append(q.alone, r)
			continue
		}
		if last == nil || last.prefix != r.prefix {
			last = &group{prefix: r.prefix}
			q.groups = append(q.groups, last)
		}
		last.rows = append(last.rows, r)
	}
	return q
}

// next waits for a row that can be given out; more is false when there is none
// left. When the feed has ended it returns any row.
func (q *prefixQueue) next(feed context.Context) (r row, more bool) {
	for len(q.goOn)+len(q.open)+len(q.groups)+len(q.alone) > 0 {
		changed := q.table.Changed()
		if r, ok := q.ready(); ok {
			return r, true
		}
		timer := time.NewTimer(recheck)
		select {
		case <-changed:
		case <-timer.C:
		case <-feed.Done():
			timer.Stop()
			return row{}, true
		}
		timer.Stop()
	}
	return row{}, false
}

// recheck is when a queue looks again at prefixes that nobody has written.
const recheck = 10 * time.Second

// ready takes a row that can go now. A prefix that is not in the cache comes
// first, since its other rows wait.
func (q *prefixQueue) ready() (row, bool) {
	if len(q.goOn) > 0 {
		r := q.goOn[0]
		q.goOn = q.goOn[1:]
		return r, true
	}
	if _, waiting := q.table.Load(); waiting >= ahead {
		return row{}, false
	}
	for q.opens() {
		q.open, q.groups = append(q.open, q.groups[0]), q.groups[1:]
	}
	warm := -1
	for i, g := range q.open {
		switch q.table.Standing(g.prefix) {
		case prefix.Cold:
			return q.take(i), true
		case prefix.Warm:
			if warm < 0 {
				warm = i
			}
		}
	}
	if warm >= 0 {
		return q.take(warm), true
	}
	if len(q.alone) > 0 {
		r := q.alone[0]
		q.alone = q.alone[1:]
		r.turn = q.table.Turn(nil)
		return r, true
	}
	return row{}, false
}

// opens reports whether another group is needed: those that are open have too few
// rows for what is in flight, and as much again.
func (q *prefixQueue) opens() bool {
	if len(q.groups) == 0 {
		return false
	}
	inFlight, waiting := q.table.Load()
	for _, g := range q.open {
		waiting += len(g.rows)
	}
	return waiting < max(lookahead, q.pool.InFlight, 2*inFlight)
}

// take takes the next row of an open group, and gives it its turn.
func (q *prefixQueue) take(i int) row {
	g := q.open[i]
	r := g.rows[0]
	if g.rows = g.rows[1:]; len(g.rows) == 0 {
		q.open = slices.Delete(q.open, i, i+1)
	}
	r.turn = q.table.Turn(r.prefix)
	return r
}
