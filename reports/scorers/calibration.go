package scorers

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"

	"nightshift"
	"nightshift/internal/pattern"
)

type brierParams struct {
	Scorer  json.RawMessage `json:"scorer" type:"string or object" required:"true" doc:"scorer that says whether the answer is right, written as in a plan"`
	Pattern string          `json:"pattern" doc:"regular expression whose first group is the confidence: 0.8, 80% or 80; the last match counts"`
}

type eceParams struct {
	Scorer  json.RawMessage `json:"scorer" type:"string or object" required:"true" doc:"scorer that says whether the answer is right, written as in a plan"`
	Pattern string          `json:"pattern" doc:"regular expression whose first group is the confidence: 0.8, 80% or 80; the last match counts"`
	Bins    int             `json:"bins" doc:"into how many equal bins the confidences go, 2 to 100"`
}

const confidencePattern = `(?i)confidence\W{0,12}([0-9]+(?:\.[0-9]+)?\s*%?)`

// confidence reads how sure an answer is of itself, and whether it is right.
type confidence struct {
	base
	inner   check
	pattern *regexp.Regexp
}

func newConfidence(b base, scorer json.RawMessage, pattern string) (confidence, error) {
	c := confidence{base: b}
	var err error
	if c.inner, err = newCheckOf(scorer); err != nil {
		return c, err
	}
	if c.pattern, err = regexp.Compile(pattern); err == nil && c.pattern.NumSubexp() < 1 {
		err = fmt.Errorf("it has no group")
	}
	if err != nil {
		err = fmt.Errorf("pattern: %w", err)
	}
	return c, err
}

func (c *confidence) readsRow() bool {
	r, ok := c.inner.scorer.(readsRow)
	return ok && r.readsRow()
}

// targetProblem is that of the scorer that says what is right.
func (c *confidence) targetProblem(target *Target) string {
	if c.inner.target != nil || c.readsRow() {
		return ""
	}
	return RowProblem(c.inner.scorer, target, "")
}

var stated = pattern.Late(`^\s*([0-9]+(?:\.[0-9]+)?)\s*(%?)\s*$`)

// read returns the stated confidence in 0..1 and what the answer is worth; bad is the
// result where one of them is missing.
func (c *confidence) read(a Answer, target *Target) (sure, right float64, bad *Result) {
	if c.inner.target != nil {
		target = c.inner.target
	}
	r := c.inner.scorer.Score(a, target)
	if r.Value == nil {
		return 0, 0, &r
	}
	all := c.pattern.FindAllStringSubmatch(a.Text, -1)
	if all == nil {
		none := noAnswer("the answer states no confidence")
		return 0, 0, &none
	}
	m := stated().FindStringSubmatch(all[len(all)-1][1])
	if m == nil {
		none := noAnswer("the confidence is no number")
		return 0, 0, &none
	}
	sure, _ = strconv.ParseFloat(m[1], 64)
	if m[2] == "%" || sure > 1 {
		sure /= 100
	}
	if !(sure <= 1) {
		none := noAnswer("the confidence is above 100 %")
		return 0, 0, &none
	}
	return sure, *r.Value, nil
}

// brier scores each answer by 1 − (confidence − right)² (G. Brier 1950).
type brier struct{ confidence }

func newBrier(b base, p brierParams) (*brier, error) {
	c, err := newConfidence(b, p.Scorer, p.Pattern)
	return &brier{c}, err
}

func (s *brier) Score(a Answer, target *Target) Result {
	sure, right, bad := s.read(a, target)
	if bad != nil {
		return *bad
	}
	r := scored(1 - (sure-right)*(sure-right)).extracted(strconv.FormatFloat(sure, 'g', -1, 64))
	r.Parts = []Part{{Name: "confidence", Value: sure}, {Name: "right", Value: right}}
	return r
}

// ece is 1 − the expected calibration error of all answers (M. Naeini et al. 2015):
// the mean distance of confidence and share of right ones, bin by bin.
type ece struct {
	confidence
	bins int
}

func newECE(b base, p eceParams) (*ece, error) {
	if p.Bins < 2 || p.Bins > 100 {
		return nil, fmt.Errorf("bins: want 2 to 100, have %d", p.Bins)
	}
	c, err := newConfidence(b, p.Scorer, p.Pattern)
	return &ece{c, p.Bins}, err
}

func (s *ece) Score(a Answer, target *Target) Result {
	counts, ok := s.Counts(a, target)
	if !ok {
		_, _, bad := s.read(a, target)
		return unscored("%s", text(bad.Explanation))
	}
	raw, err := json.Marshal(counts)
	if err != nil {
		return unscored("%v", err)
	}
	return Result{Status: nightshift.Scored}.extracted(string(raw))
}

// Counts implements Corpus: for each bin the answers, their confidences and how many
// are right.
func (s *ece) Counts(a Answer, target *Target) (counts []float64, ok bool) {
	sure, right, bad := s.read(a, target)
	if bad != nil {
		return nil, false
	}
	bin := min(int(sure*float64(s.bins)), s.bins-1)
	counts = make([]float64, 3*s.bins)
	counts[3*bin], counts[3*bin+1], counts[3*bin+2] = 1, sure, right
	return counts, true
}

// Statistic implements Corpus.
func (s *ece) Statistic(sums []float64) float64 {
	n, distance := 0.0, 0.0
	for i := 0; i+2 < len(sums); i += 3 {
		n += sums[i]
		distance += math.Abs(sums[i+1] - sums[i+2])
	}
	return 1 - distance/n // NaN without any
}

// Words are the usual figures for the sums of counts.
func (s *ece) Words(sums []float64) string {
	n, sure, right := 0.0, 0.0, 0.0
	for i := 0; i+2 < len(sums); i += 3 {
		n, sure, right = n+sums[i], sure+sums[i+1], right+sums[i+2]
	}
	return fmt.Sprintf("expected calibration error %.3f in %d bins, mean confidence %.3f, right %.3f, over %.0f answers",
		1-s.Statistic(sums), s.bins, sure/n, right/n, n)
}

func init() {
	register("brier", Pure, "1", "how well the confidence that an answer states fits its being right",
		brierParams{Scorer: json.RawMessage("null"), Pattern: confidencePattern}, newBrier)
	register("ece", OfCorpus, "1", "how well stated confidence fits the share of right answers, over all answers",
		eceParams{Scorer: json.RawMessage("null"), Pattern: confidencePattern, Bins: 10}, newECE)
}
