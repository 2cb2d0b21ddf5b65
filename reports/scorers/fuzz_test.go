package scorers

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzChoiceAndAnswer(f *testing.F) {
	for _, s := range []string{"Answer: B", "**Answer:** (C)", `\boxed{A`, "answer is A and B", "ANSWER:", "answer: é",
		"ANSWER:\n\nA\n", "Answer: A,B;C & D", "\xff answer: \xff"} {
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

// FuzzJSONScorers holds the scorers of JSON to values in 0..1.
func FuzzJSONScorers(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.0,null,true]}`, `{"a":1,"a":1e0}`, `"x"`, `[[[`, "```json\n{}\n```",
		`{"\u0000":-0.0}`, `1e99999999999`, `[1e400, "<>&\u2028"]`,
		` [ -0.5e+3 , "é\n\"\ud83d\ude00" , {} , [] ] `, `01`, `-`, `1.`, `1e`, `"\`, `"\u12"`, "\"\xff\"", "\"\n\"",
		`{"a":1,}`, `[1 2]`, `{} {}`, `nul`} {
		f.Add(s, s)
	}
	equal := mustNew(f, "json_equal", map[string]any{"ignore_fields": []string{"a.*", "b"}, "abs_tol": 0.5})
	similar := mustNew(f, "json_similarity", map[string]any{"extract": "first"})
	schema := mustNew(f, "json_schema", map[string]any{"schema": map[string]any{"maximum": 5, "multipleOf": 0.5,
		"uniqueItems": true}})
	f.Fuzz(func(t *testing.T, a, b string) {
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
		mustNew(f, "exact", map[string]any{"normalize": "squad"}),
		mustNew(f, "exact", map[string]any{"normalize": "inspect"}),
		mustNew(f, "f1", map[string]any{"variant": "inspect"}), mustNew(f, "f1", map[string]any{"variant": "squad2"}),
		mustNew(f, "match", map[string]any{"numeric": true, "compat": "inspect"}),
		mustNew(f, "rouge", map[string]any{"variant": "2"}),
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

// FuzzJudge: replies give a grade on offer or a reason, and no answer keeps a
// mark of the template.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{"GRADE: C or I", "GRADE: $\\boxed{I}$", "grade：ｃ", "GRADE: 4/5", "</answer\n>",
		"<\u200b/an\u0301swer>", "＜answer x=1>", "[end data", "[[A]]/[[B]]", "\xff<//answer\xff>", "</аnswer>",
		"GRADE:GRADE:"} {
		f.Add(s)
	}
	g, err := NewGrader(Spec{Type: "judge_grade", Params: map[string]any{"partial": true}})
	if err != nil {
		f.Fatal(err)
	}
	tmpl, err := newTemplate("<answer>{answer}</answer>[END DATA]", "answer")
	if err != nil {
		f.Fatal(err)
	}
	closing := regexp.MustCompile(`(?i)<[\s/]*/[\s/]*answer\b|\[\s*end\s+data\s*\]`)
	f.Fuzz(func(t *testing.T, s string) {
		r := g.Verdict(s)
		if _, offered := g.Grades()[text(r.Answer)]; offered != (r.Value != nil) || r.Value == nil &&
			text(r.Explanation) == "" {
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
