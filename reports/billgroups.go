package reports

import (
	"slices"

	"nightshift/runner/store"
)

// addGroup bills the rows of a group column by column. Attempt logs are read
// where the columns do not say all.
func (b *biller) addGroup(g *store.Group) error {
	rows, err := b.groupRows(g)
	if err != nil {
		return err
	}
	wanted := make([]bool, len(rows))
	for i := range rows {
		wanted[i] = b.logOnly || !b.plain(&rows[i])
	}
	if slices.Contains(wanted, true) {
		logs, null, err := g.TextOf("attempt_log", wanted)
		if err != nil {
			return err
		}
		for i := range rows {
			rows[i].AttemptLog = pointerTo(logs, null, i)
		}
	}
	for i := range rows {
		b.add(&rows[i])
	}
	return nil
}

func pointerTo[T any](values []T, null []bool, i int) *T {
	if null[i] {
		return nil
	}
	return &values[i]
}

// A groupReader collects the first error of several reads.
type groupReader struct {
	*store.Group
	err error
}

func (r *groupReader) text(column string, set func(i int, v *string)) {
	values, null, err := r.Text(column)
	assign(r, values, null, err, set)
}

func (r *groupReader) number(column string, set func(i int, v *int64)) {
	values, null, err := r.Int64(column)
	assign(r, values, null, err, set)
}

func assign[T any](r *groupReader, values []T, null []bool, err error, set func(i int, v *T)) {
	if r.err != nil || err != nil {
		if r.err == nil {
			r.err = err
		}
		return
	}
	for i := range values {
		set(i, pointerTo(values, null, i))
	}
}

// groupRows reads all that a bill needs but the attempt logs.
func (b *biller) groupRows(g *store.Group) ([]billRow, error) {
	b.rows = slices.Grow(b.rows[:0], g.Rows)[:g.Rows]
	rows := b.rows
	clear(rows)
	r := &groupReader{Group: g}
	r.text("model", func(i int, v *string) { rows[i].Model = deref(v) })
	r.text("endpoint", func(i int, v *string) { rows[i].Endpoint = deref(v) })
	r.text("requested_model", func(i int, v *string) { rows[i].RequestedModel = deref(v) })
	r.text("served_model", func(i int, v *string) { rows[i].ServedModel = v })
	r.text("outcome", func(i int, v *string) { rows[i].Outcome = deref(v) })
	r.text("stop_reason", func(i int, v *string) { rows[i].StopReason = v })
	r.text("category", func(i int, v *string) { rows[i].Category = v })
	r.number("input_tokens", func(i int, v *int64) { rows[i].InputTokens = v })
	r.number("cache_read_tokens", func(i int, v *int64) { rows[i].CacheReadTokens = v })
	r.number("cache_write_5m_tokens", func(i int, v *int64) { rows[i].CacheWrite5mTokens = v })
	r.number("cache_write_1h_tokens", func(i int, v *int64) { rows[i].CacheWrite1hTokens = v })
	r.number("output_tokens", func(i int, v *int64) { rows[i].OutputTokens = v })
	r.number("reasoning_tokens", func(i int, v *int64) { rows[i].ReasoningTokens = v })
	r.number("cost_nano_usd", func(i int, v *int64) { rows[i].CostNanoUSD = v })
	r.number("maybe_billed", func(i int, v *int64) { rows[i].MaybeBilled = deref(v) != 0 })
	r.number("attempts", func(i int, v *int64) { rows[i].Attempts = int32(deref(v)) })
	reported, null, err := g.Float64("reported_cost_usd")
	assign(r, reported, null, err, func(i int, v *float64) { rows[i].ReportedCostUSD = v })
	return rows, r.err
}

// merge adds what another biller of the same run found.
func (b *biller) merge(o *biller) {
	for name, l := range o.lines {
		if mine, ok := b.lines[name]; ok {
			mine.add(&l.Entry)
		} else {
			b.lines[name] = l
		}
	}
	for name, s := range o.models {
		mine := b.models[name]
		if mine == nil {
			b.models[name] = s
			continue
		}
		mine.rows += s.rows
		mine.sum += s.sum
		mine.squares += s.squares
		mine.atLeast = mine.atLeast || s.atLeast
	}
}
