package web

import (
	"cmp"
	"slices"

	"nightshift/reports"
	"nightshift/reports/compare"
	"nightshift/runner/store/view"
)

// viewOrders are the orders that rows can be sorted by.
var viewOrders = []string{"cost", "latency", "output"}

// A ranked row has a place in an order.
type ranked struct {
	model string
	key   compare.ItemKey
	value float64
}

func byValue(a, b ranked) int {
	return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.key.Row, b.key.Row),
		cmp.Compare(a.key.Epoch, b.key.Epoch), cmp.Compare(a.model, b.model))
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

// sorted finds the highest rows of all shards.
func (s *scan) sorted() error {
	if len(s.words) > 0 {
		return s.sortedBySearch()
	}
	var top topList
	for _, model := range s.models {
		for u, chunk := range s.info.Chunks {
			if s.idle(model, u) {
				continue
			}
			o := view.ReadOptions{Models: []string{model}, From: chunk.First, To: chunk.First + chunk.Rows}
			err := each(s, view.Rows[keyRow](s.viewer.dir, o), func(r *keyRow) bool {
				s.page.Looked++
				if s.wanted(r.Outcome, r.Flags, r.Attempts) {
					top.add(ranked{model, compare.ItemKey{Row: r.Row, Epoch: r.Epoch}, r.value(s.sort)})
				}
				return s.page.Looked%4096 != 0 || !s.late(scanLimit)
			})
			if err != nil || s.ctx.Err() != nil {
				return cmp.Or(err, s.ctx.Err())
			}
			if s.page.Partial {
				break
			}
		}
	}
	top.trim()
	return s.showRanked(top.rows)
}

// sortedBySearch looks at the texts of all rows, as far as the time goes.
func (s *scan) sortedBySearch() error {
	var top topList
	for _, model := range s.models {
		err := each(s, view.Rows[sortedTextRow](s.viewer.dir, view.ReadOptions{Models: []string{model}}),
			func(r *sortedTextRow) bool {
				s.page.Looked++
				if s.wanted(r.Outcome, r.Flags, r.Attempts) && s.said(&r.textRow) {
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

// A sortedTextRow is a textRow with what it is sorted by.
type sortedTextRow struct {
	textRow
	CostNanoUSD *int64   `parquet:"cost_nano_usd,optional"`
	Output      *int64   `parquet:"output_tokens,optional"`
	LatencyMS   *float64 `parquet:"latency_ms,optional"`
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
		err := each(s, view.At[listRow](s.viewer.dir, model, rows[model]), func(r *listRow) bool {
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
