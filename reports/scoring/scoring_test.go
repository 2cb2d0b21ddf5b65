package scoring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// newRun makes a run of rows and models; fill may change each record.
func newRun(t testing.TB, dir string, ids []string, models []string, fill func(r *nightshift.Record)) string {
	t.Helper()
	run, err := store.Open(dir, store.Identity{
		Name: "run", Tool: "test", Plan: json.RawMessage(`{}`), PlanHash: "p", DatasetHash: fmt.Sprint(len(ids)),
		DatasetRows: int64(len(ids)),
		Chunks:      []store.Chunk{{Rows: int64(len(ids))}}, Models: models, Epochs: 1,
	}, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range models {
		u, err := run.OpenShard(model, 0)
		if err != nil {
			t.Fatal(err)
		}
		for row, id := range ids {
			input, answer, target := `[{"role":"user","content":"What is `+id+`?"}]`, "It is "+model, "Paris"
			r := &nightshift.Record{
				Run: "run", Row: int64(row), ID: id, Model: model, RequestedModel: model, Outcome: nightshift.OutcomeOK,
				Input: &input, Text: &answer, Target: &target, RowHash: id, PromptHash: id,
			}
			if fill != nil {
				fill(r)
			}
			if err := u.Put(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := u.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Close("finished"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func scorer(t testing.TB, kind string, params map[string]any) scorers.Scorer {
	t.Helper()
	s, err := scorers.New(scorers.Spec{Type: kind, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("q%d", i)
	}
	return list
}

// TestScoringAgainIsIdentical: the same answers and scorers give the same file,
// in the order of the records, though several cores work on it.
func TestScoringAgainIsIdentical(t *testing.T) {
	dir := newRun(t, t.TempDir()+"/run", ids(3000), []string{"a", "b"}, func(r *nightshift.Record) {
		switch {
		case r.Row%7 == 0:
			class, why := "server", "HTTP 500"
			r.Outcome, r.Text, r.ErrorClass, r.ErrorMessage = nightshift.OutcomeFailed, nil, &class, &why
		case r.Row%11 == 0:
			r.Target = nil
		case r.Row%2 == 0:
			text := "Answer: Paris"
			r.Text = &text
		}
	})
	s := scorer(t, "includes", nil)
	d := scoring.Describe(s)
	path := filepath.Join(dir, "scores", "includes.parquet")
	var first []byte
	for range 2 {
		tallies, err := scoring.Write(t.Context(), dir, d, scoring.Pure(s))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(b, first) {
			t.Error("scored again, the table is another")
		}
		first = b
		if tallies[0].Errors != 429 || tallies[0].Rows() != 3000 || tallies[1].Model != "b" {
			t.Errorf("tallies %+v", tallies)
		}
	}
	row := int64(0)
	for got, err := range view.Scores(dir, "includes") {
		if err != nil {
			t.Fatal(err)
		}
		if got.Row != row%3000 {
			t.Fatalf("score %d is of row %d", row, got.Row)
		}
		want := nightshift.Scored
		switch r := row % 3000; {
		case r%7 == 0:
			want = nightshift.NotRun
		case r%11 == 0:
			want = nightshift.Unscored
		}
		if got.Status != want || (got.Value != nil) != (want == nightshift.Scored) {
			t.Fatalf("row %d: %s, value %v, want %s", got.Row, got.Status, got.Value, want)
		}
		if want == nightshift.NotRun && *got.Explanation != "server: HTTP 500" {
			t.Fatalf("row %d: explanation %q", got.Row, *got.Explanation)
		}
		row++
	}
	if row != 6000 {
		t.Errorf("%d scores, want 6000", row)
	}
}

func TestPanicOfAScorerLeavesOneAnswerUnscored(t *testing.T) {
	dir := newRun(t, t.TempDir()+"/run", ids(300), []string{"a"}, nil)
	d := scoring.Described{Name: "odd", Type: "odd", Params: json.RawMessage(`{}`)}
	tallies, err := scoring.Write(t.Context(), dir, d,
		func(_ context.Context, r *nightshift.Record) (scorers.Result, error) {
			if r.Row == 17 {
				panic("odd answer")
			}
			one := 1.0
			return scorers.Result{Value: &one, Status: nightshift.Scored}, nil
		})
	if err != nil || tallies[0].Scored != 299 || tallies[0].Unscored != 1 {
		t.Errorf("tallies %+v, %v", tallies, err)
	}
}

func TestScoringErrorKeepsTheOldTable(t *testing.T) {
	dir := newRun(t, t.TempDir()+"/run", ids(2000), []string{"a"}, nil)
	s := scorer(t, "includes", nil)
	d := scoring.Describe(s)
	if _, err := scoring.Write(t.Context(), dir, d, scoring.Pure(s)); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	_, err := scoring.Write(t.Context(), dir, d, func(_ context.Context, r *nightshift.Record) (scorers.Result, error) {
		if r.Row == 1500 {
			return scorers.Result{}, boom
		}
		return scorers.Result{Status: nightshift.Unscored}, nil
	})
	if !errors.Is(err, boom) {
		t.Errorf("Write = %v, want %v", err, boom)
	}
	for got, err := range view.Scores(dir, "includes") {
		if err != nil || got.Status != nightshift.Scored {
			t.Fatalf("the old table is gone: %v, %v", got.Status, err)
		}
	}
}

func TestTableNames(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"number", "a/b", "a_b", "a b", "../x", "é", "", strings.Repeat("x", 100),
		strings.Repeat("x", 101)} {
		table := scoring.Described{Name: name}.Table()
		if seen[table] || table == "" || strings.ContainsAny(table, "/ é") || strings.HasPrefix(table, ".") ||
			len(table) > 60 {
			t.Errorf("%q is kept as %q", name, table)
		}
		seen[table] = true
	}
	if got := (scoring.Described{Name: "number"}).Table(); got != "number" {
		t.Errorf("a plain name is kept as %q", got)
	}
}

func TestEvaluationKeepsOrder(t *testing.T) {
	dir := t.TempDir()
	e := scoring.Evaluation{Baseline: "m", Gates: []string{"error_rate < 1%"}}
	for _, name := range []string{"z", "a", "z"} {
		e.Put(scoring.Described{Name: name, Params: json.RawMessage(`{}`)})
	}
	if err := e.WriteFile(dir); err != nil {
		t.Fatal(err)
	}
	got, err := scoring.ReadEvaluation(dir)
	if err != nil || len(got.Scorers) != 2 || got.Scorers[0].Name != "z" || got.Gates[0] != e.Gates[0] {
		t.Errorf("read back %+v, %v", got, err)
	}
	if none, err := scoring.ReadEvaluation(t.TempDir()); err != nil || none.Scorers != nil {
		t.Errorf("without a file: %+v, %v", none, err)
	}
}

// TestTargetsThatAreLists: alternatives exist only where the dataset had a list, also when answers
// on record are scored; runs of before that was kept have them wherever a target looks like a list.
func TestTargetsThatAreLists(t *testing.T) {
	isList := []*bool{new(true), new(false), nil}
	dir := newRun(t, t.TempDir()+"/run", ids(6), []string{"m"}, func(r *nightshift.Record) {
		target, text := `["Paris","Lyon"]`, "Lyon"
		if r.Row >= 3 {
			text = target
		}
		r.Target, r.Text, r.TargetIsList = &target, &text, isList[r.Row%3]
	})
	s := scorer(t, "exact", nil)
	if _, err := scoring.Write(t.Context(), dir, scoring.Describe(s), scoring.Pure(s)); err != nil {
		t.Fatal(err)
	}
	var got []float64
	for one, err := range view.Scores(dir, "exact") {
		if err != nil || one.Value == nil {
			t.Fatalf("%+v: %v", one, err)
		}
		got = append(got, *one.Value)
	}
	if want := []float64{1, 0, 1, 0, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("scores %v, want %v", got, want)
	}
}
