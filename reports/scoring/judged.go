package scoring

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/reports/stats"
	"nightshift/runner/store/view"
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

	pairs  []scorers.Pair
	judge  []string   // labels of rows that people labelled too,
	people [][]string // and theirs
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
			why = "the judge gave no reply: " + failure(&nightshift.Record{Outcome: r.Outcome, ErrorClass: r.ErrorClass,
				ErrorMessage: r.ErrorMessage})
		default:
			said[i] = view.Value(r.Text)
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
	result := f.verdict(one, said)
	if word := f.verdictIn(one); word != "" {
		f.report.VerdictWords++
		note := word
		if result.Explanation != nil {
			note += "; " + *result.Explanation
		}
		result.Explanation = &note
	}
	if result.Value == nil {
		f.report.Unreadable++
		return result
	}
	f.report.Judged++
	if labels := f.labels(one); len(labels) > 0 {
		f.judge, f.people = append(f.judge, scorers.Label(result)), append(f.people, labels)
	}
	return result
}

func (f *findings) verdict(one judgement, said []string) scorers.Result {
	if f.Grader == nil {
		result, pair := f.Pairs.Combine(said...)
		f.pairs = append(f.pairs, pair.WithLengths(view.Value(one.rec.Text), view.Value(one.other.Text)))
		return result
	}
	result := f.Grader.Verdict(said[0])
	if result.Value != nil && result.Explanation == nil {
		result.Explanation = reasoning(said[0])
	}
	return result
}

// verdictIn says that an answer holds words of a verdict, which may be meant
// for the judge; empty when none does.
func (f *findings) verdictIn(one judgement) string {
	switch {
	case f.Grader != nil && f.Grader.Speaks(view.Value(one.rec.Text)):
		return "the answer itself holds a grade"
	case f.Pairs != nil && (f.Pairs.Speaks(view.Value(one.rec.Text)) || f.Pairs.Speaks(view.Value(one.other.Text))):
		return "an answer itself holds a verdict"
	}
	return ""
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

// humanLabels are the labels that people gave: of the row, or of the model's
// answer where the field holds one for each model. A list holds one label of
// each person.
func humanLabels(rec *nightshift.Record) []string {
	var row map[string]json.RawMessage
	if rec.Metadata == nil || json.Unmarshal([]byte(*rec.Metadata), &row) != nil {
		return nil
	}
	for _, name := range humanFields {
		raw, ok := row[name]
		if !ok {
			continue
		}
		var byModel map[string]json.RawMessage
		if json.Unmarshal(raw, &byModel) == nil {
			if raw, ok = byModel[rec.Model]; !ok {
				continue
			}
		}
		return listed(raw)
	}
	return nil
}

// listed are the texts of a list, or of a value that is none; null and empty
// ones are left out.
func listed(raw json.RawMessage) []string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	var all []string
	for _, one := range list {
		if label := strings.TrimSpace(words(one)); label != "" && label != "null" {
			all = append(all, label)
		}
	}
	return all
}

// labels are what people said of an answer or a pair, in the judge's words.
// Labels that are none of the judge's are counted and left out: they can
// neither agree nor disagree.
func (f *findings) labels(one judgement) []string {
	grades, opponent := pairGrades, ""
	if f.Grader != nil {
		grades = f.Grader.Grades()
	} else {
		opponent = one.other.Model
	}
	var all []string
	for _, label := range humanLabels(one.rec) {
		switch label {
		case opponent:
			label = "loss"
		case one.rec.Model:
			label = "win"
		}
		if known := asGrade(label, grades); known != "" {
			all = append(all, known)
		} else {
			f.report.HumanUnknown++
		}
	}
	return all
}

// pairGrades are a pairwise judge's verdicts with their values.
var pairGrades = map[string]float64{"win": 1, "tie": 0.5, "loss": 0}

// plainWords are what people write for a value.
var plainWords = map[string]float64{
	"true": 1, "yes": 1, "correct": 1, "pass": 1, "win": 1, "better": 1, "partial": 0.5, "partly": 0.5, "tie": 0.5,
	"draw": 0.5, "equal": 0.5,
	"false": 0, "no": 0, "incorrect": 0, "wrong": 0, "fail": 0, "loss": 0, "worse": 0,
}

// asGrade is a person's label as one of the grades: its name or, where no grade
// has a number for its name, what it is worth. Of grades with numbers for names
// a number may be either; which it is shows in all labels together, see
// [stats.Agree]. Empty when the label is neither.
func asGrade(label string, grades map[string]float64) string {
	numbered := false
	for name := range grades {
		if strings.EqualFold(name, label) {
			return name
		}
		_, err := strconv.ParseFloat(name, 64)
		numbered = numbered || err == nil
	}
	value, ok := plainWords[strings.ToLower(label)]
	if !ok {
		v, err := strconv.ParseFloat(label, 64)
		if err != nil {
			return ""
		}
		value = v
	}
	for _, name := range slices.Sorted(maps.Keys(grades)) {
		if math.Abs(grades[name]-value) <= 1e-9 {
			if ok || !numbered {
				return name
			}
			return label
		}
	}
	return ""
}

// agreement compares the judge with people; nil without rows.
func (f *findings) agreement() *Agreement {
	grades := pairGrades
	if f.Grader != nil {
		grades = f.Grader.Grades()
	}
	a := stats.Agree(f.judge, f.people, grades)
	if a.N == 0 {
		return nil
	}
	h := &Agreement{N: a.N, Share: a.Share, Kappa: stats.Defined(a.Kappa), Alpha: stats.Defined(a.Alpha),
		People: stats.Defined(a.People)}
	if len(grades) > 2 { // of two grades it is kappa
		h.Weighted = stats.Defined(a.Weighted)
	}
	return h
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
	r.Human = f.agreement()
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
	st, err := view.Status(dir)
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

func rate(r scorers.Rate) *itemRate {
	if r.N == 0 {
		return nil
	}
	return &itemRate{r.Value, r.N}
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
