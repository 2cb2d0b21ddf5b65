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
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/reports/compare"
	"nightshift/reports/render"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/store/view"
)

// A Summary is what became of a run. Nil pointers are unknown.
type Summary struct {
	Name     string         `json:"name"`
	Dir      string         `json:"dir"`
	RunID    string         `json:"run_id"`
	State    string         `json:"state"`
	Tool     string         `json:"tool"`
	PlanHash string         `json:"plan_hash"`
	Dataset  datasetFacts   `json:"dataset"`
	Epochs   int            `json:"epochs"`
	Started  *time.Time     `json:"started_at"`
	Finished *time.Time     `json:"finished_at"`
	Worked   float64        `json:"worked_seconds"` // from first request to last answer of each start, added up
	Models   []modelSummary `json:"models"`
	// Workers are those that sent requests of the rows on record; none where the
	// run's own process sent them all.
	Workers   []workerSummary `json:"workers,omitempty"`
	Judges    []billLine      `json:"judges,omitempty"`    // what scorers' requests cost, by judge
	Unsettled *entry          `json:"unsettled,omitempty"` // spent on rows that have no record yet
	Total     entry           `json:"total"`               // of models, judges and unsettled rows
	Scores    []scoreSummary  `json:"scores,omitempty"`
	Errors    []errorGroup    `json:"errors,omitempty"`
	Stops     []Stop          `json:"stops,omitempty"`  // why the last start ended early
	Silent    []silence       `json:"silent,omitempty"` // endpoints without answers at present
	Timeline  stretches       `json:"timeline"`
	Warnings  []string        `json:"warnings,omitempty"`
	PriceDate string          `json:"price_table,omitempty"`
	// Comparison is filled in by whoever compares the models; nil otherwise.
	Comparison *compare.Block `json:"comparison,omitempty"`
}

// datasetFacts say which dataset was run.
type datasetFacts struct {
	Rows int64  `json:"rows"`
	Hash string `json:"hash"`
}

// A modelSummary is one model's part of a Summary.
type modelSummary struct {
	Model          string                       `json:"model"`
	Endpoint       string                       `json:"endpoint"`
	RequestedModel string                       `json:"requested_model"`
	Variant        string                       `json:"variant,omitempty"`       // how the model was asked
	VariantOf      string                       `json:"variant_of,omitempty"`    // the model's name without it
	Served         map[string]int64             `json:"served_models,omitempty"` // rows by the model that answered
	Expected       int64                        `json:"expected"`                // rows × epochs
	Rows           int64                        `json:"rows"`                    // on record
	Outcomes       map[nightshift.Outcome]int64 `json:"outcomes"`
	StopReasons    map[string]int64             `json:"stop_reasons"`
	Bill           entry                        `json:"bill"` // of all attempts
	MaybeBilled    int64                        `json:"rows_maybe_billed"`
	AnswersNoUsage int64                        `json:"answers_without_usage"`
	Attempts       int64                        `json:"attempts"`
	Retries        int64                        `json:"retries"`
	Flags          map[string]int64             `json:"flags,omitempty"`

	LatencyMS    stats.Percentiles `json:"latency_ms"`
	FirstTokenMS stats.Percentiles `json:"first_token_ms"`
	LatencyHist  histogram         `json:"latency_histogram"`       // of answers, in milliseconds
	OutputHist   histogram         `json:"output_tokens_histogram"` // of answers

	// Prefixes are the beginnings that rows shared which were sent by them, those with
	// the most input first; PrefixesLeft is the rest of them, as one.
	Prefixes     []prefixSummary `json:"prefixes,omitempty"`
	PrefixesLeft *prefixSummary  `json:"prefixes_left,omitempty"`

	// Batch is what travelled in batches; null where nothing did.
	Batch *batchSummary `json:"batch,omitempty"`

	// LimitedBy is what limited the model's throughput, the most first, over all
	// starts; nil when the run never said.
	LimitedBy []LimitShare `json:"bound_by,omitempty"`
}

// NotRun is how many rows have no record yet.
func (m modelSummary) NotRun() int64 { return max(m.Expected-m.Rows, 0) }

// Answered is how many rows a model's answer is on record for.
func (m modelSummary) Answered() int64 {
	var n int64
	for o, k := range m.Outcomes {
		if o.Answered() {
			n += k
		}
	}
	return n
}

// An errorGroup is one way in which rows of a model failed.
type errorGroup struct {
	Model   string `json:"model"`
	Class   string `json:"class"`
	Hint    string `json:"hint,omitempty"` // what to try
	Rows    int64  `json:"rows"`
	Example string `json:"example"` // the first message
	FirstID string `json:"first_id"`
}

// Unsendable is how many rows failed because no request can be made of them.
func (s *Summary) Unsendable() (rows int64) {
	for _, e := range s.Errors {
		switch nightshift.ErrorClass(e.Class) {
		case nightshift.ClassInput, nightshift.ClassUntranslatable:
			rows += e.Rows
		}
	}
	return rows
}

// summaryRow is what a summary reads of a Record.
type summaryRow struct {
	billedRow
	Row          int64      `parquet:"row"`
	Epoch        int32      `parquet:"epoch"`
	ID           string     `parquet:"id" texts:"passing"`
	LatencyMS    *float64   `parquet:"latency_ms,optional"`
	FirstTokenMS *float64   `parquet:"first_token_ms,optional"`
	StartedAt    *time.Time `parquet:"started_at,optional,timestamp(microsecond)"`
	FinishedAt   *time.Time `parquet:"finished_at,optional,timestamp(microsecond)"`
	ErrorClass   *string    `parquet:"error_class,optional,dict"`
	ErrorMessage *string    `parquet:"error_message,optional"`
	Flags        *string    `parquet:"flags,optional,dict"`
}

func (r *summaryRow) bill() *billRow { return &billRow{billedRow: r.billedRow} }

// summarize reads a run directory and shows every row to watch, with its cost.
// Parquet files that are damaged are passed over and named in the warnings.
func summarize(dir string, watch func(*summaryRow, *entry)) (*Summary, view.Info, error) {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return nil, info, err
	}
	t := newTally(info)
	if err := t.biller.settleLate(dir); err != nil {
		return nil, info, err
	}
	var scores []scoreSummary
	var unscored error
	var scoring sync.WaitGroup // beside the rows
	scoring.Go(func() { scores, unscored = scoreSummaries(dir, info.Models) })
	defer scoring.Wait()
	var damaged []string
	var row summaryRow // and e: one of each for all rows, whoever they are shown to
	var e entry
	for r, err := range view.Rows[summaryRow](dir, view.ReadOptions{}) {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			damaged = append(damaged, "cannot be read and is not counted: "+damage.Error())
			continue
		}
		if err != nil {
			return nil, info, err
		}
		row = r
		e = t.add(&row)
		if watch != nil {
			watch(&row, &e)
		}
	}
	s := t.summary(dir, info)
	scoring.Wait()
	if s.Scores = scores; unscored != nil {
		damaged = append(damaged, "scores: "+unscored.Error())
	}
	bounds, err := ReadBounds(dir)
	if err != nil {
		damaged = append(damaged, "what limited the run is unknown: "+err.Error())
	}
	for i := range s.Models {
		s.Models[i].LimitedBy = bounds.Shares(s.Models[i].Model)
	}
	if err := errors.Join(s.others(dir), s.batches(dir)); err != nil {
		return nil, info, err
	}
	s.Stops, s.Silent = readStops(dir)
	s.Warnings = slices.Concat(stopLines(s.Stops, s.Silent), damaged, s.warnings())
	return s, info, nil
}

// others adds what was spent beside the rows on record.
func (s *Summary) others(dir string) error {
	c := &costing{bill: &Bill{}, judges: newBiller([]string{"run"}, nil)}
	if err := c.unrecorded(dir); err != nil {
		return err
	}
	for _, judge := range InnerRuns(dir) {
		if err := c.judge(judge); err != nil {
			return err
		}
	}
	b := c.closeOver(s.modelLines())
	s.Judges, s.Unsettled, s.Total = b.Judges, b.Unsettled, b.Total
	return nil
}

func (s *Summary) modelLines() []billLine {
	var lines []billLine
	for _, m := range s.Models {
		lines = append(lines, billLine{[]string{m.Model}, m.Bill})
	}
	return lines
}

// A tally collects rows into a summary.
type tally struct {
	models         map[string]*modelTally
	workers        map[string]*workerSummary // by name
	order          []string
	errors         map[[2]string]*errorGroup
	biller         *biller
	timeline       timeline
	started, ended *time.Time
	worked         worktime
}

type modelTally struct {
	modelSummary
	bill                *entry
	latency, firstToken stats.Quantiles
	latencies, outputs  logBuckets
	prefixes            map[string]*entry
}

func newTally(info view.Info) *tally {
	t := &tally{models: map[string]*modelTally{}, workers: map[string]*workerSummary{},
		errors: map[[2]string]*errorGroup{},
		biller: newBiller([]string{"model"}, nil), worked: newWorktime(info.Starts)}
	t.biller.begin(info.Name, runPrices(info.Plan), false)
	for _, way := range scoring.Ways(info) {
		if m := t.model(way.Name); way.Variant != "" {
			m.Variant, m.VariantOf = way.Variant, way.VariantOf
		}
	}
	return t
}

func (t *tally) model(name string) *modelTally {
	m, ok := t.models[name]
	if !ok {
		m = &modelTally{bill: newEntry(), modelSummary: modelSummary{
			Model: name, Served: map[string]int64{}, Outcomes: map[nightshift.Outcome]int64{},
			StopReasons: map[string]int64{}, Flags: map[string]int64{},
		}}
		t.models[name] = m
		t.order = append(t.order, name)
	}
	return m
}

// add counts a row and returns what it cost.
func (t *tally) add(row *summaryRow) entry {
	m := t.model(row.Model)
	row.says() // once, before the row is copied
	m.Endpoint, m.RequestedModel = row.Endpoint, row.RequestedModel
	outcome := nightshift.Outcome(row.Outcome)
	m.Rows++
	m.Outcomes[outcome]++
	m.Attempts += int64(row.Attempts)
	m.Retries += retries(row)
	if row.ServedModel != nil {
		m.Served[*row.ServedModel]++
	}
	for _, f := range splitFlags(row.Flags) {
		m.Flags[f]++
	}
	if outcome.Answered() {
		m.answered(row)
	}
	e := t.biller.add(row.bill())
	m.bill.add(&e)
	settled := len(t.biller.late.Settled) > 0 && e.AtMostNanoUSD != nil && *e.AtMostNanoUSD == e.CostNanoUSD
	if row.MaybeBilled && !settled {
		m.MaybeBilled++
	}
	if row.inBatches() {
		m.byBatch(row, &e)
	}
	m.byPrefix(row, &e)
	t.byWorker(row)
	t.timeline.add(row)
	t.started, t.ended = view.Earlier(t.started, row.StartedAt), view.Later(t.ended, row.FinishedAt)
	t.worked.add(row.StartedAt, row.FinishedAt)
	if row.ErrorClass != nil && !outcome.Answered() {
		t.fail(row)
	}
	return e
}

func (m *modelTally) answered(row *summaryRow) {
	m.StopReasons[cmp.Or(view.Value(row.StopReason), "unknown")]++
	if row.InputTokens == nil && row.OutputTokens == nil {
		m.AnswersNoUsage++
	}
	if row.LatencyMS != nil {
		m.latency.Add(*row.LatencyMS)
		m.latencies.add(*row.LatencyMS)
	}
	if row.FirstTokenMS != nil {
		m.firstToken.Add(*row.FirstTokenMS)
	}
	if row.OutputTokens != nil {
		m.outputs.add(float64(*row.OutputTokens))
	}
}

func (t *tally) fail(row *summaryRow) {
	key := [2]string{row.Model, *row.ErrorClass}
	g, ok := t.errors[key]
	if !ok {
		g = &errorGroup{Model: row.Model, Class: *row.ErrorClass, Hint: hints[nightshift.ErrorClass(*row.ErrorClass)],
			Example: view.Value(row.ErrorMessage), FirstID: strings.Clone(row.ID)}
		t.errors[key] = g
	}
	g.Rows++
}

func (t *tally) summary(dir string, info view.Info) *Summary {
	s := &Summary{
		Name: info.Name, Dir: dir, RunID: info.RunID, PlanHash: info.PlanHash, State: info.State, Tool: info.Tool,
		Epochs: info.Epochs, PriceDate: info.PriceTable,
		Dataset: datasetFacts{Rows: info.Rows(), Hash: info.DatasetHash},
		Started: t.started, Finished: t.ended, Worked: t.worked.total().Seconds(), Timeline: t.timeline.closed(),
	}
	for _, name := range t.order {
		m := t.models[name]
		m.Expected = perModel(info)
		m.LatencyMS, m.FirstTokenMS = m.latency.Percentiles(), m.firstToken.Percentiles()
		m.LatencyHist, m.OutputHist = m.latencies.histogram(), m.outputs.histogram()
		m.Bill = m.bill.closed()
		m.closePrefixes()
		s.Models = append(s.Models, m.modelSummary)
	}
	s.Workers = t.workerSummaries(dir)
	for _, g := range t.errors {
		s.Errors = append(s.Errors, *g)
	}
	slices.SortFunc(s.Errors, func(a, b errorGroup) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Class, b.Class))
	})
	return s
}

// warnings are what a reader should know before trusting the figures.
func (s *Summary) warnings() []string {
	var w []string
	for _, m := range s.Models {
		w = append(w, m.warnings()...)
		w = append(w, m.batchWarnings()...)
	}
	return w
}

// cutOff is how a warning says that answers were truncated.
const cutOff = "were cut off (token cap or context window)"

func (m *modelSummary) warnings() []string {
	var w []string
	if t := m.Outcomes[nightshift.OutcomeTruncated]; t*100 > m.Rows {
		w = append(w,
			sprintf("%s: %s of %s answers "+cutOff+": raise max_tokens before comparing models", m.Model,
				render.Count(t), render.Count(m.Rows)))
	}
	if m.AnswersNoUsage > 0 {
		w = append(w,
			sprintf("%s: %s answers came without usage: token sums are lower bounds", m.Model, render.Count(m.AnswersNoUsage)))
	}
	if m.MaybeBilled > 0 {
		bound := ""
		if m.Bill.AtMostNanoUSD != nil {
			bound = ": costs read ≥, at most " + mostMoney(m.Bill)
		}
		verb := "hold"
		if m.MaybeBilled == 1 {
			verb = "holds"
		}
		w = append(w,
			sprintf("%s: %s %s requests that may have been billed without an answer%s", m.Model,
				render.Counted(m.MaybeBilled, "row"), verb, bound))
	}
	if m.Bill.NoPrice > 0 {
		w = append(w,
			sprintf("%s: no price is known for %s requests: name one in the plan, or price again with nightshift "+
				"cost --prices", m.Model, render.Count(m.Bill.NoPrice)))
	}
	if len(m.Served) > 1 || m.Flags["model_mismatch"] > 0 {
		w = append(w, sprintf("%s: asked for %s, answered by %s", m.Model, m.RequestedModel, render.Tally(m.Served)))
	}
	return w
}
