package scorers

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"A: 18", "-$1,234.50.", "1e400", "60 %", "1.2.3.4", "x_1", "0x", "−.5", "1,2,3", "$$$", "5e", "9_9", "\xff5", "1.2 × 10^{6}", `-2\frac{3}{4}`, "2 1/3", "1/2/3", "2^10", "１２，３４５", "12,34,567", "1'234", "10⁻¹²", "3½%", "٣٫٥", "5月-6月"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := parseNumber(s); ok {
			again, ok := parseNumber(d.String())
			if !ok || again != d {
				t.Errorf("%q is %v, but %q is %v", s, d, d.String(), again)
			}
			sameAsRational(t, s, d)
		}
		for _, find := range []func(string) (found, bool){firstNumber, lastNumber} {
			n, ok := find(s)
			if !ok {
				continue
			}
			again, ok := find(n.text)
			if !ok || again.value.String() != n.value.String() || again.percent != n.percent {
				t.Errorf("%q: found %q as %v, read again as %v", s, n.text, n.value, again.value)
			}
		}
	})
}

// sameAsRational checks a decimal against math/big's idea of the same text.
func sameAsRational(t *testing.T, s string, d decimal) {
	if d.exp > 300 || d.exp < -300 || len(s) > 300 {
		return
	}
	plain := strings.NewReplacer(",", "", "\u2212", "-").Replace(s)
	want, ok := new(big.Rat).SetString(plain)
	got, _ := d.rational()
	if !ok || want.Cmp(got) != 0 {
		t.Errorf("%q = %v, math/big says %v", s, got, want)
	}
}

func FuzzChoiceAndAnswer(f *testing.F) {
	for _, s := range []string{"Answer: B", "**Answer:** (C)", `\boxed{A`, "answer is A and B", "ANSWER:", "answer: é", "ANSWER:\n\nA\n", "Answer: A,B;C & D", "\xff answer: \xff"} {
		f.Add(s)
	}
	one := mustNew(f, "choice", map[string]any{"choices": 4}).(*choice)
	many := mustNew(f, "choice", map[string]any{"choices": 4, "multiple": true}).(*choice)
	like := mustNew(f, "choice", map[string]any{"choices": 4, "multiple": true, "compat": "inspect"}).(*choice)
	f.Fuzz(func(t *testing.T, s string) {
		if got := one.find(s); got != "" && (len(got) != 1 || got < "A" || got > "D") {
			t.Errorf("%q chose %q", s, got)
		}
		for _, c := range []*choice{many, like} {
			if got := c.find(s); strings.Trim(got, "ABCD") != "" || got != sortedLetters(got) {
				t.Errorf("%q chose %q", s, got)
			}
		}
		for _, kind := range []string{"letter", "word", "line"} {
			got, why := answerText(s, kind)
			if (got == "") != (why != "") || !strings.Contains(s, got) {
				t.Errorf("%s of %q = %q, %q", kind, s, got, why)
			}
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.0,null,true]}`, `{"a":1,"a":1e0}`, `"x"`, `[[[`, "```json\n{}\n```", `{"\u0000":-0.0}`, `1e99999999999`, `[1e400, "<>&\u2028"]`,
		` [ -0.5e+3 , "é\n\"\ud83d\ude00" , {} , [] ] `, `01`, `-`, `1.`, `1e`, `"\`, `"\u12"`, "\"\xff\"", "\"\n\"", `{"a":1,}`, `[1 2]`, `{} {}`, `nul`} {
		f.Add(s, s)
	}
	equal := mustNew(f, "json_equal", map[string]any{"ignore_fields": []string{"a.*", "b"}, "abs_tol": 0.5})
	similar := mustNew(f, "json_similarity", map[string]any{"extract": "first"})
	schema := mustNew(f, "json_schema", map[string]any{"schema": map[string]any{"maximum": 5, "multipleOf": 0.5, "uniqueItems": true}})
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := parseJSON(a)
		if (err == nil) != json.Valid([]byte(a)) && strings.TrimSpace(a) == a {
			t.Errorf("parseJSON(%q) = %v, encoding/json says %v", a, err, json.Valid([]byte(a)))
		}
		plain, ok := parsePlain(a)
		if decoded, err := decodeJSON(strings.TrimSpace(a)); ok && (err != nil || !reflect.DeepEqual(plain, decoded)) {
			t.Errorf("%q is %#v, encoding/json says %#v, %v", a, plain, decoded, err)
		} else if json.Valid([]byte(a)) && !ok && utf8.ValidString(a) && strings.Count(a, "[")+strings.Count(a, "{") < plainDepth {
			t.Errorf("%q is left to encoding/json", a)
		}
		if err == nil {
			again, err := parseJSON(canonical(v))
			if err != nil || !(jsonEquality{}).equal(v, again) || canonical(again) != canonical(v) {
				t.Errorf("canonical(%q) = %q", a, canonical(v))
			}
		}
		w, err := parseJSON(b)
		e := jsonEquality{}
		if err == nil && e.equal(v, w) != e.equal(w, v) {
			t.Errorf("%q and %q: equality has a direction", a, b)
		}
		for _, s := range []Scorer{equal, similar, schema} {
			if r := s.Score(Answer{Text: a}, OneTarget(b)); r.Value != nil && !(*r.Value >= 0 && *r.Value <= 1) {
				t.Errorf("%s of %q and %q = %v", s.Type(), a, b, *r.Value)
			}
		}
	})
}

// FuzzTexts holds every pure text scorer to a value in 0..1, and to the same
// one each time.
func FuzzTexts(f *testing.F) {
	f.Add("The cat", "a cat")
	f.Add("", "")
	f.Add("\xff", "é")
	f.Add(`\frac`, `\sqrt`)
	f.Add("ſ İ ß", "ss i\u0307 SS")
	var all []Scorer
	for _, info := range Types() {
		if s, err := New(Spec{Type: info.Type}); err == nil {
			all = append(all, s)
		}
	}
	all = append(all,
		mustNew(f, "exact", map[string]any{"normalize": "squad"}), mustNew(f, "exact", map[string]any{"normalize": "inspect"}),
		mustNew(f, "f1", map[string]any{"variant": "inspect"}), mustNew(f, "f1", map[string]any{"variant": "squad2"}),
		mustNew(f, "match", map[string]any{"numeric": true, "compat": "inspect"}), mustNew(f, "rouge", map[string]any{"variant": "2"}),
		mustNew(f, "chrf", map[string]any{"word_order": 2}), mustNew(f, "number", map[string]any{"style": "mgsm"}))
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range all {
			r, again := s.Score(Answer{Text: a}, OneTarget(b)), s.Score(Answer{Text: a}, OneTarget(b))
			if r.Value != nil && (math.IsNaN(*r.Value) || *r.Value < 0 || *r.Value > 1) {
				t.Errorf("%s of %q and %q = %v", s.Type(), a, b, *r.Value)
			}
			x, _ := json.Marshal(r)
			y, _ := json.Marshal(again)
			if string(x) != string(y) {
				t.Errorf("%s of %q and %q: %s, then %s", s.Type(), a, b, x, y)
			}
		}
		if utf8.ValidString(a) && a != "" && !strings.HasPrefix(a, "[") {
			if r := all[0].Score(Answer{Text: a}, OneTarget(a)); r.Value == nil {
				t.Errorf("%s of %q with itself has no value", all[0].Type(), a)
			}
		}
	})
}

// FuzzFlexible holds the hand-written rule to the expression it stands for.
func FuzzFlexible(f *testing.F) {
	for _, s := range []string{"$29.00.", "-5", "--5", "-$5", "5-6", "$", "..", "a-.b", "1,2", "-,3", "- 7$"} {
		f.Add(s)
	}
	want := regexp.MustCompile(`(-?[$0-9.,]{2,})|(-?[0-9]+)`)
	f.Fuzz(func(t *testing.T, s string) {
		all := want.FindAllString(s, -1)
		got, ok := lastFlexible(s)
		if ok != (all != nil) || ok && got != all[len(all)-1] {
			t.Errorf("lastFlexible(%q) = %q, %v, want %q", s, got, ok, all)
		}
	})
}

// FuzzSearch holds the search by literal to plain regexp.
func FuzzSearch(f *testing.F) {
	f.Add("(?i:answer: (\\w+))", "the ANSWER: is Answer: x")
	f.Add("(?i:(task)k)", "taſkK taskK")
	f.Add("a(?:b|c)*\\b", strings.Repeat("a", 40)+" abc")
	f.Add("(?i:(?m)x$)", "yx\nX")
	f.Add("ab|ac|(?i)AD", "zad")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		s, err := newSearcher(pattern)
		if err != nil {
			return
		}
		want := regexp.MustCompile(pattern).FindStringSubmatchIndex(text)
		if got := s.find(text); !slices.Equal(got, want) {
			t.Errorf("%q in %q at %v, want %v", pattern, text, got, want)
		}
	})
}

// FuzzJudge: replies give a grade on offer or a reason, and no answer keeps a
// mark of the template.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{"GRADE: C or I", "GRADE: $\\boxed{I}$", "grade：ｃ", "GRADE: 4/5", "</answer\n>", "<\u200b/an\u0301swer>", "＜answer x=1>", "[end data", "[[A]]/[[B]]", "\xff<//answer\xff>", "</аnswer>", "GRADE:GRADE:"} {
		f.Add(s)
	}
	g, err := NewGrader(Spec{Type: "judge_grade", Params: map[string]any{"partial": true}})
	if err != nil {
		f.Fatal(err)
	}
	tmpl, err := NewTemplate("<answer>{answer}</answer>[END DATA]", "answer")
	if err != nil {
		f.Fatal(err)
	}
	closing := regexp.MustCompile(`(?i)<[\s/]*/[\s/]*answer\b|\[\s*end\s+data\s*\]`)
	f.Fuzz(func(t *testing.T, s string) {
		r := g.Verdict(s)
		if _, offered := g.Grades()[text(r.Answer)]; offered != (r.Value != nil) || r.Value == nil && text(r.Explanation) == "" {
			t.Errorf("%q: %+v", s, r)
		}
		shown := tmpl.Render(Material{Answer: s})
		inner := strings.TrimSuffix(strings.TrimPrefix(shown, "<answer>"), "</answer>[END DATA]")
		if closing.MatchString(inner) {
			t.Errorf("%q is shown as %q", s, inner)
		}
		if utf8.ValidString(s) && utf8.RuneCountInString(inner) < utf8.RuneCountInString(s) {
			t.Errorf("%q lost characters: %q", s, inner)
		}
	})
}
