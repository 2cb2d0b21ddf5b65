package scorers

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nightshift/reports/scorers/internal/normalize"
)

type exactParams struct {
	Remove    []string `json:"remove" doc:"regular expressions whose matches are cut from both sides first"`
	Normalize steps    `json:"normalize" type:"list or preset" doc:"steps in order (lower, casefold, punct, articles, digits, ws, strip), or the preset squad or inspect (as Inspect at commit 499e615)"`
}

type exact struct {
	base
	remove    []*regexp.Regexp
	normalize func(string) string
}

func newExact(b base, p exactParams) (*exact, error) {
	s := &exact{base: b}
	for _, pattern := range p.Remove {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		s.remove = append(s.remove, re)
	}
	var err error
	s.normalize, err = p.Normalize.normalizer()
	return s, err
}

func (s *exact) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	prediction := s.clean(a.Text)
	return best(targets, func(t string) Result {
		want := s.clean(t)
		return verdict(prediction == want && (want != "" || sameEmptied(a.Text, t)))
	}).sameAs(prediction)
}

// sameEmptied compares two texts of which normalisation leaves nothing, as of
// the article "a" or of "@": they must be the same before it, case and marks
// around them aside. An empty answer equals no article.
func sameEmptied(a, b string) bool {
	x, y := normalize.Fold(normalize.TrimEnds(a)), normalize.Fold(normalize.TrimEnds(b))
	return a == b || x == y && x != ""
}

func (s *exact) clean(text string) string {
	for _, re := range s.remove {
		text = re.ReplaceAllString(text, "")
	}
	return s.normalize(text)
}

type f1Params struct {
	Variant   string   `json:"variant" doc:"squad (normalised words, multisets), squad2 (also scores empty answers), set (raw words, sets) or inspect (number-aware words, sets, two decimals; as Inspect at commit 499e615)"`
	StopWords []string `json:"stop_words" doc:"words left out on both sides; variant inspect only"`
}

type f1 struct {
	base
	variant string
	stop    map[string]bool
}

func newF1(b base, p f1Params) (*f1, error) {
	s := &f1{b, p.Variant, map[string]bool{}}
	for _, w := range p.StopWords {
		s.stop[inspectToken(w)] = true
	}
	return s, oneOf("variant", p.Variant, "squad", "squad2", "set", "inspect")
}

func (s *f1) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if s.variant == "squad2" {
		// There an empty target is a question without an answer.
		if list, err := targetTexts(target); err == nil {
			targets, bad = list, nil
		}
	}
	if bad != nil {
		return *bad
	}
	return best(targets, func(t string) Result {
		return scored(s.overlap(a.Text, t))
	})
}

func (s *f1) overlap(prediction, target string) float64 {
	switch s.variant {
	case "set":
		return setF1(strings.Fields(prediction), strings.Fields(target))
	case "inspect":
		f := setF1(s.words(prediction), s.words(target))
		f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'f', 2, 64), 64)
		return f
	}
	p, t := strings.Fields(squadText(prediction)), strings.Fields(squadText(target))
	if s.variant == "squad2" && (len(p) == 0 || len(t) == 0) {
		if len(p) == len(t) && (target == "" || sameEmptied(prediction, target)) {
			return 1
		}
		return 0
	}
	return fMeasure(multisetOverlap(p, t), len(p), len(t))
}

func (s *f1) words(text string) []string {
	var out []string
	for _, token := range inspectTokens(text) {
		if !s.stop[token] {
			out = append(out, strings.Fields(token)...)
		}
	}
	return out
}

// fMeasure is the harmonic mean of shared/p and shared/t; 0 without anything
// shared.
func fMeasure(shared, p, t int) float64 {
	if shared == 0 {
		return 0
	}
	precision, recall := float64(shared)/float64(p), float64(shared)/float64(t)
	return 2 * precision * recall / (precision + recall)
}

func multisetOverlap(a, b []string) int {
	left := make(map[string]int, len(b))
	for _, w := range b {
		left[w]++
	}
	shared := 0
	for _, w := range a {
		if left[w] > 0 {
			left[w]--
			shared++
		}
	}
	return shared
}

// multisetF1 compares lists whose order does not count.
func multisetF1(a, b []string) float64 { return fMeasure(multisetOverlap(a, b), len(a), len(b)) }

// setF1 compares sets of words.
func setF1(a, b []string) float64 {
	x, y := toSet(a), toSet(b)
	shared := 0
	for w := range x {
		if y[w] {
			shared++
		}
	}
	return fMeasure(shared, len(x), len(y))
}

func toSet(words []string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, w := range words {
		set[w] = true
	}
	return set
}

type includesParams struct {
	IgnoreCase bool      `json:"ignore_case" doc:"compare case-folded"`
	Mode       string    `json:"mode" doc:"any: one target of a list is enough; all: every one must be there"`
	Not        bool      `json:"not" doc:"invert: right when the target is not there"`
	Texts      oneOrMore `json:"texts" type:"string or list" doc:"look for these in place of the row's target"`
}

type includes struct {
	base
	p includesParams
}

func newIncludes(b base, p includesParams) (*includes, error) {
	if slices.Contains(p.Texts, "") {
		return nil, errors.New("texts: an empty text is in every answer")
	}
	return &includes{b, p}, oneOf("mode", p.Mode, "any", "all")
}

func (s *includes) Score(a Answer, target *Target) Result {
	if len(s.p.Texts) > 0 {
		target = &Target{Texts: s.p.Texts}
	}
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	text, hits := a.Text, 0
	if s.p.IgnoreCase {
		text = normalize.Fold(text)
	}
	for _, t := range targets {
		if s.p.IgnoreCase {
			t = normalize.Fold(t)
		}
		if strings.Contains(text, t) {
			hits++
		}
	}
	there := hits > 0
	if s.p.Mode == "all" {
		there = hits == len(targets)
	}
	return verdict(there != s.p.Not).sameAs(strings.TrimSpace(text))
}

func init() {
	register("exact", Pure, "2", "the answer equals a target", exactParams{Remove: []string{}}, newExact)
	register("f1", Pure, "2", "words shared with a target, as F1", f1Params{Variant: "squad", StopWords: []string{}},
		newF1)
	register("includes", Pure, "2", "the answer contains a target",
		includesParams{IgnoreCase: true, Mode: "any", Texts: oneOrMore{}}, newIncludes)
}
