package scorers

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"nightshift"
)

func mustNew(t testing.TB, kind string, params map[string]any) Scorer {
	t.Helper()
	s, err := New(Spec{Type: kind, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ptr[T any](v T) *T { return &v }

// TestEveryTypeHasCases keeps a new scorer from going without cases.
func TestEveryTypeHasCases(t *testing.T) {
	has := map[string]int{}
	for _, c := range readCases(t, "testdata/cases.jsonl") {
		has[c.Scorer]++
	}
	for _, info := range Types() {
		if info.Kind != OfCommand && info.Kind != Combined && has[info.Type] < 2 {
			t.Errorf("%s has %d cases", info.Type, has[info.Type])
		}
		if info.Doc == "" || info.Version == "" {
			t.Errorf("%s has no doc or version", info.Type)
		}
		for _, p := range info.Params {
			if p.Name == "" || p.Doc == "" || !json.Valid(p.Default) {
				t.Errorf("%s: parameter %+v is not described", info.Type, p)
			}
		}
	}
}

func TestBuildErrors(t *testing.T) {
	for _, tc := range []struct {
		spec Spec
		want string
	}{
		{Spec{Type: "exakt"}, `unknown scorer "exakt" (did you mean "exact"?)`},
		{Spec{Type: "zzz"}, `unknown scorer "zzz"`},
		{Spec{Type: "number", Params: map[string]any{"stile": "last"}},
			`unknown parameter "stile" (did you mean "style"?)`},
		{Spec{Type: "number", Params: map[string]any{"style": "gsm8k"}}, `"gsm8k" is not one of`},
		{Spec{Type: "number", Params: map[string]any{"abs_tol": -1}}, "abs_tol: want a number of 0 or more"},
		{Spec{Type: "number", Params: map[string]any{"style": "gsm8k_strict", "abs_tol": 1}}, "no tolerance"},
		{Spec{Type: "exact", Params: map[string]any{"remove": []string{"("}}}, "missing closing )"},
		{Spec{Type: "exact", Params: map[string]any{"normalize": []string{"lowr"}}}, `(did you mean "lower"?)`},
		{Spec{Type: "exact", Params: map[string]any{"normalize": "squat"}}, `(did you mean "squad"?)`},
		{Spec{Type: "regex"}, `parameter "pattern" is missing`},
		{Spec{Type: "regex", Params: map[string]any{"pattern": "(?=x)"}}, "invalid or unsupported Perl syntax"},
		{Spec{Type: "cost_max"}, `parameter "threshold" is missing`},
		{Spec{Type: "cost_max", Params: map[string]any{"threshold": "much"}}, `parameter "threshold"`},
		{Spec{Type: "choice", Params: map[string]any{"choices": 27}}, "want 1 to 26"},
		{Spec{Type: "json_schema", Params: map[string]any{"schema": map[string]any{"type": "objct"}}}, "schema"},
		{Spec{Type: "json_schema", Params: map[string]any{"schema": map[string]any{"$ref": "file:///etc/passwd"}}},
			"references to other documents are refused"},
		{Spec{Type: "includes", Name: "mine", Params: map[string]any{"mode": "some"}}, "scorer mine: mode"},
		{Spec{Type: "judge_grade", Params: map[string]any{"template": "grade it"}}, "has no {answer}"},
		{Spec{Type: "judge_grade", Params: map[string]any{"grades": []string{"A"}}}, "say what"},
		{Spec{Type: "judge_pairwise", Params: map[string]any{"format": "stars"}}, "is not one of"},
		{Spec{Type: "command", Params: map[string]any{"argv": []string{}}}, "no program given"},
		{Spec{Type: "tool_ast", Params: map[string]any{"functions": []any{}}}, "the list is empty"},
	} {
		err := Check(tc.spec)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Check(%v) = %v, want %q", tc.spec, err, tc.want)
		}
	}
}

// TestNewIsForPureScorers: what needs calls is not built by accident.
func TestNewIsForPureScorers(t *testing.T) {
	_, err := New(Spec{Type: "judge_grade"})
	if err == nil || !strings.Contains(err.Error(), "needs more than the answer") {
		t.Errorf("New(judge_grade) = %v", err)
	}
	if _, err := NewGrader(Spec{Type: "exact"}); err == nil {
		t.Error("NewGrader(exact) gave no error")
	}
}

// TestParams: what is stored beside a score holds defaults too and does not
// change from run to run.
func TestParams(t *testing.T) {
	s := mustNew(t, "number", map[string]any{"abs_tol": 0.05})
	const want = `{"style":"last","abs_tol":0.05,"rel_tol":0,"prefix":"Answer"}`
	if s.Params() != want {
		t.Errorf("Params = %s, want %s", s.Params(), want)
	}
	if s.Name() != "number" || s.Type() != "number" || s.Version() != "2" {
		t.Errorf("%s %s %s", s.Name(), s.Type(), s.Version())
	}
	named, _ := New(Spec{Type: "exact", Name: "strict"})
	if named.Name() != "strict" || named.Params() != `{"remove":[],"normalize":[]}` {
		t.Errorf("%s %s", named.Name(), named.Params())
	}
}

// TestDefaultsAreNotShared: one plan's parameters must not become another's
// defaults.
func TestDefaultsAreNotShared(t *testing.T) {
	for range 2 {
		g, err := NewGrader(Spec{Type: "judge_grade",
			Params: map[string]any{"grades": map[string]any{"A": 1, "B": 0}, "params": map[string]any{"x": 1}}})
		if err != nil || g.Verdict("GRADE: A").Value == nil {
			t.Fatal(err)
		}
	}
	g, err := NewGrader(Spec{Type: "judge_grade"})
	if err != nil {
		t.Fatal(err)
	}
	if g.Verdict("GRADE: A").Value != nil || g.RequestParams()["x"] != nil {
		t.Error("the grades of an earlier judge became the default")
	}
}

// TestGSM8K scores the published solutions of four models, whose numbers of
// right answers are known. They end in "A: 18"; gsm8k_flexible, which takes
// the last number of the text, and our default both fit.
func TestGSM8K(t *testing.T) {
	path, ok := shared("data/datasets/gsm8k_example_model_solutions.jsonl")
	if !ok {
		t.Skip("the published solutions need ../shared")
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	right := map[string]int{"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458,
		"175b_verification": 742}
	got := map[string]map[string]int{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	rows := 0
	for ; lines.Scan(); rows++ {
		scoreSolutions(t, lines.Bytes(), right, got)
	}
	if rows != 1319 {
		t.Fatalf("%d rows", rows)
	}
	for style, counts := range got {
		for model, want := range right {
			if counts[model] != want {
				t.Errorf("%s, %s: %d right, want %d", style, model, counts[model], want)
			}
		}
	}
}

func scoreSolutions(t *testing.T, line []byte, models map[string]int, got map[string]map[string]int) {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(line, &row); err != nil {
		t.Fatal(err)
	}
	_, target, _ := strings.Cut(asText(row["ground_truth"]), "A: ")
	for _, style := range []string{"gsm8k_flexible", "last"} {
		s := mustNew(t, "number", map[string]any{"style": style})
		for model := range models {
			var solution struct {
				Solution string `json:"solution"`
				Correct  bool   `json:"is_correct"`
			}
			if err := json.Unmarshal(row[model], &solution); err != nil {
				t.Fatal(err)
			}
			right := *s.Score(Answer{Text: solution.Solution}, OneTarget(target)).Value == 1
			if right != solution.Correct {
				t.Errorf("%s, %s: scored %v, published as %v: %q", style, model, right, solution.Correct,
					solution.Solution)
			}
			if got[style] == nil {
				got[style] = map[string]int{}
			}
			if right {
				got[style][model]++
			}
		}
	}
}

// TestConcurrentUse runs one scorer of each kind from many goroutines; the
// race detector watches.
func TestConcurrentUse(t *testing.T) {
	cases := readCases(t, "testdata/cases.jsonl")
	var wg sync.WaitGroup
	for _, c := range cases {
		info, _ := Lookup(c.Scorer)
		if info.Kind != Pure || c.Error != nil {
			continue
		}
		s := mustNew(t, c.Scorer, c.Params)
		want, _ := json.Marshal(s.Score(asAnswer(c.Prediction), asTarget(c.Target)))
		for range 4 {
			wg.Go(func() {
				got, _ := json.Marshal(s.Score(asAnswer(c.Prediction), asTarget(c.Target)))
				if string(got) != string(want) {
					t.Errorf("%s: %s, then %s", c.ID, want, got)
				}
			})
		}
	}
	wg.Wait()
}

func TestFromRecord(t *testing.T) {
	r := nightshift.Record{
		ID: "q", Outcome: nightshift.OutcomeTruncated, Text: ptr("cut"), StopReason: ptr("max_tokens"),
		RawStopReason: ptr("length"),
		ToolCalls:     ptr(`[{"id":"1","name":"f","arguments":"{}"}]`), LatencyMS: ptr(12.0),
	}
	a, ok := FromRecord(&r)
	if !ok || a.Text != "cut" || a.StopReason != nightshift.StopMaxTokens || len(a.ToolCalls) != 1 ||
		a.ToolCalls[0].Name != "f" || *a.LatencyMS != 12 {
		t.Errorf("FromRecord = %+v, %v", a, ok)
	}
	r = nightshift.Record{Outcome: nightshift.OutcomeFailed}
	if _, ok := FromRecord(&r); ok {
		t.Error("a failed row can be scored")
	}
	if n := NotRun("timeout"); n.Status != nightshift.NotRun || n.Value != nil {
		t.Errorf("NotRun = %+v", n)
	}
}

func TestCorpusScore(t *testing.T) {
	s := mustNew(t, "bleu", nil).(Corpus)
	r := s.Score(Answer{Text: "a b c d e"}, OneTarget("a b c d f"))
	if r.Value != nil || r.Status != nightshift.Scored || text(r.Answer) != "[5,5,4,3,2,1,5,4,3,2]" {
		t.Errorf("Score = %+v %s", r, text(r.Answer))
	}
	if r := s.Score(Answer{}, nil); r.Status != nightshift.Unscored {
		t.Errorf("without a target: %+v", r)
	}
	if v := s.Statistic(nil); !math.IsNaN(v) {
		t.Errorf("Statistic of nothing = %v", v)
	}
}

// TestTargetOf: only a list of texts holds alternatives.
func TestTargetOf(t *testing.T) {
	for _, tc := range []struct {
		target string
		texts  []string
	}{
		{"x", nil}, {"[0,3]", nil}, {`["a","b"]`, []string{"a", "b"}}, {`["a",1]`, nil}, {"[null]", nil},
		{"[true, false]", nil}, {"[", nil},
	} {
		got := TargetOf(&nightshift.Record{Target: &tc.target})
		if got.Text != tc.target || !slices.Equal(got.Texts, tc.texts) {
			t.Errorf("%s: %q", tc.target, got.Texts)
		}
	}
	list := ptr(`["a","b"]`)
	if got := TargetOf(&nightshift.Record{Target: list, TargetIsList: ptr(false)}); got.Texts != nil {
		t.Errorf("a text of the dataset is a list: %q", got.Texts)
	}
	if got := TargetOf(&nightshift.Record{Target: list, TargetIsList: ptr(true)}); len(got.Texts) != 2 {
		t.Errorf("a list of the dataset is %q", got.Texts)
	}
	if TargetOf(&nightshift.Record{}) != nil {
		t.Error("a row without a target has one")
	}
}

// TestTargetProblem: what check can say before a run.
func TestRowProblem(t *testing.T) {
	for _, tc := range []struct {
		scorer string
		params map[string]any
		target *Target
		want   string // part of the problem; empty for none
	}{
		{"number", nil, OneTarget("18"), ""},
		{"number", nil, OneTarget("9:45"), "is not a number"},
		{"number", nil, &Target{Texts: []string{"5", "10-20"}}, `"10-20" is not a number`},
		{"number", nil, nil, "no target"},
		{"exact", nil, OneTarget(""), "empty"},
		{"exact", nil, &Target{Texts: []string{}}, "empty list"},
		{"choice", map[string]any{"choices": 4}, OneTarget("E"), "none of the 4 choices"},
		{"json_equal", nil, OneTarget("{"), "not JSON"},
		{"tool_names_f1", nil, OneTarget("{}"), "no name"},
		{"bleu", nil, nil, "no target"},
		{"regex", map[string]any{"pattern": "x"}, nil, ""},
		{"cost_max", map[string]any{"threshold": 1}, nil, ""},
		{"stop_reason", map[string]any{"equals": "stop"}, nil, ""},
		{"length_max", map[string]any{"threshold": 1, "unit": "output_tokens"}, nil, ""},
		{"json_valid", nil, nil, ""},
	} {
		got := RowProblem(mustNew(t, tc.scorer, tc.params), tc.target, "")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s of %+v: %q, want %q", tc.scorer, tc.target, got, tc.want)
		}
	}
}

// TestCanonical: answers that are equal to a scorer count as one answer in a
// vote, and no others.
func TestCanonical(t *testing.T) {
	squad := map[string]any{"normalize": "squad"}
	for _, tc := range []struct {
		scorer string
		params map[string]any
		target string
		a, b   string
		same   bool
	}{
		{"exact", nil, "x", "Yes", "yes", false},
		{"exact", squad, "x", "The cat.", "cat", true},
		{"exact", nil, "x", strings.Repeat("long", 50), strings.Repeat("long", 51), false},
		{"includes", nil, "x", " Yes", "yes", true},
		{"match", nil, "x", "Yes.", "yes", true},
		{"answer", nil, "x", "ANSWER: Paris", "so\nANSWER: paris", true},
		{"choice", map[string]any{"choices": 4}, "A", "Answer: (B)", "The answer is B.", true},
		{"choice", map[string]any{"choices": 4}, "A", "Answer: C", "The answer is B.", false},
		{"number", nil, "1", "it is 1,000", "$1000.00", true},
		{"number", nil, "18", "18%", "18.0", true},
		{"number", nil, "18%", "18%", "18", false},
		{"number", nil, "1/3", "2/6", `\frac{1}{3}`, true},
		{"math_string", nil, "x", `\frac12`, `1/2`, true},
		{"json_equal", nil, "{}", `{"a":1,"b":2}`, `{"b":2.0,"a":1}`, true},
		{"regex", map[string]any{"pattern": `<(.*)>`}, "x", "<Yes>", "it is <yes>", true},
	} {
		s := mustNew(t, tc.scorer, tc.params)
		a, b := s.Score(Answer{Text: tc.a}, OneTarget(tc.target)), s.Score(Answer{Text: tc.b}, OneTarget(tc.target))
		if a.Canonical == nil || b.Canonical == nil || (*a.Canonical == *b.Canonical) != tc.same {
			t.Errorf("%s: %q and %q are %q and %q, want the same: %v", tc.scorer, tc.a, tc.b, text(a.Canonical),
				text(b.Canonical), tc.same)
		}
	}
}
