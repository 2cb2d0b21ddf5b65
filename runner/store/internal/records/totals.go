// Package records holds what the packages of the store do with one Record:
// totals, repair of values that no file can hold, and size.
package records

import (
	"maps"
	"strings"

	"nightshift"
	"nightshift/internal/attemptlog"
)

// Totals are the sums of a run by model.
type Totals struct {
	Models map[string]Tally `json:"models"`
}

// Add returns the sums of both.
func (t Totals) Add(o Totals) Totals {
	sum := Totals{Models: map[string]Tally{}}
	for _, from := range []Totals{t, o} {
		for name, tally := range from.Models {
			sum.Models[name] = sum.Models[name].Add(tally)
		}
	}
	return sum
}

// Sum returns the sum over all models.
func (t Totals) Sum() Tally {
	var sum Tally
	for _, tally := range t.Models {
		sum = sum.Add(tally)
	}
	return sum
}

// A Tally is what some records add up to. Its zero value is the tally of none.
// Counts of tokens are unknown where no record knew one.
type Tally struct {
	Rows        int64                           `json:"rows"` // settled (row, epoch)s
	Outcomes    map[nightshift.Outcome]int64    `json:"outcomes,omitempty"`
	StopReasons map[nightshift.StopReason]int64 `json:"stop_reasons,omitempty"`

	// Tokens of the answers on record, as the columns of the same names.
	InputTokens        nightshift.Count `json:"input_tokens,omitzero"`
	CacheReadTokens    nightshift.Count `json:"cache_read_tokens,omitzero"`
	CacheWrite5mTokens nightshift.Count `json:"cache_write_5m_tokens,omitzero"`
	CacheWrite1hTokens nightshift.Count `json:"cache_write_1h_tokens,omitzero"`
	OutputTokens       nightshift.Count `json:"output_tokens,omitzero"`
	ReasoningTokens    nightshift.Count `json:"reasoning_tokens,omitzero"`

	// All attempts.
	BilledInputTokens  nightshift.Count   `json:"billed_input_tokens,omitzero"`
	BilledOutputTokens nightshift.Count   `json:"billed_output_tokens,omitzero"`
	Cost               nightshift.NanoUSD `json:"cost_nano_usd"`
	// rows that were sent and whose cost is not known
	CostUnknown int64 `json:"cost_unknown,omitempty"`
	Attempts    int64 `json:"attempts"`

	// Attempts that may have been billed without an answer, and the most they
	// can have cost.
	MaybeBilled int64              `json:"maybe_billed,omitempty"` // rows
	MaybeTokens int64              `json:"maybe_tokens,omitempty"`
	MaybeCost   nightshift.NanoUSD `json:"maybe_cost_nano_usd,omitempty"`

	// Rows with the answer of another run, and what that run paid for them.
	Reused     int64              `json:"reused,omitempty"`
	ReusedCost nightshift.NanoUSD `json:"reused_cost_nano_usd,omitempty"`
}

// Failed is the number of rows that --retry-failed would run again.
func (t Tally) Failed() int64 {
	return t.Outcomes[nightshift.OutcomeFailed] + t.Outcomes[nightshift.OutcomeUnknown]
}

// Add returns the sum of both.
func (t Tally) Add(o Tally) Tally {
	t.Outcomes, t.StopReasons = maps.Clone(t.Outcomes), maps.Clone(t.StopReasons)
	t.Accumulate(&o, 1)
	return t
}

// add adds o sign times, in place. Its maps become t's own.
func (t *Tally) Accumulate(o *Tally, sign int64) {
	t.Rows += sign * o.Rows
	addMap(&t.Outcomes, o.Outcomes, sign)
	addMap(&t.StopReasons, o.StopReasons, sign)
	addCount(&t.InputTokens, o.InputTokens, sign)
	addCount(&t.CacheReadTokens, o.CacheReadTokens, sign)
	addCount(&t.CacheWrite5mTokens, o.CacheWrite5mTokens, sign)
	addCount(&t.CacheWrite1hTokens, o.CacheWrite1hTokens, sign)
	addCount(&t.OutputTokens, o.OutputTokens, sign)
	addCount(&t.ReasoningTokens, o.ReasoningTokens, sign)
	addCount(&t.BilledInputTokens, o.BilledInputTokens, sign)
	addCount(&t.BilledOutputTokens, o.BilledOutputTokens, sign)
	t.Cost += nightshift.NanoUSD(sign) * o.Cost
	t.CostUnknown += sign * o.CostUnknown
	t.Attempts += sign * o.Attempts
	t.MaybeBilled += sign * o.MaybeBilled
	t.MaybeTokens += sign * o.MaybeTokens
	t.MaybeCost += nightshift.NanoUSD(sign) * o.MaybeCost
	t.Reused += sign * o.Reused
	t.ReusedCost += nightshift.NanoUSD(sign) * o.ReusedCost
}

func addMap[K comparable](to *map[K]int64, from map[K]int64, sign int64) {
	if len(from) > 0 && *to == nil {
		*to = map[K]int64{}
	}
	for k, n := range from {
		if (*to)[k] += sign * n; (*to)[k] == 0 {
			delete(*to, k)
		}
	}
}

func addCount(to *nightshift.Count, from nightshift.Count, sign int64) {
	if n, known := from.Get(); known {
		*to = to.Add(nightshift.Tokens(sign * n))
	}
}

// Columns are the part of a record that totals are computed from, with the columns'
// names, so that it is read from journals and Parquet files without the texts.
type Columns struct {
	Row                int64              `json:"row" parquet:"row"`
	Epoch              int32              `json:"epoch" parquet:"epoch"`
	Outcome            nightshift.Outcome `json:"outcome" parquet:"outcome,dict"`
	StopReason         *string            `json:"stop_reason" parquet:"stop_reason,optional,dict"`
	InputTokens        *int64             `json:"input_tokens" parquet:"input_tokens,optional"`
	CacheReadTokens    *int64             `json:"cache_read_tokens" parquet:"cache_read_tokens,optional"`
	CacheWrite5mTokens *int64             `json:"cache_write_5m_tokens" parquet:"cache_write_5m_tokens,optional"`
	CacheWrite1hTokens *int64             `json:"cache_write_1h_tokens" parquet:"cache_write_1h_tokens,optional"`
	OutputTokens       *int64             `json:"output_tokens" parquet:"output_tokens,optional"`
	ReasoningTokens    *int64             `json:"reasoning_tokens" parquet:"reasoning_tokens,optional"`
	CostNanoUSD        *int64             `json:"cost_nano_usd" parquet:"cost_nano_usd,optional"`
	BilledInputTokens  *int64             `json:"billed_input_tokens" parquet:"billed_input_tokens,optional"`
	BilledOutputTokens *int64             `json:"billed_output_tokens" parquet:"billed_output_tokens,optional"`
	MaybeBilled        bool               `json:"maybe_billed" parquet:"maybe_billed"`
	Attempts           int32              `json:"attempts" parquet:"attempts"`
	AttemptLog         *string            `json:"attempt_log" parquet:"attempt_log,optional"`
	ReusedFrom         *string            `json:"reused_from" parquet:"reused_from,optional,dict"`
	ReusedCostNanoUSD  *int64             `json:"reused_cost_nano_usd" parquet:"reused_cost_nano_usd,optional"`
}

func ColumnsOf(r *nightshift.Record) Columns {
	return Columns{
		r.Row, r.Epoch, r.Outcome, r.StopReason,
		r.InputTokens, r.CacheReadTokens, r.CacheWrite5mTokens, r.CacheWrite1hTokens, r.OutputTokens, r.ReasoningTokens,
		r.CostNanoUSD, r.BilledInputTokens, r.BilledOutputTokens, r.MaybeBilled, r.Attempts, r.AttemptLog,
		r.ReusedFrom, r.ReusedCostNanoUSD,
	}
}

// Tally returns what one record adds.
func (c *Columns) Tally() Tally {
	var t Tally
	t.Count(c)
	return t
}

// Count adds a record, in place.
func (t *Tally) Count(c *Columns) {
	t.Rows++
	bump(&t.Outcomes, c.Outcome)
	if c.StopReason != nil {
		bump(&t.StopReasons, nightshift.StopReason(*c.StopReason))
	}
	for _, n := range []struct {
		to   *nightshift.Count
		from *int64
	}{
		{&t.InputTokens, c.InputTokens}, {&t.CacheReadTokens, c.CacheReadTokens},
		{&t.CacheWrite5mTokens, c.CacheWrite5mTokens}, {&t.CacheWrite1hTokens, c.CacheWrite1hTokens},
		{&t.OutputTokens, c.OutputTokens}, {&t.ReasoningTokens, c.ReasoningTokens},
		{&t.BilledInputTokens, c.BilledInputTokens}, {&t.BilledOutputTokens, c.BilledOutputTokens},
	} {
		if n.from != nil {
			*n.to = n.to.Add(nightshift.Tokens(*n.from))
		}
	}
	t.Attempts += int64(c.Attempts)
	unpriced := c.CostNanoUSD == nil && c.Attempts > 0
	if c.CostNanoUSD != nil {
		t.Cost += nightshift.NanoUSD(*c.CostNanoUSD)
	} else if unpriced {
		t.CostUnknown++
	}
	if c.MaybeBilled {
		t.MaybeBilled++
	}
	if c.ReusedFrom != nil {
		t.Reused++
		if c.ReusedCostNanoUSD != nil {
			t.ReusedCost += nightshift.NanoUSD(*c.ReusedCostNanoUSD)
		}
	}
	if (c.MaybeBilled || unpriced) && c.mayOwe() {
		for _, a := range c.Log() {
			t.owe(&a, c.CostNanoUSD == nil)
		}
	}
}

func bump[K comparable](m *map[K]int64, k K) {
	if *m == nil {
		*m = map[K]int64{}
	}
	(*m)[k]++
}

// mayOwe reports whether the log names a cost or a worst case at all; most name
// neither and need not be read.
func (c *Columns) mayOwe() bool {
	return c.AttemptLog != nil && (strings.Contains(*c.AttemptLog, `"worst_`) || strings.Contains(*c.AttemptLog, `"cost_`))
}

// owe adds what is not known of an attempt at its worst and, when cost is set,
// what is known of its cost: a row of unknown cost owes that all the same.
func (t *Tally) owe(a *nightshift.Attempt, cost bool) {
	if cost && a.Cost != nil {
		t.Cost += *a.Cost
	}
	if a.WorstTokens == 0 && a.WorstCost == 0 {
		return
	}
	t.MaybeTokens += max(a.WorstTokens-a.Usage.Total().N(), 0)
	known := nightshift.NanoUSD(0)
	if a.Cost != nil {
		known = *a.Cost
	}
	t.MaybeCost += max(a.WorstCost-known, 0)
}

// Log returns the attempts of the record; none when it has none or they
// cannot be read.
func (c *Columns) Log() []nightshift.Attempt {
	if c.AttemptLog == nil {
		return nil
	}
	log, err := attemptlog.Parse(*c.AttemptLog)
	if err != nil {
		return nil
	}
	return log
}

// Retried reports whether --retry-failed runs a row with this outcome again.
func Retried(o nightshift.Outcome) bool {
	return o == nightshift.OutcomeFailed || o == nightshift.OutcomeUnknown
}

// Spent returns what attempts of a row that has no record yet add to a tally.
func Spent(log []nightshift.Attempt) Tally {
	t := Tally{Attempts: int64(len(log))}
	for _, a := range log {
		t.owe(&a, true)
		if a.Usage.Known() {
			t.BilledInputTokens = t.BilledInputTokens.Add(a.Usage.InputTotal())
			t.BilledOutputTokens = t.BilledOutputTokens.Add(a.Usage.Output)
		}
		if a.MaybeBilled {
			t.MaybeBilled = 1
		}
	}
	return t
}
