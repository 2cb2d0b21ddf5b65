package scorers

import (
	"encoding/json"
	"strconv"
	"strings"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/algebra"
)

type mathEqualParams struct {
	Extract string      `json:"extract" doc:"where the formula is: boxed (what the last \\boxed{} holds), none (the whole answer), or auto (boxed, else what follows the last \"answer is\" or \"answer:\", else a short answer as a whole, else the last formula between dollar signs)"`
	RelTol  json.Number `json:"rel_tol" type:"number" doc:"numbers are equal when no further apart than this share of the larger one"`
}

// mathEqual compares formulae by what they are worth.
type mathEqual struct {
	base
	p      mathEqualParams
	relTol float64
}

func newMathEqual(b base, p mathEqualParams) (*mathEqual, error) {
	if _, err := absTolerance(p.RelTol); err != nil {
		return nil, err
	}
	tol, err := strconv.ParseFloat(string(p.RelTol), 64)
	if err != nil {
		return nil, err
	}
	return &mathEqual{b, p, tol}, oneOf("extract", p.Extract, "auto", "boxed", "none")
}

func (s *mathEqual) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	got, ok := s.find(a.Text)
	if !ok {
		return noAnswer("no formula found in the answer")
	}
	r := best(targets, func(t string) Result {
		if inner, ok := lastBoxed(t); ok {
			t = inner
		}
		if sameFormula(got, t) || sameText(got, t) {
			return scored(1)
		}
		equal, read := algebra.Equal(got, t, s.relTol)
		if !read {
			return scored(0).because("answer or target is no formula that can be read, and they differ as texts")
		}
		return verdict(equal)
	})
	return r.extracted(got)
}

// sameText compares words such as \text{odd}, whatever their case.
func sameText(a, b string) bool {
	plain := func(s string) string {
		if m := onlyText().FindStringSubmatch(strings.TrimSpace(s)); m != nil {
			s = m[1]
		}
		return strings.ToLower(strings.Trim(strings.TrimSpace(s), ".()$"))
	}
	return plain(a) != "" && plain(a) == plain(b)
}

var (
	onlyText   = pattern.Late(`^\\(?:text|mathrm|textbf|mbox)\{([^{}]*)\}$`)
	mathMarker = pattern.Late(`(?i)\banswer(?:\*\*)?(?:\s+is)?\s*(?:\*\*)?:?(?:\*\*)?\s*`)
	dollars    = pattern.Late(`\$([^$\n]+)\$|\\\((.+?)\\\)`)
)

// shortAnswer is how many bytes an answer may have to be taken as a whole.
const shortAnswer = 100

func (s *mathEqual) find(text string) (string, bool) {
	text = strings.TrimSpace(text)
	inner, boxed := lastBoxed(text)
	switch {
	case s.p.Extract == "none":
		return text, text != ""
	case boxed || s.p.Extract == "boxed":
		return inner, boxed
	}
	if all := mathMarker().FindAllStringIndex(text, -1); all != nil {
		line, _, _ := strings.Cut(text[all[len(all)-1][1]:], "\n")
		if line = strings.Trim(line, "*. "); line != "" {
			return line, true
		}
	}
	if text != "" && len(text) <= shortAnswer && !strings.Contains(text, "\n") {
		return strings.TrimSuffix(text, "."), true
	}
	all := dollars().FindAllStringSubmatch(text, -1)
	if all == nil {
		return "", false
	}
	last := all[len(all)-1]
	return last[1] + last[2], true
}

func init() {
	register("math_equal", Pure, "1", "formulae compared by value: numbers, algebra, intervals, sets, tuples, matrices",
		mathEqualParams{Extract: "auto", RelTol: "0"}, newMathEqual)
}
