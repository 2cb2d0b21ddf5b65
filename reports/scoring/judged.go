package scoring

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/runner/store"
)

// Finish writes the judge's score table and its report from the replies on
// record. Answers without a reply yet are unscored. The judge's model, endpoint
// and parameters in report are the caller's to fill in.
func (j *Judging) Finish(ctx context.Context, report JudgeReport) ([]Tally, error) {
	replies, err := j.openReplies()
	if err != nil {
		return nil, err
	}
	defer replies.close()
	f := &findings{Judging: j, replies: replies, report: report}
	d := j.Described()
	tallies, err := writeTable(j.Run, d.Table(), f.scores(ctx))
	if err != nil {
		return nil, err
	}
	return tallies, f.write(d)
}

// findings collects what the replies of a judge say of the judge.
type findings struct {
	*Judging
	replies *replies
	report  JudgeReport

	pairs        []scorers.Pair
	judge, human []string // labels
}

func (f *findings) scores(ctx context.Context) iter.Seq2[nightshift.Score, error] {
	return func(yield func(nightshift.Score, error) bool) {
		for one, err := range f.judgements() {
			var s nightshift.Score
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				s, err = f.score(one)
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

func (f *findings) score(one judgement) (nightshift.Score, error) {
	if one.notRun != "" {
		return one.scorer.score(one.rec, scorers.NotRun(one.notRun)), nil
	}
	said := make([]string, len(one.questions))
	why := ""
	for i, q := range one.questions {
		h, err := f.replies.find(q)
		if err != nil {
			return nightshift.Score{}, err
		}
		if h.again != nil {
			f.report.Reasked++
		}
		switch r := h.reply(); {
		case r == nil:
			why = "not judged yet"
		case !r.Outcome.Answered():
			why = "the judge gave no reply: " + failure(&nightshift.Record{Outcome: r.Outcome, ErrorClass: r.ErrorClass, ErrorMessage: r.ErrorMessage})
		default:
			said[i] = text(r.Text)
		}
	}
	if why != "" {
		return one.scorer.score(one.rec, scorers.Result{Status: nightshift.Unscored, Explanation: &why}), nil
	}
	return one.scorer.score(one.rec, f.read(one, said)), nil
}

// read turns replies into a score, and takes note of what they say of the
// judge.
func (f *findings) read(one judgement, said []string) scorers.Result {
	var result scorers.Result
	if f.Grader != nil {
		result = f.Grader.Verdict(said[0])
		if result.Value != nil && result.Explanation == nil {
			result.Explanation = reasoning(said[0])
		}
	} else {
		var pair scorers.Pair
		result, pair = f.Pairs.Combine(said...)
		f.pairs = append(f.pairs, pair.WithLengths(text(one.rec.Text), text(one.other.Text)))
	}
	if result.Value == nil {
		f.report.Unreadable++
		return result
	}
	f.report.Judged++
	if label := humanLabel(one, f.Pairs != nil); label != "" {
		f.judge, f.human = append(f.judge, scorers.Label(result)), append(f.human, f.asVerdict(label))
	}
	return result
}

// reasoning is the beginning of what a judge said, for people.
func reasoning(reply string) *string {
	const most = 500
	s := strings.Join(strings.Fields(reply), " ")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return &s
}

// humanFields are where a row may keep a person's label.
var humanFields = []string{"human_label", "human_grade", "human_score", "human"}

// humanLabel is the label that a person gave: of the row, or of the model's
// answer where the field holds one for each model. Empty when there is none.
func humanLabel(one judgement, pair bool) string {
	var row map[string]json.RawMessage
	if one.rec.Metadata == nil || json.Unmarshal([]byte(*one.rec.Metadata), &row) != nil {
		return ""
	}
	for _, name := range humanFields {
		raw, ok := row[name]
		if !ok {
			continue
		}
		var byModel map[string]json.RawMessage
		if json.Unmarshal(raw, &byModel) == nil {
			if raw, ok = byModel[one.rec.Model]; !ok {
				continue
			}
		}
		label := words(raw)
		if pair {
			return pairLabel(label, one)
		}
		return label
	}
	return ""
}

// pairLabel turns the name of the better model into win and loss.
func pairLabel(label string, one judgement) string {
	switch label {
	case one.rec.Model:
		return "win"
	case one.other.Model:
		return "loss"
	}
	return strings.ToLower(label)
}

// asVerdict writes a person's label in the judge's letters, where it is true,
// false or a number.
func (f *findings) asVerdict(label string) string {
	if f.Grader == nil {
		return label
	}
	value := math.NaN()
	switch strings.ToLower(label) {
	case "true", "yes", "correct", "pass":
		value = 1
	case "false", "no", "incorrect", "fail":
		value = 0
	default:
		if v, err := strconv.ParseFloat(label, 64); err == nil {
			value = v
		}
	}
	if !math.IsNaN(value) {
		for _, grade := range []string{"C", "P", "I"} {
			if r := f.Grader.Verdict("GRADE: " + grade); r.Value != nil && *r.Value == value {
				return grade
			}
		}
	}
	return strings.ToUpper(label)
}

// write adds the figures of the batches and keeps the report.
func (f *findings) write(d Described) error {
	r := f.report
	r.Scorer, r.Type = d.Name, d.Type
	if f.Pairs != nil {
		b := scorers.MeasureBias(f.pairs)
		r.Consistency, r.FirstPosition, r.Longer = rate(b.Consistency), rate(b.FirstPosition), rate(b.Longer)
		r.TemplateHash = f.Pairs.Template().Hash()
	} else {
		r.TemplateHash = f.Grader.Template().Hash()
	}
	if a := scorers.Agree(f.judge, f.human); a.N > 0 {
		r.Human = &Agreement{N: a.N, Share: a.Share}
		if !math.IsNaN(a.Kappa) {
			r.Human.Kappa = &a.Kappa
		}
	}
	dirs, _, err := f.Batches()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := r.spend(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.Dir(f.Run), 0o700); err != nil {
		return err
	}
	return r.WriteFile(d.Dir(f.Run))
}

// spend adds what one batch used. Failed rows and those without a record were
// paid for too.
func (r *JudgeReport) spend(dir string) error {
	st, err := store.Status(dir)
	if err != nil {
		return err
	}
	sum := st.All.Sum()
	r.Requests += sum.Rows
	r.Failed += sum.Failed()
	r.InputTokens += sum.BilledInputTokens.N() + st.Unsettled.BilledInputTokens.N()
	r.OutputTokens += sum.BilledOutputTokens.N() + st.Unsettled.BilledOutputTokens.N()
	r.CostNanoUSD += int64(st.Spent)
	r.CostUnknown += sum.CostUnknown
	return nil
}

func rate(r scorers.Rate) *Rate {
	if r.N == 0 {
		return nil
	}
	return &Rate{r.Value, r.N}
}

// Families lists the models that come from the judge's own family, by their
// model ids.
func Families(judge string, models map[string]string) []string {
	var same []string
	for name, id := range models {
		if scorers.SameFamily(judge, id) {
			same = append(same, name)
		}
	}
	slices.Sort(same)
	return same
}
