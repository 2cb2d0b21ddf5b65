// Package scoring scores the answers of a run: it reads records, applies
// scorers, and writes score tables. Nothing here sends a request; what a judge
// is asked, and what its replies say, is here too, but not the asking.
//
// The same records and scorers give the same tables to the byte.
package scoring

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// A Func scores one answer. The record holds the columns that [Write] reads.
// An error ends the scoring; whatever concerns one answer is a Result.
type Func func(ctx context.Context, rec *nightshift.Record) (scorers.Result, error)

// Pure makes a Func of a scorer.
func Pure(s scorers.Scorer) Func {
	return func(_ context.Context, rec *nightshift.Record) (scorers.Result, error) {
		a, ok := scorers.FromRecord(rec)
		if !ok {
			return scorers.NotRun(failure(rec)), nil
		}
		return s.Score(a, scorers.TargetOf(rec)), nil
	}
}

// ByProgram makes a Func of a running command.
func ByProgram(p *scorers.Program) Func {
	return func(ctx context.Context, rec *nightshift.Record) (scorers.Result, error) {
		a, ok := scorers.FromRecord(rec)
		if !ok {
			return scorers.NotRun(failure(rec)), nil
		}
		return p.Score(ctx, a, rec.Target)
	}
}

// failure says why a request failed.
func failure(rec *nightshift.Record) string {
	switch {
	case rec.ErrorClass != nil && rec.ErrorMessage != nil:
		return *rec.ErrorClass + ": " + *rec.ErrorMessage
	case rec.ErrorClass != nil:
		return *rec.ErrorClass
	}
	return string(rec.Outcome)
}

// A Tally counts the scores of one model by status.
type Tally struct {
	Model    string  `json:"model"`
	Scored   int64   `json:"scored"`
	NoAnswer int64   `json:"no_answer"`
	Unscored int64   `json:"unscored"`
	Errors   int64   `json:"error"`
	Sum      float64 `json:"sum"`
}

// Rows is how many scores were counted.
func (t Tally) Rows() int64 { return t.Scored + t.NoAnswer + t.Unscored + t.Errors }

// Mean is over the scores that have a value; ok is false without any.
func (t Tally) Mean() (mean float64, ok bool) {
	n := t.Scored + t.NoAnswer
	if n == 0 {
		return 0, false
	}
	return t.Sum / float64(n), true
}

func (t *Tally) add(s *nightshift.Score) {
	switch s.Status {
	case nightshift.Scored:
		t.Scored++
	case nightshift.NoAnswer:
		t.NoAnswer++
	case nightshift.Unscored:
		t.Unscored++
	default:
		t.Errors++
	}
	if s.Value != nil {
		t.Sum += *s.Value
	}
}

// Write scores every record of a run and writes the table of one scorer, in
// place of any that is there. The tallies are by model, in the order of the run's
// models.
func Write(ctx context.Context, dir string, d Described, score Func) ([]Tally, error) {
	return writeTable(dir, d.Table(), Scores(ctx, dir, d, score))
}

// Scores scores every record of a run. It holds some thousand answers at a time, or
// some 16 MiB where they are large, and uses all cores. Prompts and metadata are
// read for scorers that want them only.
func Scores(ctx context.Context, dir string, d Described, score Func) iter.Seq2[nightshift.Score, error] {
	rows := d.only(withoutPrompts(view.Rows[plainRow](dir, view.ReadOptions{})))
	if d.readsRow() {
		rows = d.only(view.Rows[answerRow](dir, view.ReadOptions{}))
	}
	return inOrder(rows, (*answerRow).weight, func(r answerRow) (nightshift.Score, error) {
		if err := ctx.Err(); err != nil {
			return nightshift.Score{}, err
		}
		return d.One(ctx, r.record(), score)
	})
}

// One scores one record.
func (d Described) One(ctx context.Context, rec *nightshift.Record, score Func) (nightshift.Score, error) {
	result, err := guarded(ctx, score, rec)
	return d.score(rec, result), err
}

// writeTable writes a table and counts what goes into it.
func writeTable(dir, name string, scores iter.Seq2[nightshift.Score, error]) ([]Tally, error) {
	var tallies []Tally
	counted := func(yield func(nightshift.Score, error) bool) {
		for s, err := range scores {
			if err == nil {
				if n := len(tallies); n == 0 || tallies[n-1].Model != s.Model {
					tallies = append(tallies, Tally{Model: s.Model})
				}
				tallies[len(tallies)-1].add(&s)
			}
			if !yield(s, err) {
				return
			}
		}
	}
	return tallies, store.WriteScores(dir, name, counted)
}

// guarded turns a panic of a scorer into an unscored answer: one odd answer
// must not cost the table.
func guarded(ctx context.Context, score Func, rec *nightshift.Record) (r scorers.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			why := fmt.Sprintf("the scorer panicked: %v", p)
			r = scorers.Result{Status: nightshift.Unscored, Explanation: &why}
		}
	}()
	return score(ctx, rec)
}

func (d Described) score(rec *nightshift.Record, r scorers.Result) nightshift.Score {
	return nightshift.Score{
		Run: rec.Run, Row: rec.Row, ID: rec.ID, Epoch: rec.Epoch, Model: rec.Model, Scorer: d.Name,
		Value: r.Value, Status: r.Status, Answer: r.Answer, Canonical: r.Canonical, Counts: r.Counts,
		Explanation:   r.Explanation,
		ScorerVersion: d.Version, Params: string(d.Params), Parts: partsOf(r),
	}
}

// partsOf are a result's parts as the tables hold them: JSON, nil for none.
func partsOf(r scorers.Result) *string {
	if len(r.Parts) == 0 {
		return nil
	}
	b, err := json.Marshal(r.Parts)
	if err != nil {
		return nil // a value that is no number
	}
	text := string(b)
	return &text
}

// A plainRow is what scorers look at that run in this process: an answerRow
// without the prompt and the metadata.
type plainRow struct {
	Run           string             `parquet:"run,dict"`
	Row           int64              `parquet:"row"`
	ID            string             `parquet:"id"`
	Epoch         int32              `parquet:"epoch"`
	Model         string             `parquet:"model,dict"`
	Outcome       nightshift.Outcome `parquet:"outcome,dict"`
	Text          *string            `parquet:"text,optional"`
	ToolCalls     *string            `parquet:"tool_calls,optional"`
	Choices       *string            `parquet:"choices,optional"`
	StopReason    *string            `parquet:"stop_reason,optional,dict"`
	RawStopReason *string            `parquet:"raw_stop_reason,optional,dict"`
	OutputTokens  *int64             `parquet:"output_tokens,optional"`
	CostUSD       *float64           `parquet:"cost_usd,optional"`
	LatencyMS     *float64           `parquet:"latency_ms,optional"`
	ErrorClass    *string            `parquet:"error_class,optional,dict"`
	ErrorMessage  *string            `parquet:"error_message,optional"`
	Target        *string            `parquet:"target,optional"`
	TargetIsList  *bool              `parquet:"target_is_list,optional"`
	Dataset       *string            `parquet:"dataset,optional,dict"` // missing from older runs
}

func withoutPrompts(rows iter.Seq2[plainRow, error]) iter.Seq2[answerRow, error] {
	return func(yield func(answerRow, error) bool) {
		for r, err := range rows {
			if !yield(answerRow{plainRow: r}, err) {
				return
			}
		}
	}
}

// weight is about how many bytes a row holds.
func (r *answerRow) weight() int64 {
	n := 512
	for _, s := range []*string{r.Text, r.ToolCalls, r.Choices, r.ErrorMessage, r.System, r.Input, r.Target, r.Metadata} {
		if s != nil {
			n += len(*s)
		}
	}
	return int64(n)
}

// An answerRow is what scorers may look at, as columns.
type answerRow struct {
	plainRow
	System   *string `parquet:"system,optional"`
	Input    *string `parquet:"input,optional"`
	Metadata *string `parquet:"metadata,optional"`
}

func (r answerRow) record() *nightshift.Record {
	return &nightshift.Record{
		Run: r.Run, Row: r.Row, ID: r.ID, Epoch: r.Epoch, Model: r.Model, Outcome: r.Outcome,
		Text: r.Text, ToolCalls: r.ToolCalls, Choices: r.Choices, StopReason: r.StopReason, RawStopReason: r.RawStopReason,
		OutputTokens: r.OutputTokens, CostUSD: r.CostUSD, LatencyMS: r.LatencyMS,
		ErrorClass: r.ErrorClass, ErrorMessage: r.ErrorMessage,
		System: r.System, Input: r.Input, Target: r.Target, TargetIsList: r.TargetIsList, Metadata: r.Metadata,
	}
}

// Imported is the type of scorers of other tools, whose scores were read from their
// files: only the tool could score again.
const Imported = "imported"

// Described is a scorer as a run's files name it.
type Described struct {
	Name    string          `json:"name"`
	Type    string          `json:"type"`
	Kind    scorers.Kind    `json:"kind"`
	Version string          `json:"version"`
	Params  json.RawMessage `json:"params"`
	// Datasets are those that it scores, in runs with several; nil is all.
	Datasets []string `json:"datasets,omitempty"`
}

// only leaves out rows of datasets that the scorer does not score.
func (d Described) only(rows iter.Seq2[answerRow, error]) iter.Seq2[answerRow, error] {
	if d.Datasets == nil {
		return rows
	}
	return func(yield func(answerRow, error) bool) {
		for r, err := range rows {
			if (err != nil || slices.Contains(d.Datasets, view.Value(r.Dataset))) && !yield(r, err) {
				return
			}
		}
	}
}

// Table is the name of the scorer's table: its own name where that is good for
// a file, else one made of it.
func (d Described) Table() string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, d.Name)
	plain = strings.TrimLeft(plain, ".-")
	if plain == d.Name && plain != "" && len(plain) <= 60 {
		return plain
	}
	sum := sha256.Sum256([]byte(d.Name))
	return plain[:min(len(plain), 40)] + "_" + hex.EncodeToString(sum[:4])
}

// A Named is a scorer of any kind.
type Named interface {
	Name() string
	Type() string
	Version() string
	Params() string
}

// Describe names a scorer.
func Describe(s Named) Described {
	d := Described{Name: s.Name(), Type: s.Type(), Version: s.Version(), Params: json.RawMessage(s.Params())}
	if info, err := scorers.Lookup(d.Type); err == nil {
		d.Kind = info.Kind
	}
	return d
}

// readsRow reports whether the scorer looks at prompts and metadata.
func (d Described) readsRow() bool {
	if d.Kind == scorers.OfCommand {
		return true
	}
	spec, err := d.Spec()
	return err == nil && scorers.ReadsRow(spec)
}

// Spec is what the scorer is built from.
func (d Described) Spec() (scorers.Spec, error) {
	s := scorers.Spec{Type: d.Type, Name: d.Name}
	err := json.Unmarshal(d.Params, &s.Params)
	return s, err
}
