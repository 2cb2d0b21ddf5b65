package view

import (
	"cmp"
	"slices"
	"sync"

	"nightshift/reports"
	"nightshift/reports/compare"
	"nightshift/runner/store"
)

// The highest rows of each committed part are kept, so that a sorted page needs
// no second look at the part: parts never change.

// viewOrders are the orders that rows can be sorted by.
var viewOrders = []string{"cost", "latency", "output"}

// A rowClass is what filters tell apart. Each row is in one class.
type rowClass struct {
	outcome          string
	flagged, retried bool
}

// A ranked row has a place in an order.
type ranked struct {
	model string
	key   compare.ItemKey
	value float64
}

func byValue(a, b ranked) int {
	return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.key.Row, b.key.Row), cmp.Compare(a.key.Epoch, b.key.Epoch), cmp.Compare(a.model, b.model))
}

// A topList collects the highest rows of many.
type topList struct {
	rows  []ranked
	floor float64 // of the page's last row when the list was last cut
	cut   bool
}

func (l *topList) add(r ranked) {
	if l.cut && r.value < l.floor {
		return
	}
	if l.rows = append(l.rows, r); len(l.rows) >= 8*pageRows {
		l.trim()
	}
}

// trim sorts the rows and leaves a page of them.
func (l *topList) trim() {
	slices.SortFunc(l.rows, byValue)
	if len(l.rows) >= pageRows {
		l.rows = l.rows[:pageRows]
		l.floor, l.cut = l.rows[pageRows-1].value, true
	}
}

// A partTop holds a page of the highest rows of every class of a part, by each
// of viewOrders.
type partTop struct {
	rows    int64
	classes map[rowClass]*[3]topList
}

func newPartTop() *partTop { return &partTop{classes: map[rowClass]*[3]topList{}} }

func (p *partTop) add(model string, r *keyRow) {
	p.rows++
	class := rowClass{r.Outcome, r.Flags != nil, reports.WasRetried(r.Attempts, r.Flags)}
	lists := p.classes[class]
	if lists == nil {
		lists = &[3]topList{}
		p.classes[class] = lists
	}
	for i, order := range viewOrders {
		lists[i].add(ranked{model, compare.ItemKey{Row: r.Row, Epoch: r.Epoch}, r.value(order)})
	}
}

func (p *partTop) done() *partTop {
	for _, lists := range p.classes {
		for i := range lists {
			lists[i].trim()
			lists[i].rows = slices.Clone(lists[i].rows)
		}
	}
	return p
}

// size is about how many bytes it takes.
func (p *partTop) size() int {
	n := 200
	for _, lists := range p.classes {
		n += 150
		for _, l := range lists {
			n += 48 * len(l.rows)
		}
	}
	return n
}

// mostTops is how much memory the highest rows of all parts may take: those of
// some 4,000 parts. ParquetFiles beyond it are looked at each time.
const mostTops = 64 << 20

// A topKey names a part as it was committed.
type topKey struct{ name, sum string }

// topCache keeps what has been found. It is safe for concurrent use.
type topCache struct {
	mu    sync.Mutex
	tops  map[topKey]*partTop
	bytes int
}

func (c *topCache) get(key topKey) *partTop {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tops[key]
}

func (c *topCache) put(key topKey, p *partTop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tops == nil {
		c.tops = map[topKey]*partTop{}
	}
	if n := p.size(); c.tops[key] == nil && c.bytes+n <= mostTops {
		c.tops[key] = p
		c.bytes += n
	}
}

// top returns the highest rows of a unit, kept ones where its part is as it
// was. part is -1 when the unit has none.
func (s *scan) top(model string, unit, part int) (*partTop, error) {
	var key topKey
	if part >= 0 && s.info.ParquetFiles[part].SHA256 != "" && !s.reopened(part) {
		key = topKey{s.info.ParquetFiles[part].Name, s.info.ParquetFiles[part].SHA256}
		if p := s.viewer.tops.get(key); p != nil {
			return p, nil
		}
	}
	p, notes := newPartTop(), len(s.page.Notes)
	slice := s.info.Chunks[unit]
	err := each(s, store.Rows[keyRow](s.viewer.dir, store.ReadOptions{Models: []string{model}, From: slice.First, To: slice.First + slice.Rows}), func(r *keyRow) bool {
		p.add(model, r)
		return p.rows%4096 != 0 || s.ctx.Err() == nil
	})
	if err != nil || s.ctx.Err() != nil {
		return nil, cmp.Or(err, s.ctx.Err())
	}
	p.done()
	if key.name != "" && len(s.page.Notes) == notes { // damage is told each time
		s.viewer.tops.put(key, p)
	}
	return p, nil
}

// sorted puts the highest rows of all units together.
func (s *scan) sorted() error {
	if len(s.words) > 0 {
		return s.sortedBySearch()
	}
	parts := map[unitOf]int{}
	for i, p := range s.info.ParquetFiles {
		parts[unitOf{p.Model, p.Shard}] = i
	}
	order := slices.Index(viewOrders, s.sort)
	var top topList
	for _, model := range s.models {
		for u := range s.info.Chunks {
			if s.idle(model, u) {
				continue
			}
			if s.late(scanLimit) {
				break
			}
			part, committed := parts[unitOf{model, u}]
			if !committed {
				part = -1
			}
			p, err := s.top(model, u, part)
			if err != nil {
				return err
			}
			s.page.Looked += p.rows
			for class, lists := range p.classes {
				if !s.takes(class) {
					continue
				}
				for _, r := range lists[order].rows {
					top.add(r)
				}
			}
		}
	}
	top.trim()
	return s.showRanked(top.rows)
}

type unitOf struct {
	model string
	unit  int
}

// takes reports whether the filters let a class of rows through.
func (s *scan) takes(c rowClass) bool {
	return (s.outcomes == nil || slices.Contains(s.outcomes, c.outcome)) && (!s.flagged || c.flagged) && (!s.retried || c.retried)
}

// sortedBySearch looks at the texts of all rows, as far as the time goes.
func (s *scan) sortedBySearch() error {
	var top topList
	for _, model := range s.models {
		err := each(s, store.Rows[sortedTextRow](s.viewer.dir, store.ReadOptions{Models: []string{model}}), func(r *sortedTextRow) bool {
			s.page.Looked++
			if text := r.text(); s.wanted(r.Outcome, r.Flags, r.Attempts) && s.said(&text) {
				k := keyRow{CostNanoUSD: r.CostNanoUSD, Output: r.Output, LatencyMS: r.LatencyMS}
				top.add(ranked{model, compare.ItemKey{Row: r.Row, Epoch: r.Epoch}, k.value(s.sort)})
			}
			return s.page.Looked%256 != 0 || !s.late(scanLimit)
		})
		if err != nil {
			return err
		}
	}
	top.trim()
	return s.showRanked(top.rows)
}

// A sortedTextRow is a textRow with what it is sorted by. It is flat: the
// columns of a struct within would not be read.
type sortedTextRow struct {
	Row          int64    `parquet:"row"`
	Epoch        int32    `parquet:"epoch"`
	ID           string   `parquet:"id"`
	Outcome      string   `parquet:"outcome,dict"`
	Flags        *string  `parquet:"flags,optional,dict"`
	Attempts     int32    `parquet:"attempts"`
	Text         *string  `parquet:"text,optional"`
	Input        *string  `parquet:"input,optional"`
	Target       *string  `parquet:"target,optional"`
	ErrorMessage *string  `parquet:"error_message,optional"`
	Category     *string  `parquet:"category,optional,dict"`
	CostNanoUSD  *int64   `parquet:"cost_nano_usd,optional"`
	Output       *int64   `parquet:"output_tokens,optional"`
	LatencyMS    *float64 `parquet:"latency_ms,optional"`
}

func (r *sortedTextRow) text() textRow {
	return textRow{r.Row, r.Epoch, r.ID, r.Outcome, r.Flags, r.Attempts, r.Text, r.Input, r.Target, r.ErrorMessage, r.Category}
}

// showRanked reads what the list shows of rows that lie anywhere.
func (s *scan) showRanked(top []ranked) error {
	rows := map[string][]int64{}
	for _, t := range top {
		rows[t.model] = append(rows[t.model], t.key.Row)
	}
	type place struct {
		model string
		key   compare.ItemKey
	}
	found := map[place]*reports.Item{}
	for _, model := range s.models {
		if len(rows[model]) == 0 {
			continue
		}
		err := each(s, store.At[listRow](s.viewer.dir, model, rows[model]), func(r *listRow) bool {
			found[place{model, compare.ItemKey{Row: r.Row, Epoch: r.Epoch}}] = r.item()
			return s.ctx.Err() == nil
		})
		if err != nil {
			return err
		}
	}
	for _, t := range top {
		if i := found[place{t.model, t.key}]; i != nil {
			s.page.Items = append(s.page.Items, i)
		}
	}
	return nil
}
