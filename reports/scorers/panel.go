package scorers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Combined is the kind of scorers that combine what others have said: use
// [NewJury].
const Combined Kind = "combined"

type juryParams struct {
	Judges []string `json:"judges" required:"true" doc:"names of the plan's scorers whose verdicts are combined, two or more"`
	Rule   string   `json:"rule" doc:"majority: the value that most judges gave; mean: their average. Where a judge has no verdict that could change it, the panel has none"`
}

// A Jury combines the scores that several judges gave to one answer.
type Jury struct {
	base
	p juryParams
}

// NewJury builds a scorer of type panel.
func NewJury(spec Spec) (*Jury, error) { return buildAs[*Jury](spec) }

func newJury(b base, p juryParams) (*Jury, error) {
	if err := oneOf("rule", p.Rule, "majority", "mean"); err != nil {
		return nil, err
	}
	if len(slices.Compact(slices.Sorted(slices.Values(p.Judges)))) < 2 {
		return nil, errors.New("judges: name two or more different scorers")
	}
	return &Jury{b, p}, nil
}

// Judges are the names of the scorers whose verdicts count.
func (j *Jury) Judges() []string { return j.p.Judges }

// Combine is the panel's verdict from one of each judge, in the order of
// [Jury.Judges]. Judges without a verdict are named.
func (j *Jury) Combine(verdicts []Result) Result {
	r := combined(j.p.Rule, verdicts)
	var missing []string
	for i, v := range verdicts {
		if v.Value == nil && i < len(j.p.Judges) {
			missing = append(missing, j.p.Judges[i])
		}
	}
	if len(missing) > 0 && r.Explanation != nil {
		return r.because("%s; no verdict of %s", *r.Explanation, strings.Join(missing, ", "))
	}
	return r
}

// combined combines the verdicts of several judges on one answer. With mean the
// value is their average, with majority the value that most of them gave, ties
// averaged. Where a judge has no verdict, neither has the panel, unless most of
// all its judges gave one value: then no further verdict could change it.
func combined(rule string, verdicts []Result) Result {
	if err := oneOf("panel", rule, "mean", "majority"); err != nil {
		return unscored("%v", err)
	}
	var values []float64
	for _, v := range verdicts {
		if v.Value != nil {
			values = append(values, *v.Value)
		}
	}
	said := fmt.Sprintf("%d of %d judges gave a verdict", len(values), len(verdicts))
	top, votes := mostCommon(values)
	decided := rule == "majority" && 2*votes > len(verdicts)
	switch {
	case len(values) == 0 || len(values) < len(verdicts) && !decided:
		return unscored("%s", said)
	case rule == "majority":
		return scored(top).because("%s, majority", said)
	}
	return scored(mean(values)).because("%s, mean", said)
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// mostCommon averages the values that occur most often, and says how often each
// of them does.
func mostCommon(values []float64) (value float64, votes int) {
	counts := map[float64]int{}
	for _, v := range values {
		counts[v]++
		votes = max(votes, counts[v])
	}
	var top []float64
	for _, v := range values {
		if counts[v] == votes {
			counts[v] = 0
			top = append(top, v)
		}
	}
	return mean(top), votes
}

func init() {
	register("panel", Combined, "2", "what several judges say together",
		juryParams{Judges: []string{}, Rule: "majority"}, newJury)
}
