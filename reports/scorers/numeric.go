package scorers

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/normalize"
	"nightshift/reports/scorers/internal/numbers"
)

type numberParams struct {
	Style  string      `json:"style" doc:"last, first (number in the answer), whole (the answer is a number), or a benchmark's rule: gsm8k_strict, gsm8k_flexible, gsm8k_official, mgsm"`
	AbsTol json.Number `json:"abs_tol" type:"number" doc:"equal when no further apart than this"`
	RelTol json.Number `json:"rel_tol" type:"number" doc:"equal when no further apart than this share of the larger one"`
	Prefix string      `json:"prefix" doc:"the word before the answer; style mgsm only"`
}

type number struct {
	base
	p   numberParams
	tol numbers.Tolerance
}

func newNumber(b base, p numberParams) (Scorer, error) {
	tol, err := numbers.ParseTolerance(p.AbsTol, p.RelTol)
	if err != nil {
		return nil, err
	}
	if rule, ok := textRules[p.Style]; ok {
		if tol != (numbers.Tolerance{}) {
			return nil, fmt.Errorf("style %s compares texts and has no tolerance", p.Style)
		}
		return &numberText{b, p, rule}, nil
	}
	styles := []string{"last", "first", "whole", "gsm8k_strict", "gsm8k_flexible", "gsm8k_official", "mgsm"}
	return &number{b, p, tol}, oneOf("style", p.Style, styles...)
}

func (s *number) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	got, ok := s.find(a.Text)
	if !ok {
		for _, t := range targets {
			if _, ok := targetNumber(t); !ok {
				return badNumber(t)
			}
		}
		return noAnswer(noNumber)
	}
	return best(targets, func(t string) Result {
		want, ok := targetNumber(t)
		if !ok {
			return badNumber(t)
		}
		r := verdict(got.Answers(want, s.tol)).extracted(got.Text)
		if want.Percent && got.Percent {
			return r.sameAs(got.Value.String() + "%")
		}
		return r.sameAs(got.Value.String())
	})
}

func badNumber(target string) Result {
	return unscored("the row's target %q is not a number (want one like -1,234.5, 3/4, 18%% or \"18 dollars\", or a "+
		"text that ends in \"#### 18\", \"Answer: 18\" or \\boxed{18})", shorten(target))
}

func (s *number) find(text string) (numbers.Found, bool) {
	switch s.p.Style {
	case "first":
		return numbers.First(text)
	case "whole":
		return numbers.Whole(text)
	}
	return numbers.Last(text)
}

// targetNumber reads a target: a number that may have a unit, or a worked
// solution that ends in a marked one. Other texts are not searched for digits,
// or the target 9:45 would be 45.
func targetNumber(t string) (numbers.Found, bool) {
	if i := strings.LastIndex(t, "####"); i >= 0 {
		t = t[i+len("####"):]
	} else if inner, ok := lastBoxed(t); ok {
		t = inner
	} else if strings.Contains(t, ":") {
		if m := lastLineAnswer().FindStringSubmatch(t); m != nil {
			t = m[1]
		}
	}
	f, after, ok := numbers.Leading(t)
	return f, ok && isUnit(after)
}

var (
	lastLineAnswer = pattern.Late(`(?i)(?:^|\n)(?:final )?(?:answer|a): *([^\n]*)\s*$`)

	unit = pattern.Late(`^[ \-]?(?:[\p{L}\p{Sc}°%\\*_]+[./]?(?: |$)?){0,3}[.,*]*$`)
	// noUnit are words that change the number before them, or make it a
	// range, a time or a formula.
	noUnit = pattern.Late(
		`(?i)\b(?:or|to|and|plus|minus|times|over|more|less|most|least|hundred|thousand|[mb]illion|trillion|dozen|` +
			`[ap]m|[xyznkei])\b|π`)
)

// isUnit reports whether what follows a number leaves it as it is.
func isUnit(after string) bool {
	return after == "" || unit().MatchString(after) && !noUnit().MatchString(after)
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// A textRule is how a benchmark takes a number out of a text and compares it,
// which is as text.
type textRule struct {
	// extract returns what the rule finds in the answer; ok is false for
	// nothing.
	extract func(s, prefix string) (string, bool)
	// clean is applied to what was extracted, and wanted to the target.
	clean, wanted func(string) string
}

var (
	strictNumber = pattern.Late(`#### (-?[0-9.,]+)`)
	mgsmNumber   = pattern.Late(`\p{Nd}+\.?\p{Nd}*`)
)

// textRules are lm-evaluation-harness's two rules for GSM8K, the rule of the
// GSM8K authors, and simple-evals' rule for MGSM.
var textRules = map[string]textRule{
	"gsm8k_strict":   {func(s, _ string) (string, bool) { return firstStrict(s) }, cleanGSM8K, cleanGSM8K},
	"gsm8k_flexible": {func(s, _ string) (string, bool) { return lastFlexible(s) }, cleanGSM8K, cleanGSM8K},
	"gsm8k_official": {func(s, _ string) (string, bool) { return firstStrict(s) }, deleteCommas, officialTarget},
	"mgsm":           {extractMGSM, cutZeros, deleteCommas},
}

func firstStrict(s string) (string, bool) {
	m := strictNumber().FindStringSubmatch(s)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// lastFlexible is the last match of (-?[$0-9.,]{2,})|(-?[0-9]+), by hand
// because it runs over every byte of every answer.
func lastFlexible(s string) (last string, ok bool) {
	for i := 0; i < len(s); {
		start, end := i, i
		if s[i] == '-' {
			start++
		}
		for end = start; end < len(s) && (numbers.IsDigit(s[end]) || s[end] == '$' || s[end] == '.' ||
			s[end] == ','); end++ {
		}
		if end-start >= 2 || end-start == 1 && numbers.IsDigit(s[start]) {
			last, ok, i = s[i:end], true, end
			continue
		}
		i++
	}
	return last, ok
}

var commasAndDollars = strings.NewReplacer(",", "", "$", "")

// cleanGSM8K deletes what lm-evaluation-harness ignores.
func cleanGSM8K(s string) string {
	s = commasAndDollars.Replace(s)
	if i := strings.LastIndex(s, "#### "); i >= 0 {
		s = s[i+len("#### "):]
	}
	return normalize.Lower(strings.TrimSuffix(s, "."))
}

func deleteCommas(s string) string { return strings.ReplaceAll(s, ",", "") }

// officialTarget takes the target's own mark away; a bare target is its own
// answer.
func officialTarget(s string) string {
	if m, ok := firstStrict(s); ok {
		s = m
	}
	return deleteCommas(strings.TrimSpace(s))
}

func extractMGSM(s, prefix string) (string, bool) {
	i := strings.LastIndex(s, prefix)
	if i < 0 {
		return "", false
	}
	all := mgsmNumber().FindAllString(deleteCommas(s[i+len(prefix):]), -1)
	if all == nil {
		return "", false
	}
	return strings.TrimRight(all[len(all)-1], "."), true
}

func cutZeros(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

type numberText struct {
	base
	p    numberParams
	rule textRule
}

func (s *numberText) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	got, ok := s.rule.extract(a.Text, s.p.Prefix)
	if !ok {
		return noAnswer("the rule finds no number in the answer").extracted(invalid)
	}
	got = strings.TrimFunc(got, unicode.IsSpace)
	prediction := s.rule.clean(got)
	return best(targets, func(t string) Result {
		return verdict(prediction == s.rule.wanted(t)).extracted(got).sameAs(prediction)
	})
}

func init() {
	register("number", Pure, "2", "the number in the answer equals the target's",
		numberParams{Style: "last", AbsTol: "0", RelTol: "0", Prefix: "Answer"}, newNumber)
}
