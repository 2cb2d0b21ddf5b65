// Package scorers says what an answer is worth: pure functions from an answer,
// a target and parameters to a score, and the judges' side of it (prompts,
// verdicts, agreement) without the calls.
//
// Scoring is separate from generation. Stored answers can be scored again with
// other scorers or parameters, without a request, and the same input gives the
// same bytes each time. Every [Scorer] is safe for concurrent use.
//
// A score is a value in 0..1 with a status that keeps four things apart: a
// comparison was made; there was nothing to compare in the answer (counts as
// 0, and apart); the scorer itself failed, as with a missing target (no
// value); the request failed (no value). Refusals and truncated answers are
// the model's doing and are scored as they stand.
package scorers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"nightshift"
)

// An Answer is what a scorer may look at. A nil pointer is unknown.
type Answer struct {
	Text      string // empty when the model wrote none
	ToolCalls []nightshift.ToolCall
	Choices   []nightshift.Choice // all answers where there are several, or their log-probabilities

	StopReason    nightshift.StopReason // our word; empty when unknown
	RawStopReason string                // the server's own word
	Outcome       nightshift.Outcome

	LatencyMS    *float64 // of the attempt that answered; nil for answers from a cache
	CostUSD      *float64 // of all attempts
	OutputTokens *int64

	// Input and Metadata are there for command scorers, judges, and scorers of which
	// [ReadsRow] says so.
	Input    string // the prompt: messages as JSON
	Metadata string // the row's other fields as a JSON object; may be empty
	ID       string // the row's id; may be empty
}

// FromRecord picks from a record what a scorer may look at. ok is false when
// no model answered; the score of such a record is [NotRun].
func FromRecord(r *nightshift.Record) (a Answer, ok bool) {
	a = Answer{
		Text: text(r.Text), StopReason: nightshift.StopReason(text(r.StopReason)),
		RawStopReason: text(r.RawStopReason), Outcome: r.Outcome,
		LatencyMS: r.LatencyMS, CostUSD: r.CostUSD, OutputTokens: r.OutputTokens,
		Input: text(r.Input), Metadata: text(r.Metadata), ID: r.ID,
	}
	if r.ToolCalls != nil {
		// The store writes this column itself; what it cannot read back is
		// no tool call.
		_ = json.Unmarshal([]byte(*r.ToolCalls), &a.ToolCalls)
	}
	if r.Choices != nil {
		_ = json.Unmarshal([]byte(*r.Choices), &a.Choices)
	}
	return a, r.Outcome.Answered()
}

// TargetOf is the target of a record; nil when the row has none. Records of
// runs from before there was target_is_list do not say whether the target was
// a list: there a JSON list of texts is taken for one.
func TargetOf(r *nightshift.Record) *Target {
	if r.Target == nil {
		return nil
	}
	return NewTarget(*r.Target, r.TargetIsList == nil || *r.TargetIsList)
}

// NewTarget is a target as a dataset's row has it: a text, or JSON when it is
// anything else; isList says that it was a list.
func NewTarget(text string, isList bool) *Target {
	t := &Target{Text: text}
	if isList {
		t.Texts = listOfTexts(text)
	}
	return t
}

// listOfTexts reads a JSON list whose members are all texts; nil for any
// other text.
func listOfTexts(s string) []string {
	var list []any
	if !strings.HasPrefix(s, "[") || json.Unmarshal([]byte(s), &list) != nil {
		return nil
	}
	texts := make([]string, len(list))
	for i, e := range list {
		var ok bool
		if texts[i], ok = e.(string); !ok {
			return nil
		}
	}
	return texts
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// A Result is the score of one answer. Value is nil unless Status is Scored or
// NoAnswer; corpus scorers have none even then.
type Result struct {
	Value  *float64               `json:"value"`
	Status nightshift.ScoreStatus `json:"status"`
	// what was extracted; nil when the whole answer was compared
	Answer *string `json:"answer,omitempty"`
	// equal for answers that are equal to the scorer; nil where it has no such notion
	Canonical *string `json:"canonical,omitempty"`
	// what a Corpus scorer with values of its own adds to the statistic of all answers, as JSON
	Counts *string `json:"counts,omitempty"`
	// what the value is made of, or further values beside it
	Parts       []Part  `json:"parts,omitempty"`
	Explanation *string `json:"explanation,omitempty"` // for people; may be nil
}

// A Part is a value in 0..1 beside the score of an answer, such as one criterion of
// several. Reports show its mean over all answers.
type Part struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Weight is what the value counts in the mean, such as the number of instructions
	// of which it is a share. 0 stands for 1.
	Weight float64 `json:"weight,omitempty"`
}

// NotRun is the result of a row whose request failed.
func NotRun(why string) Result {
	return Result{Status: nightshift.NotRun, Explanation: &why}
}

// A Target is what a row wants. Only a field that was a list of texts in the
// dataset holds alternatives, of which any will do: a text that looks like a
// JSON list is one text.
type Target struct {
	Text  string   // as the record holds it: a text, or JSON when it is anything else
	Texts []string // the alternatives; nil when there are none
}

// OneTarget is a target of one text.
func OneTarget(text string) *Target { return &Target{Text: text} }

// A Scorer scores answers. A nil target is no target.
type Scorer interface {
	Name() string    // unique within a plan
	Type() string    // one of [Types]
	Version() string // changes when the same input may score otherwise
	Params() string  // JSON object of all parameters, defaults included
	Score(a Answer, target *Target) Result
}

// A Corpus scorer is a statistic of a whole set of answers and not a mean over
// them, as BLEU is. Score gives each answer's counts as JSON in Result.Answer,
// and no value; one that has values too, as chrF, gives them in Result.Counts.
// Add the counts up, item by item, and ask for the statistic.
type Corpus interface {
	Scorer
	// Counts returns what one answer adds, always of the same length; ok is
	// false when the answer cannot be counted (no target).
	Counts(a Answer, target *Target) (counts []float64, ok bool)
	// Statistic of the sums of counts, in 0..1; NaN without any.
	Statistic(sums []float64) float64
}

// scored is a value in 0..1. A value that is not finite is no score.
func scored(v float64) Result {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return unscored("the scorer gave no finite value")
	}
	return Result{Value: &v, Status: nightshift.Scored}
}

func verdict(right bool) Result {
	if right {
		return scored(1)
	}
	return scored(0)
}

// noAnswer says that the extraction rule found nothing.
func noAnswer(why string) Result {
	zero := 0.0
	return Result{Value: &zero, Status: nightshift.NoAnswer, Explanation: &why}
}

func unscored(format string, args ...any) Result {
	why := fmt.Sprintf(format, args...)
	return Result{Status: nightshift.Unscored, Explanation: &why}
}

func (r Result) extracted(answer string) Result {
	r.Answer = &answer
	return r
}

// longest is how many bytes of an answer stand for it among votes; a longer one
// is told apart by its hash.
const longest = 80

// sameAs sets the canonical form of the answer.
func (r Result) sameAs(canonical string) Result {
	if len(canonical) > longest {
		sum := sha256.Sum256([]byte(canonical))
		canonical = "sha256:" + hex.EncodeToString(sum[:16])
	}
	r.Canonical = &canonical
	return r
}

func (r Result) because(format string, args ...any) Result {
	why := fmt.Sprintf(format, args...)
	r.Explanation = &why
	return r
}

// best is the highest score of several targets.
func best(targets []string, score func(target string) Result) Result {
	var top Result
	for i, t := range targets {
		r := score(t)
		if i == 0 || r.beats(top) {
			top = r
		}
		if top.Value != nil && *top.Value >= 1 {
			break
		}
	}
	return top
}

// beats prefers values to none, and higher ones.
func (r Result) beats(other Result) bool {
	if r.Value == nil || other.Value == nil {
		return other.Value == nil && r.Value != nil
	}
	return *r.Value > *other.Value
}

// RowProblem says why no answer to a row could be scored, as with a target of
// number that is no number, or a parameter that the row lacks; "" when answers can
// be. A nil target is a row without one; metadata are the row's other fields. It
// sends nothing, so it can be asked before a run.
func RowProblem(s Scorer, target *Target, metadata string) string {
	if s.Type() == "stop_reason" {
		return "" // looks at no target
	}
	if row, ok := s.(*fromRow); ok {
		of, err := row.of(metadata)
		if err != nil {
			return err.Error()
		}
		return RowProblem(of, target, metadata)
	}
	if own, ok := s.(interface{ targetProblem(*Target) string }); ok {
		return own.targetProblem(target)
	}
	zero, tokens := 0.0, int64(0)
	r := s.Score(Answer{Outcome: nightshift.OutcomeOK, LatencyMS: &zero, CostUSD: &zero, OutputTokens: &tokens,
		Metadata: metadata}, target)
	if r.Status != nightshift.Unscored {
		return ""
	}
	return text(r.Explanation)
}

const missingTarget = "the row has no target"

// texts reads a target as one or more texts. No target, or an empty one, is a
// mistake in the dataset and has no score.
func texts(target *Target) ([]string, *Result) {
	list, err := targetTexts(target)
	if err == nil {
		for _, t := range list {
			if t == "" {
				err = fmt.Errorf("the row's target is empty")
			}
		}
	}
	if err != nil {
		r := unscored("%v", err)
		return nil, &r
	}
	return list, nil
}

func targetTexts(target *Target) ([]string, error) {
	switch {
	case target == nil:
		return nil, errors.New(missingTarget)
	case target.Texts == nil:
		return []string{target.Text}, nil
	case len(target.Texts) == 0:
		return nil, errors.New("the row's target is an empty list")
	}
	return target.Texts, nil
}
