// Package reports says what a run's files hold: how its rows ended, what they
// used and cost, how long they took. It reads the store and nothing else, so
// every report can be made again from the files alone, of a run that is still
// going on too.
//
// A [Summary] is the one set of figures; its renderings (text, Markdown, JSON)
// add nothing to it.
package reports

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store"
)

// A Summary is what became of a run. Nil pointers are unknown.
type Summary struct {
	Name      string         `json:"name"`
	Dir       string         `json:"dir"`
	State     string         `json:"state"`
	Tool      string         `json:"tool"`
	Dataset   DatasetFacts   `json:"dataset"`
	Epochs    int            `json:"epochs"`
	Started   *time.Time     `json:"started_at"`
	Finished  *time.Time     `json:"finished_at"`
	Models    []ModelSummary `json:"models"`
	Total     Spending       `json:"total"`
	Errors    []ErrorGroup   `json:"errors,omitempty"`
	Warnings  []string       `json:"warnings,omitempty"`
	PriceDate string         `json:"price_table,omitempty"`
}

// DatasetFacts say which dataset was run.
type DatasetFacts struct {
	Rows int64  `json:"rows"`
	Hash string `json:"hash"`
}

// A ModelSummary is one model's part of a Summary.
type ModelSummary struct {
	Model          string                       `json:"model"`
	Endpoint       string                       `json:"endpoint"`
	RequestedModel string                       `json:"requested_model"`
	Served         map[string]int64             `json:"served_models,omitempty"` // rows by the model that answered
	Expected       int64                        `json:"expected"`                // rows × epochs
	Rows           int64                        `json:"rows"`                    // on record
	Outcomes       map[nightshift.Outcome]int64 `json:"outcomes"`
	StopReasons    map[string]int64             `json:"stop_reasons"`
	Spending
	Attempts int64            `json:"attempts"`
	Retries  int64            `json:"retries"`
	Flags    map[string]int64 `json:"flags,omitempty"`

	LatencyMS    Percentiles `json:"latency_ms"`
	FirstTokenMS Percentiles `json:"first_token_ms"`
}

// NotRun is how many rows have no record yet.
func (m ModelSummary) NotRun() int64 { return max(m.Expected-m.Rows, 0) }

// Answered is how many rows a model's answer is on record for.
func (m ModelSummary) Answered() int64 {
	var n int64
	for o, k := range m.Outcomes {
		if o.Answered() {
			n += k
		}
	}
	return n
}

// Spending is tokens and money. Token sums hold what was reported;
// UnknownUsage says how many answered rows reported none.
type Spending struct {
	InputTokens      int64 `json:"input_tokens"` // cached ones included
	CacheReadTokens  int64 `json:"cache_read_tokens"`
	CacheWriteTokens int64 `json:"cache_write_tokens"`
	OutputTokens     int64 `json:"output_tokens"`
	ReasoningTokens  int64 `json:"reasoning_tokens"`
	UnknownUsage     int64 `json:"rows_without_usage"`

	BilledInputTokens  int64 `json:"billed_input_tokens"` // over all attempts
	BilledOutputTokens int64 `json:"billed_output_tokens"`

	CostNanoUSD int64   `json:"cost_nano_usd"`
	CostUSD     float64 `json:"cost_usd"`
	UnknownCost int64   `json:"rows_without_cost"` // answered rows whose cost is unknown
	MaybeBilled int64   `json:"rows_maybe_billed"` // an attempt may have been billed without an answer
	ReportedUSD float64 `json:"reported_cost_usd,omitempty"`
}

// AtLeast reports whether the cost is a lower bound.
func (s Spending) AtLeast() bool { return s.UnknownCost > 0 || s.MaybeBilled > 0 }

func (s *Spending) add(t Spending) {
	s.InputTokens += t.InputTokens
	s.CacheReadTokens += t.CacheReadTokens
	s.CacheWriteTokens += t.CacheWriteTokens
	s.OutputTokens += t.OutputTokens
	s.ReasoningTokens += t.ReasoningTokens
	s.UnknownUsage += t.UnknownUsage
	s.BilledInputTokens += t.BilledInputTokens
	s.BilledOutputTokens += t.BilledOutputTokens
	s.CostNanoUSD += t.CostNanoUSD
	s.CostUSD = nightshift.NanoUSD(s.CostNanoUSD).Dollars()
	s.UnknownCost += t.UnknownCost
	s.MaybeBilled += t.MaybeBilled
	s.ReportedUSD += t.ReportedUSD
}

// Percentiles of a duration in milliseconds. P99 is nil under a hundred
// values.
type Percentiles struct {
	N   int64    `json:"n"`
	P50 *float64 `json:"p50"`
	P90 *float64 `json:"p90"`
	P95 *float64 `json:"p95"`
	P99 *float64 `json:"p99"`
	Max *float64 `json:"max"`
}

// An ErrorGroup is one way in which rows of a model failed.
type ErrorGroup struct {
	Model   string `json:"model"`
	Class   string `json:"class"`
	Rows    int64  `json:"rows"`
	Example string `json:"example"` // the first message
	FirstID string `json:"first_id"`
}

// summaryRow is what a summary reads of a Record.
type summaryRow struct {
	ID                 string     `parquet:"id"`
	Model              string     `parquet:"model,dict"`
	Endpoint           string     `parquet:"endpoint,dict"`
	RequestedModel     string     `parquet:"requested_model,dict"`
	ServedModel        *string    `parquet:"served_model,optional,dict"`
	Outcome            string     `parquet:"outcome,dict"`
	StopReason         *string    `parquet:"stop_reason,optional,dict"`
	InputTokens        *int64     `parquet:"input_tokens,optional"`
	CacheReadTokens    *int64     `parquet:"cache_read_tokens,optional"`
	CacheWrite5mTokens *int64     `parquet:"cache_write_5m_tokens,optional"`
	CacheWrite1hTokens *int64     `parquet:"cache_write_1h_tokens,optional"`
	OutputTokens       *int64     `parquet:"output_tokens,optional"`
	ReasoningTokens    *int64     `parquet:"reasoning_tokens,optional"`
	CostNanoUSD        *int64     `parquet:"cost_nano_usd,optional"`
	ReportedCostUSD    *float64   `parquet:"reported_cost_usd,optional"`
	BilledInputTokens  *int64     `parquet:"billed_input_tokens,optional"`
	BilledOutputTokens *int64     `parquet:"billed_output_tokens,optional"`
	MaybeBilled        bool       `parquet:"maybe_billed"`
	Attempts           int32      `parquet:"attempts"`
	LatencyMS          *float64   `parquet:"latency_ms,optional"`
	FirstTokenMS       *float64   `parquet:"first_token_ms,optional"`
	StartedAt          *time.Time `parquet:"started_at,optional,timestamp(microsecond)"`
	FinishedAt         *time.Time `parquet:"finished_at,optional,timestamp(microsecond)"`
	ErrorClass         *string    `parquet:"error_class,optional,dict"`
	ErrorMessage       *string    `parquet:"error_message,optional"`
	Flags              *string    `parquet:"flags,optional,dict"`
}

// Summarize reads a run directory.
func Summarize(dir string) (*Summary, error) {
	info, err := store.ReadInfo(dir)
	if err != nil {
		return nil, err
	}
	t := newTally(info.Models)
	for row, err := range store.Rows[summaryRow](dir, store.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		t.add(&row)
	}
	return t.summary(dir, info), nil
}

// A tally collects rows into a summary.
type tally struct {
	models         map[string]*modelTally
	order          []string
	errors         map[[2]string]*ErrorGroup
	started, ended *time.Time
}

type modelTally struct {
	ModelSummary
	latency, firstToken quantiles
}

func newTally(models []string) *tally {
	t := &tally{models: map[string]*modelTally{}, errors: map[[2]string]*ErrorGroup{}}
	for _, m := range models {
		t.model(m)
	}
	return t
}

func (t *tally) model(name string) *modelTally {
	m, ok := t.models[name]
	if !ok {
		m = &modelTally{ModelSummary: ModelSummary{
			Model: name, Served: map[string]int64{}, Outcomes: map[nightshift.Outcome]int64{},
			StopReasons: map[string]int64{}, Flags: map[string]int64{},
		}}
		t.models[name] = m
		t.order = append(t.order, name)
	}
	return m
}

func (t *tally) add(row *summaryRow) {
	m := t.model(row.Model)
	m.Endpoint, m.RequestedModel = row.Endpoint, row.RequestedModel
	outcome := nightshift.Outcome(row.Outcome)
	m.Rows++
	m.Outcomes[outcome]++
	m.Attempts += int64(row.Attempts)
	m.Retries += int64(max(row.Attempts-1, 0))
	if row.ServedModel != nil {
		m.Served[*row.ServedModel]++
	}
	if outcome.Answered() {
		m.StopReasons[cmp.Or(deref(row.StopReason), "unknown")]++
	}
	for _, f := range splitFlags(row.Flags) {
		m.Flags[f]++
	}
	m.Spending.add(row.spending())
	if row.LatencyMS != nil && outcome.Answered() {
		m.latency.add(*row.LatencyMS)
	}
	if row.FirstTokenMS != nil && outcome.Answered() {
		m.firstToken.add(*row.FirstTokenMS)
	}
	t.started, t.ended = earlier(t.started, row.StartedAt), later(t.ended, row.FinishedAt)
	if row.ErrorClass != nil && !outcome.Answered() {
		t.fail(row)
	}
}

func (t *tally) fail(row *summaryRow) {
	key := [2]string{row.Model, *row.ErrorClass}
	g, ok := t.errors[key]
	if !ok {
		g = &ErrorGroup{Model: row.Model, Class: *row.ErrorClass, Example: deref(row.ErrorMessage), FirstID: row.ID}
		t.errors[key] = g
	}
	g.Rows++
}

func (row *summaryRow) spending() Spending {
	s := Spending{
		InputTokens:        deref(row.InputTokens),
		CacheReadTokens:    deref(row.CacheReadTokens),
		CacheWriteTokens:   deref(row.CacheWrite5mTokens) + deref(row.CacheWrite1hTokens),
		OutputTokens:       deref(row.OutputTokens),
		ReasoningTokens:    deref(row.ReasoningTokens),
		BilledInputTokens:  deref(row.BilledInputTokens),
		BilledOutputTokens: deref(row.BilledOutputTokens),
		CostNanoUSD:        deref(row.CostNanoUSD),
		ReportedUSD:        deref(row.ReportedCostUSD),
	}
	answered := nightshift.Outcome(row.Outcome).Answered()
	if answered && row.InputTokens == nil && row.OutputTokens == nil {
		s.UnknownUsage = 1
	}
	if answered && row.CostNanoUSD == nil {
		s.UnknownCost = 1
	}
	if row.MaybeBilled {
		s.MaybeBilled = 1
	}
	return s
}

func (t *tally) summary(dir string, info store.Info) *Summary {
	s := &Summary{
		Name: info.Name, Dir: dir, State: info.State, Tool: info.Tool, Epochs: info.Epochs, PriceDate: info.PriceTable,
		Dataset: DatasetFacts{Rows: info.Rows(), Hash: info.DatasetHash},
		Started: t.started, Finished: t.ended,
	}
	for _, name := range t.order {
		m := t.models[name]
		m.Expected = info.Items() / int64(max(len(info.Models), 1))
		m.LatencyMS, m.FirstTokenMS = m.latency.percentiles(), m.firstToken.percentiles()
		s.Models = append(s.Models, m.ModelSummary)
		s.Total.add(m.Spending)
	}
	for _, g := range t.errors {
		s.Errors = append(s.Errors, *g)
	}
	slices.SortFunc(s.Errors, func(a, b ErrorGroup) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Class, b.Class))
	})
	s.Warnings = s.warnings()
	return s
}

func (q *quantiles) percentiles() Percentiles {
	return Percentiles{N: q.n, P50: q.at(0.5), P90: q.at(0.9), P95: q.at(0.95), P99: q.tail(), Max: q.largest()}
}

// warnings are what a reader should know before trusting the figures.
func (s *Summary) warnings() []string {
	var w []string
	for _, m := range s.Models {
		w = append(w, m.warnings()...)
	}
	return w
}

func (m *ModelSummary) warnings() []string {
	var w []string
	if t := m.Outcomes[nightshift.OutcomeTruncated]; t*100 > m.Rows {
		w = append(w, sprintf("%s: %s of %s answers were cut off (token cap or context window): raise max_tokens before comparing models", m.Model, count(t), count(m.Rows)))
	}
	if m.UnknownUsage > 0 {
		w = append(w, sprintf("%s: %s answers came without usage: token sums are lower bounds", m.Model, count(m.UnknownUsage)))
	}
	if m.UnknownCost > 0 {
		w = append(w, sprintf("%s: the cost of %s answers is unknown (no price, no usage, or an attempt that may have been billed): costs read “at least”", m.Model, count(m.UnknownCost)))
	}
	if m.MaybeBilled > 0 {
		w = append(w, sprintf("%s: %s rows hold attempts that may have been billed without an answer", m.Model, count(m.MaybeBilled)))
	}
	if len(m.Served) > 1 || m.Flags["model_mismatch"] > 0 {
		w = append(w, sprintf("%s: asked for %s, answered by %s", m.Model, m.RequestedModel, servedList(m.Served)))
	}
	return w
}

func servedList(served map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(served)) {
		parts = append(parts, sprintf("%s (%s)", name, count(served[name])))
	}
	return join(parts, ", ")
}
