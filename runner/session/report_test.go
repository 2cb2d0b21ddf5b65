package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/runner/plan"
)

// simulated is a plan of so many questions for one simulated model; more is
// further YAML.
func simulated(t *testing.T, rows int, more string) *plan.Resolved {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, `{"prompt": "What is %d + 1?", "target": "%d"}`+"\n", i, i+1)
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return resolved(t, dir, more)
}

func resolved(t *testing.T, dir, more string) *plan.Resolved {
	t.Helper()
	return planIn(t, dir, `version: 1
dataset: {path: rows.jsonl}
models: [{name: m, endpoint: simulator, model: sim-large, params: {max_tokens: 100}}]
out: out
`+more)
}

// planIn is the plan of a text that stands in dir, with an empty environment.
func planIn(t *testing.T, dir, text string) *plan.Resolved {
	t.Helper()
	p, err := plan.Parse(filepath.Join(dir, "plan.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// again is the same run with other further YAML.
func again(t *testing.T, p *plan.Resolved, more string) *plan.Resolved {
	t.Helper()
	return resolved(t, filepath.Dir(p.Out), more)
}

// TestReportErrorsAreTold: a report that cannot be made or written is told of
// however the run ended, beside the reason for its end.
func TestReportErrorsAreTold(t *testing.T) {
	report := func(dir string, e *end) { newSession(&plan.Resolved{Out: dir}, Options{}).report(nil, e) }
	interrupted := errors.New("interrupted with 3 of 9 answers on record")
	e := end{"interrupted", &Error{Interrupted, interrupted}}
	report(filepath.Join(t.TempDir(), "none"), &e)
	if ReasonOf(e.err) != Interrupted || !errors.Is(e.err, interrupted) ||
		!strings.Contains(e.err.Error(), "report cannot be made") {
		t.Errorf("no run directory: %v", e.err)
	}

	// A directory stands where report.md is to be.
	p := simulated(t, 20, "budget: {tokens: 400}\n")
	if _, err := Run(t.Context(), p, Options{}); err == nil || ReasonOf(err) != Stopped {
		t.Fatalf("the run ended with %v", err)
	}
	if err := errors.Join(os.Remove(filepath.Join(p.Out, "report.md")),
		os.Mkdir(filepath.Join(p.Out, "report.md"), 0o700)); err != nil {
		t.Fatal(err)
	}
	e = end{"interrupted", &Error{Interrupted, interrupted}}
	report(p.Out, &e)
	if ReasonOf(e.err) != Storage || !errors.Is(e.err, interrupted) || !strings.Contains(e.err.Error(), "report.md") {
		t.Errorf("report.md in the way: %v", e.err)
	}
}
