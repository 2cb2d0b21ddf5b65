package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// faultyRun is a run of two models some of whose answers broke off, with a
// scorer, a name that needs quoting and a folder that looks like a pattern.
func faultyRun(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "it's [a] *run?")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	for i := range 60 {
		fmt.Fprintf(&rows, `{"prompt": "What is %d + 25? End with 'Answer: <number>'.", "target": "%d"}`+"\n", i, i+25)
	}
	plan := `dataset: {path: rows.jsonl}
endpoints: {s: {preset: simulator, simulator: {seed: 3, faults: [cut_stream=20%]}}}
models:
  - {name: large, endpoint: s, model: sim-large, price: {input: 1, output: 5}, stream: true,
     params: {max_tokens: 200}}
  - {name: "it's \"small\".1", endpoint: s, model: sim-small, price: {input: 1, output: 5}, stream: true,
     params: {max_tokens: 200}}
scorers: [{type: number, name: "it's a number"}]
retry: {attempts: 1}
tolerate_failed: 100%
out: out
`
	for name, text := range map[string]string{"rows.jsonl": rows.String(), "plan.yaml": plan} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errs := call(t, t.Context(), "run", "-q", filepath.Join(dir, "plan.yaml")); code != 0 {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	return filepath.Join(dir, "out")
}

// TestSQL opens the views with DuckDB: they hold what the bill and the wide
// export say. NIGHTSHIFT_DUCKDB_1 is a Python that has DuckDB 1, which does not
// understand all that DuckDB 2 does.
func TestSQL(t *testing.T) {
	var pythons []string
	for _, python := range []string{"python3", os.Getenv("NIGHTSHIFT_DUCKDB_1")} {
		if python != "" && exec.Command(python, "-c", "import duckdb").Run() == nil {
			pythons = append(pythons, python)
		}
	}
	if pythons == nil {
		t.Skip("needs python3 with duckdb")
	}
	dir := faultyRun(t)
	if code, out, errs := call(t, t.Context(), "sql", dir); code != 0 || !strings.Contains(out, "duckdb -init") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	wide := filepath.Join(t.TempDir(), "wide.parquet")
	if code, _, errs := call(t, t.Context(), "export", dir, "--wide", "-o", wide); code != 0 {
		t.Fatal(errs)
	}
	for _, python := range pythons {
		checkViews(t, python, dir, wide)
	}
}

// checkViews opens the views of a run with the DuckDB of a Python.
func checkViews(t *testing.T, python, dir, wide string) {
	t.Helper()
	said, err := exec.Command(python, "testdata/views_check.py", filepath.Join(dir, "views.sql"), wide).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var got struct {
		Rows, Scored    int64
		Cost, CostMost  float64
		Maybe, Unscored int64
	}
	if err := json.Unmarshal(said, &got); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	_, out, _ := call(t, t.Context(), "cost", dir, "--json")
	var bill struct {
		Total struct {
			Rows   int64 `json:"rows"`
			AtMost int64 `json:"at_most_nano_usd"`
		} `json:"total"`
	}
	if err := json.Unmarshal([]byte(out), &bill); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	switch most := float64(bill.Total.AtMost) / 1e9; {
	case got.Rows != 120 || bill.Total.Rows != 120:
		t.Errorf("%d rows in the views, %d on the bill", got.Rows, bill.Total.Rows)
	case got.CostMost < most*(1-1e-9) || got.CostMost > most*(1+1e-9):
		t.Errorf("at most $%v by the view, $%v by the bill", got.CostMost, most)
	case got.Maybe == 0 || !(got.CostMost > got.Cost):
		t.Errorf("no answer of this run broke off: %+v", got)
	case got.Scored+got.Unscored != 120 || got.Scored == 0:
		t.Errorf("%+v", got)
	}
}

// TestSQLWithoutParquet: a run whose rows are all in its journal has nothing
// to view.
func TestSQLWithoutParquet(t *testing.T) {
	dir := faultyRun(t)
	for _, name := range []string{"results", "manifest.jsonl"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	code, _, errs := call(t, t.Context(), "sql", dir)
	if code != 2 || !strings.Contains(errs, "nightshift export") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
