package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
	"nightshift/runner/store/view"
)

// realDatasets is the folder of published datasets, which stands beside the
// checkout and is no part of it.
func realDatasets(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(repository(t), "../shared/data/datasets")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("runs published datasets: needs ../shared/data/datasets beside the checkout")
	}
	return dir
}

// TestPublishedDatasets runs every published file on the simulator with its
// path alone, and a template of one line where the field names are the file's
// own: every row is answered, and ids, targets and metadata reach the Parquet.
func TestPublishedDatasets(t *testing.T) {
	t.Parallel()
	dir := realDatasets(t)
	for _, tc := range []struct {
		file     string
		flags    []string
		rows     int
		firstID  string
		targets  int
		target   string // of the first row
		metadata string // a field of the first row's metadata
	}{
		{"gsm8k_test.jsonl", nil, 1319, "0", 1319, "18", "answer"},
		{"gsm8k_example_model_solutions.jsonl", []string{"--prompt", "{{ question }}", "--target",
			"{{ ground_truth }}"}, 1319, "0", 1319, "Janet sells 16 - 3 - 4", "175b_verification"},
		{"HumanEval.jsonl.gz", nil, 164, "HumanEval/0", 0, "", "canonical_solution"},
		{"mt_bench_question.jsonl", nil, 80, "81", 39, "", ""},
		{"mt_bench_reference_gpt-4.jsonl", []string{"--prompt", "{{ choices[0].turns[0] }}"}, 30, "101", 0, "",
			"model_id"},
		{"sharegpt_dummy_conversation.json", []string{"--target", "last_assistant"}, 500, "identity_0", 500, "You too!",
			""},
		{"aqua_test.jsonl", []string{"--prompt", "{{ question }} {{ options | join(' ') }}", "--target",
			"{{ correct }}"}, 254, "0", 254, "A", "rationale"},
		{"persona_agreeableness.jsonl", []string{"--prompt", "{{ question }}", "--target",
			"{{ answer_matching_behavior }}"}, 1000, "0", 1000, " Yes", "label_confidence"},
	} {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "run")
			args := append([]string{"run", "-q", "--dataset", filepath.Join(dir, tc.file), "--model",
				"simulator/sim-large", "--max-tokens", "300", "--raw", "none", "--out", out}, tc.flags...)
			if code, _, errs := call(t, t.Context(), args...); code != exitOK {
				t.Fatalf("exit code %d\n%s", code, errs)
			}
			rows, targets := 0, 0
			for r, err := range view.Rows[nightshift.Record](out, view.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				if rows == 0 {
					checkFirst(t, r, tc.firstID, tc.target, tc.metadata)
				}
				if rows++; r.Target != nil {
					targets++
				}
				if !r.Outcome.Answered() && r.Outcome != nightshift.OutcomeTruncated {
					t.Fatalf("row %d: %s %s", r.Row, r.Outcome, deref(r.ErrorMessage))
				}
			}
			if rows != tc.rows || targets != tc.targets {
				t.Errorf("%d rows, %d targets; want %d and %d", rows, targets, tc.rows, tc.targets)
			}
		})
	}
}

func checkFirst(t *testing.T, r nightshift.Record, id, target, field string) {
	t.Helper()
	var metadata map[string]json.RawMessage
	if r.Metadata != nil {
		if err := json.Unmarshal([]byte(*r.Metadata), &metadata); err != nil {
			t.Error(err)
		}
	}
	switch {
	case r.ID != id:
		t.Errorf("the first id is %q, want %q", r.ID, id)
	case !strings.HasPrefix(deref(r.Target), target):
		t.Errorf("the first target is %q, want %q", deref(r.Target), target)
	case field != "" && metadata[field] == nil:
		t.Errorf("the metadata lack %s: %s", field, deref(r.Metadata))
	}
}

// TestTurns sees that each turn waits for the answer before it: the last
// request holds the first answer between the two questions, and both requests
// are accounted for.
func TestTurns(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "turns.jsonl")
	row := `{"question_id": 7, "category": "math", "turns": ["What is 17 + 25?", "And what is 3 + 4?"], ` +
		`"reference": ["42", "7"]}`
	if err := os.WriteFile(data, []byte(row+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "run")
	if code, _, errs := call(t, t.Context(), "run", "-q", "--dataset", data, "--model", "simulator/sim-large",
		"--max-tokens", "100", "--out", out); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	for r, err := range view.Rows[nightshift.Record](out, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		var messages []struct{ Role, Content string }
		if err := json.Unmarshal([]byte(deref(r.Input)), &messages); err != nil || len(messages) != 3 {
			t.Fatalf("the input is %s (%v), want three messages", deref(r.Input), err)
		}
		if messages[1].Role != "assistant" || messages[1].Content == "" || messages[2].Content != "And what is 3 + 4?" {
			t.Errorf("the second turn was asked after %+v", messages)
		}
		if deref(r.Text) == "" || r.ID != "7" || deref(r.Category) != "math" || r.Attempts != 2 {
			t.Errorf("text %q, id %s, category %q, %d attempts", deref(r.Text), r.ID, deref(r.Category), r.Attempts)
		}
	}
}
