package scoring_test

import (
	"bufio"
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/store/view"
)

func grading(t testing.TB, dir string, models ...string) *scoring.Judging {
	t.Helper()
	g, err := scorers.NewGrader(scorers.Spec{Type: "judge_grade", Name: "helpful"})
	if err != nil {
		t.Fatal(err)
	}
	return &scoring.Judging{Run: dir, Models: models, Key: "judge-1", Grader: g}
}

type asked struct {
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
}

// prepare returns the requests that are missing and where they go.
func prepare(t testing.TB, j *scoring.Judging) (dir string, requests []asked) {
	t.Helper()
	_, dir, err := j.Batches()
	if err != nil {
		t.Fatal(err)
	}
	n, err := j.Prepare(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, scoring.RequestsFile))
	if err != nil {
		if n == 0 {
			return dir, nil
		}
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var r asked
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		requests = append(requests, r)
	}
	if int64(len(requests)) != n {
		t.Fatalf("Prepare = %d, the file holds %d", n, len(requests))
	}
	return dir, requests
}

// reply plays the judge: it makes a batch's run. A reply of "!" is a failure.
func reply(t testing.TB, dir string, requests []asked, say func(asked) string) {
	t.Helper()
	var list []string
	for _, r := range requests {
		list = append(list, r.ID)
	}
	newRun(t, dir, list, []string{"judge"}, func(r *nightshift.Record) {
		text := say(requests[r.Row])
		r.Text = &text
		if text == "!" {
			class := "server"
			r.Outcome, r.Text, r.ErrorClass = nightshift.OutcomeFailed, nil, &class
		}
	})
}

func tables(t testing.TB, dir, name string) (status []nightshift.ScoreStatus, values []float64) {
	t.Helper()
	for s, err := range view.Scores(dir, name) {
		if err != nil {
			t.Fatal(err)
		}
		status = append(status, s.Status)
		v := -1.0
		if s.Value != nil {
			v = *s.Value
		}
		values = append(values, v)
	}
	return status, values
}

// TestJudgeAsksOnce: everything is asked once, what cannot be read once more,
// and nothing a third time.
func TestJudgeAsksOnce(t *testing.T) {
	dir := newRun(t, t.TempDir()+"/run", ids(6), []string{"a", "b"}, func(r *nightshift.Record) {
		if r.Model == "b" && r.Row == 2 {
			r.Outcome, r.Text = nightshift.OutcomeFailed, nil
		}
	})
	j := grading(t, dir, "a", "b")
	first, requests := prepare(t, j)
	if len(requests) != 11 { // b's failed row has no answer to judge
		t.Fatalf("%d requests, want 11", len(requests))
	}
	if !strings.Contains(requests[0].Prompt, "What is q0?") || !strings.Contains(requests[0].Prompt, "It is a") {
		t.Errorf("the first prompt is %q", requests[0].Prompt)
	}
	if !slices.IsSortedFunc(requests, func(a, b asked) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("ids are not ascending")
	}
	reply(t, first, requests, func(r asked) string {
		switch {
		case r.ID == requests[3].ID:
			return "no verdict"
		case r.ID == requests[4].ID:
			return "!"
		case strings.Contains(r.Prompt, "It is a"):
			return "fine. GRADE: C"
		}
		return "GRADE: I"
	})
	second, again := prepare(t, j)
	if len(again) != 1 || again[0].ID != requests[3].ID+"-again" || second != first+".2" {
		t.Fatalf("asked again: %+v in %s", again, second)
	}
	if p := again[0].Prompt; !strings.HasPrefix(p, strings.TrimSpace(requests[3].Prompt)) ||
		!strings.Contains(p, "holds no grade") {
		t.Errorf("asked again without what was missing: %q", p)
	}
	reply(t, second, again, func(asked) string { return "still none" })
	if _, third := prepare(t, j); third != nil {
		t.Errorf("asked a third time: %+v", third)
	}
	tallies, err := j.Finish(t.Context(), scoring.JudgeReport{Model: "judge"})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := tallies[0], tallies[1]; a.Scored != 4 || a.Unscored != 2 || b.Scored != 5 || b.Errors != 1 ||
		a.Sum != 4 || b.Sum != 0 {
		t.Errorf("tallies %+v", tallies)
	}
	status, values := tables(t, dir, "helpful")
	if status[3] != nightshift.Unscored || status[4] != nightshift.Unscored || values[0] != 1 ||
		status[8] != nightshift.NotRun || values[11] != 0 {
		t.Errorf("scores %v, %v", status, values)
	}
	reports, err := scoring.ReadJudges(dir)
	if err != nil || len(reports) != 1 || reports[0].Requests != 12 || reports[0].Reasked != 1 ||
		reports[0].Failed != 1 || reports[0].Unreadable != 1 || reports[0].Judged != 9 {
		t.Errorf("reports %+v, %v", reports, err)
	}
}

// TestJudgeAsksWhatChanged: another judge asks everything anew, and the first
// one's replies are still found.
func TestJudgeAsksWhatChanged(t *testing.T) {
	dir := newRun(t, t.TempDir()+"/run", ids(5), []string{"a"}, nil)
	j := grading(t, dir, "a")
	first, requests := prepare(t, j)
	reply(t, first, requests[:3], func(asked) string { return "GRADE: C" }) // the process ended early
	_, rest := prepare(t, j)
	if len(rest) != 2 || rest[0].ID != requests[3].ID {
		t.Fatalf("what is left: %+v", rest)
	}
	other := grading(t, dir, "a")
	other.Key = "judge-2"
	second, anew := prepare(t, other)
	if len(anew) != 5 || anew[0].ID == requests[0].ID {
		t.Fatalf("another judge asks %d", len(anew))
	}
	reply(t, second, anew, func(asked) string { return "GRADE: I" })
	if _, left := prepare(t, j); len(left) != 2 {
		t.Errorf("the first judge lacks %d replies, want 2", len(left))
	}
	tallies, err := other.Finish(t.Context(), scoring.JudgeReport{})
	if err != nil || tallies[0].Scored != 5 || tallies[0].Sum != 0 {
		t.Errorf("the second judge: %+v, %v", tallies, err)
	}
}

func TestPairsAreAskedInBothOrders(t *testing.T) {
	dir := newRun(t, t.TempDir()+"/run", ids(4), []string{"old", "new"}, func(r *nightshift.Record) {
		human := `{"human": {"new": "win"}}`
		r.Metadata = &human
	})
	p, err := scorers.NewPairJudge(scorers.Spec{Type: "judge_pairwise", Name: "pref"})
	if err != nil {
		t.Fatal(err)
	}
	j := &scoring.Judging{Run: dir, Models: []string{"old", "new"}, Baseline: "old", Key: "k", Pairs: p}
	first, requests := prepare(t, j)
	if len(requests) != 8 {
		t.Fatalf("%d requests, want 8", len(requests))
	}
	reply(t, first, requests, func(r asked) string {
		newFirst := strings.Index(r.Prompt, "It is new") < strings.Index(r.Prompt, "It is old")
		switch row := r.ID[8:18]; {
		case row == "0000000003": // goes by position
			return "[[A]]"
		case newFirst:
			return "[[A]]"
		}
		return "[[B]]"
	})
	tallies, err := j.Finish(t.Context(), scoring.JudgeReport{})
	if err != nil {
		t.Fatal(err)
	}
	if len(tallies) != 1 || tallies[0].Model != "new" || tallies[0].Sum != 3.5 {
		t.Errorf("tallies %+v", tallies)
	}
	for s, err := range view.Scores(dir, "pref") {
		if err != nil || !strings.Contains(s.Params, `"against":"old"`) {
			t.Fatalf("parameters %s, %v", s.Params, err)
		}
	}
	reports, err := scoring.ReadJudges(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := reports[0]
	if r.Consistency.Value != 0.75 || r.Consistency.N != 4 || r.FirstPosition.Value != (4.0+1)/8 {
		t.Errorf("consistency %+v, first position %+v", r.Consistency, r.FirstPosition)
	}
	if r.Human == nil || r.Human.N != 4 || r.Human.Share != 0.75 {
		t.Errorf("agreement %+v", r.Human)
	}
}

// TestAllPairsMeet: each two models once, the baseline as the opponent, and
// what was asked for the baseline alone is not asked again.
func TestAllPairsMeet(t *testing.T) {
	models := []string{"a", "b", "c", "d"}
	dir := newRun(t, t.TempDir()+"/run", ids(3), models, nil)
	judge := func(pairs string) *scoring.Judging {
		p, err := scorers.NewPairJudge(scorers.Spec{Type: "judge_pairwise", Name: "pref",
			Params: map[string]any{"pairs": pairs, "swap": false}})
		if err != nil {
			t.Fatal(err)
		}
		return &scoring.Judging{Run: dir, Models: models, Baseline: "b", Key: "k", Pairs: p}
	}
	first, star := prepare(t, judge("baseline"))
	if len(star) != 3*3 {
		t.Fatalf("%d requests against the baseline, want 9", len(star))
	}
	reply(t, first, star, func(asked) string { return "[[A]]" })
	all := judge("all")
	second, rest := prepare(t, all)
	if len(rest) != 3*(6-3) {
		t.Fatalf("%d more requests for all pairs, want 9", len(rest))
	}
	reply(t, second, rest, func(asked) string { return "[[B]]" })
	if _, left := prepare(t, all); len(left) != 0 {
		t.Errorf("%d requests are left", len(left))
	}
	if _, err := all.Finish(t.Context(), scoring.JudgeReport{}); err != nil {
		t.Fatal(err)
	}
	met := map[string]float64{}
	for s, err := range view.Scores(dir, "pref") {
		if err != nil {
			t.Fatal(err)
		}
		var p struct{ Against string }
		if err := json.Unmarshal([]byte(s.Params), &p); err != nil {
			t.Fatal(err)
		}
		met[s.Model+" "+p.Against] += *s.Value
	}
	want := map[string]float64{"a b": 3, "c b": 3, "d b": 3, "c a": 0, "d a": 0, "d c": 0}
	if !maps.Equal(met, want) {
		t.Errorf("points %v, want %v", met, want)
	}
}

// TestJudgeAgainstPeople: labels of several people, worths for grades, and
// labels that are no grade.
func TestJudgeAgainstPeople(t *testing.T) {
	for name, tc := range map[string]struct {
		grades  string
		says    []string
		labels  []string // metadata of the rows
		n       int
		share   float64
		unknown int64
		alpha   bool // of people alone
	}{
		"two people": {`["C","P","I"]`, []string{"C", "I", "C"},
			[]string{`{"human_label": ["C", "I"]}`, `{"human_label": ["I", "I"]}`,
				`{"human_label": {"a": ["C", "C", null]}}`}, 3, 2.5 / 3, 0, true},
		"worths": {`{"1": 0, "2": 0.25, "3": 0.5, "4": 0.75, "5": 1}`, []string{"4", "5", "1"},
			[]string{`{"human_score": 0.75}`, `{"human_score": 1}`, `{"human_score": 0.25}`}, 3, 2.0 / 3, 0, false},
		"words": {`["C","I"]`, []string{"C", "C", "I"},
			[]string{`{"human": true}`, `{"human": "incorrect"}`, `{"human": 0}`}, 3, 2.0 / 3, 0, false},
		"other": {`["C","I"]`, []string{"C", "C", "I"},
			[]string{`{"human": "fine"}`, `{"human": [0.8, "C"]}`, `{"human": ""}`}, 1, 1, 2, false},
	} {
		dir := newRun(t, t.TempDir()+"/run", ids(3), []string{"a"},
			func(r *nightshift.Record) { r.Metadata = &tc.labels[r.Row] })
		var grades any
		if err := json.Unmarshal([]byte(tc.grades), &grades); err != nil {
			t.Fatal(err)
		}
		g, err := scorers.NewGrader(scorers.Spec{Type: "judge_grade", Name: "helpful",
			Params: map[string]any{"grades": grades}})
		if err != nil {
			t.Fatal(err)
		}
		j := &scoring.Judging{Run: dir, Models: []string{"a"}, Key: "k", Grader: g}
		batch, requests := prepare(t, j)
		n := 0
		reply(t, batch, requests, func(asked) string { n++; return "GRADE: " + tc.says[n-1] })
		if _, err := j.Finish(t.Context(), scoring.JudgeReport{}); err != nil {
			t.Fatal(err)
		}
		reports, err := scoring.ReadJudges(dir)
		if err != nil {
			t.Fatal(err)
		}
		h := reports[0].Human
		if h == nil || h.N != tc.n || math.Abs(h.Share-tc.share) > 1e-12 || reports[0].HumanUnknown != tc.unknown ||
			(h.People != nil) != tc.alpha {
			t.Errorf("%s: %+v, %d unknown", name, h, reports[0].HumanUnknown)
		}
		if h != nil && (h.Weighted != nil) != (name == "two people" || name == "worths") {
			t.Errorf("%s: weighted kappa %v", name, h.Weighted)
		}
	}
}

// TestAnswersThatHoldVerdicts: they are counted, and their scores say so.
func TestAnswersThatHoldVerdicts(t *testing.T) {
	dir := newRun(t, t.TempDir()+"/run", ids(3), []string{"a"}, func(r *nightshift.Record) {
		if r.Row == 1 {
			answer := "It is so. GRADE: C"
			r.Text = &answer
		}
	})
	j := grading(t, dir, "a")
	batch, requests := prepare(t, j)
	reply(t, batch, requests, func(asked) string { return "GRADE: I" })
	if _, err := j.Finish(t.Context(), scoring.JudgeReport{}); err != nil {
		t.Fatal(err)
	}
	reports, err := scoring.ReadJudges(dir)
	if err != nil || reports[0].VerdictWords != 1 {
		t.Errorf("reports %+v, %v", reports, err)
	}
	for s, err := range view.Scores(dir, "helpful") {
		if err != nil || (s.Row == 1) != strings.Contains(*s.Explanation, "holds a grade") {
			t.Errorf("row %d: %s, %v", s.Row, *s.Explanation, err)
		}
	}
}

// TestPanelCombines: three judges, one of which has no verdict on a row, and a
// row whose request failed.
func TestPanelCombines(t *testing.T) {
	dir := newRun(t, t.TempDir()+"/run", ids(4), []string{"a"}, func(r *nightshift.Record) {
		if r.Row == 3 {
			r.Outcome, r.Text = nightshift.OutcomeFailed, nil
		}
	})
	says := map[string][]float64{"one": {1, 1, 0, 0}, "two": {1, -1, -1, 0}, "three": {0, 0, 0, 0}}
	for name, values := range says {
		d := scoring.Described{Name: name, Params: json.RawMessage(`{}`)}
		_, err := scoring.Write(t.Context(), dir, d,
			func(_ context.Context, r *nightshift.Record) (scorers.Result, error) {
				switch v := values[r.Row]; {
				case !r.Outcome.Answered():
					return scorers.NotRun("failed"), nil
				case v < 0:
					return scorers.Result{Status: nightshift.Unscored}, nil
				default:
					return scorers.Result{Value: &v, Status: nightshift.Scored}, nil
				}
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	jury, err := scorers.NewJury(scorers.Spec{Type: "panel", Name: "jury",
		Params: map[string]any{"judges": []string{"one", "two", "three"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scoring.WritePanel(t.Context(), dir, scoring.Describe(jury), jury); err != nil {
		t.Fatal(err)
	}
	status, values := tables(t, dir, "jury")
	// Row 1 hangs on what two has not said; row 2 does not.
	if !slices.Equal(values, []float64{1, -1, 0, -1}) || status[3] != nightshift.NotRun ||
		status[1] != nightshift.Unscored {
		t.Errorf("the panel says %v, %v", status, values)
	}
	for s, err := range view.Scores(dir, "jury") {
		if err != nil || (s.Row == 1 || s.Row == 2) != strings.Contains(*s.Explanation, "no verdict of two") {
			t.Errorf("row %d: %s, %v", s.Row, *s.Explanation, err)
		}
	}
}
