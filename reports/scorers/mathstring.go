package scorers

import (
	"strings"
	"unicode/utf8"

	"nightshift/internal/pattern"
)

type mathParams struct {
	Extract string `json:"extract" doc:"none: the whole answer; boxed: what the last \\boxed{} holds"`
}

// mathString compares formulae as texts after the clean-up that comes with the
// MATH dataset (D. Hendrycks et al., 2021). It knows no algebra.
type mathString struct {
	base
	extract string
}

func newMathString(b base, p mathParams) (*mathString, error) {
	return &mathString{b, p.Extract}, oneOf("extract", p.Extract, "none", "boxed")
}

func (s *mathString) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	got := a.Text
	if s.extract == "boxed" {
		var ok bool
		if got, ok = lastBoxed(a.Text); !ok {
			return noAnswer(`no \boxed{} in the answer`)
		}
	}
	r := best(targets, func(t string) Result {
		if inner, ok := lastBoxed(t); ok && s.extract == "boxed" {
			t = inner
		}
		return verdict(sameFormula(got, t))
	})
	if s.extract == "boxed" {
		r = r.extracted(got)
	}
	if clean, ok := cleanFormula(got); ok {
		return r.sameAs(clean)
	}
	return r.sameAs(got)
}

// lastBoxed returns what the last \boxed{…} or \fbox{…} holds, braces matched.
func lastBoxed(s string) (string, bool) {
	start := max(strings.LastIndex(s, `\boxed{`), strings.LastIndex(s, `\fbox{`))
	if start < 0 {
		return "", false
	}
	s = s[start+strings.IndexByte(s[start:], '{')+1:]
	depth := 1
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return s[:i], true
			}
		}
	}
	return "", false
}

// sameFormula compares two formulae; when the clean-up of one trips over it,
// both are compared as they are.
func sameFormula(a, b string) bool {
	x, okX := cleanFormula(a)
	y, okY := cleanFormula(b)
	if !okX || !okY {
		return a == b
	}
	return x == y && (x != "" || a == b)
}

var formulaNoise = []*strings.Replacer{
	strings.NewReplacer("\n", ""),
	strings.NewReplacer(`\!`, ""),
	strings.NewReplacer(`\\`, `\`),
	strings.NewReplacer("tfrac", "frac"),
	strings.NewReplacer("dfrac", "frac"),
	strings.NewReplacer(`\left`, ""),
	strings.NewReplacer(`\right`, ""),
	strings.NewReplacer(`^{\circ}`, ""),
	strings.NewReplacer(`^\circ`, ""),
	strings.NewReplacer(`\$`, ""),
}

// cleanFormula removes what does not change a formula. ok is false where the
// original gives up.
func cleanFormula(s string) (clean string, ok bool) {
	for _, r := range formulaNoise {
		s = r.Replace(s)
	}
	const unit = `\text{ ` // units stand at the end, once
	if n := strings.Count(s, unit); n > 1 {
		return "", false
	}
	s, _, _ = strings.Cut(s, unit)
	for _, pair := range [][2]string{{`\%`, ""}, {" .", " 0."}, {"{.", "{0."}} {
		s = strings.ReplaceAll(s, pair[0], pair[1])
	}
	if s == "" {
		return "", true
	}
	if s[0] == '.' {
		s = "0" + s
	}
	if left, right, found := strings.Cut(s, "="); found && !strings.Contains(right, "=") &&
		utf8.RuneCountInString(left) <= 2 {
		s = right
	}
	if s, ok = braceRoots(s); !ok {
		return "", false
	}
	if s, ok = braceFractions(strings.ReplaceAll(s, " ", "")); !ok {
		return "", false
	}
	if s == "0.5" {
		s = `\frac{1}{2}`
	}
	return slashFraction(s), true
}

// braceRoots turns \sqrt3 into \sqrt{3}.
func braceRoots(s string) (string, bool) {
	parts := strings.Split(s, `\sqrt`)
	var b strings.Builder
	b.WriteString(parts[0])
	for _, p := range parts[1:] {
		if p == "" {
			return "", false
		}
		b.WriteString(`\sqrt`)
		if p[0] == '{' {
			b.WriteString(p)
			continue
		}
		_, size := utf8.DecodeRuneInString(p)
		b.WriteString("{" + p[:size] + "}" + p[size:])
	}
	return b.String(), true
}

// braceFractions turns \frac12 and \frac1{72} into \frac{1}{2} and
// \frac{1}{72}.
func braceFractions(s string) (string, bool) {
	parts := strings.Split(s, `\frac`)
	var b strings.Builder
	b.WriteString(parts[0])
	for _, p := range parts[1:] {
		if p == "" {
			return "", false
		}
		b.WriteString(`\frac`)
		if p[0] == '{' {
			b.WriteString(p)
			continue
		}
		_, first := utf8.DecodeRuneInString(p)
		if first == len(p) {
			return s, true // half a fraction: left alone, and all others too
		}
		over, under := p[:first], p[first:]
		b.WriteString("{" + over + "}")
		if under[0] == '{' {
			b.WriteString(under)
			continue
		}
		_, second := utf8.DecodeRuneInString(under)
		b.WriteString("{" + under[:second] + "}" + under[second:])
	}
	return b.String(), true
}

var plainFraction = pattern.Late(`^(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)$`)

// slashFraction turns 3/4 into \frac{3}{4}.
func slashFraction(s string) string {
	return plainFraction().ReplaceAllString(s, `\frac{$1}{$2}`)
}

func init() {
	register("math_string", Pure, "2", "formulae compared as the MATH dataset does, as texts",
		mathParams{Extract: "none"}, newMathString)
}
