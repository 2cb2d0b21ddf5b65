package datasets_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
	"nightshift/datasets"
)

// shared is the folder of real datasets, which stands beside the repository
// and is no part of it.
func shared(t testing.TB) string {
	t.Helper()
	for dir, _ := filepath.Abs("."); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			found := filepath.Join(dir, "..", "shared", "data", "datasets")
			if _, err := os.Stat(found); err != nil {
				t.Skip("reads real datasets: needs ../shared/data/datasets beside the repository")
			}
			return found
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above")
		}
	}
}

// realSum is the SHA-256 of the file, so that the test fails in words when the
// data is not what its figures were taken from.
func realSum(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
		t.Fatalf("%s is another file than this test knows", path)
	}
}

func TestRealDatasets(t *testing.T) {
	dir := shared(t)
	oneLine := func(s string) datasets.Spec { return datasets.Spec{Prompt: s} }
	for _, tc := range []struct {
		file, sum string
		spec      datasets.Spec
		info      string
		rows      int
		firstID   string
		lastID    string
		targets   int
		target    string // of the first row that has one
		metadata  string // keys of the first row's metadata, in order
		prompt    string // beginning of the first prompt
	}{
		{"gsm8k_test.jsonl", "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14", datasets.Spec{},
			"question/answer, 1,319 rows, target after ####, JSON lines", 1319, "0", "1318", 1319, "18", "answer",
			"Janet’s ducks lay 16 eggs"},
		{"gsm8k_example_model_solutions.jsonl", "4bc62db838f8418365d51c627bd66294cbdca9fb7f01519cb13f0dce8c51580b",
			datasets.Spec{Prompt: "{{ question }}", Fields: map[string]string{"target": "ground_truth"}},
			"prompt template, 1,319 rows, target in ground_truth, JSON lines", 1319, "0", "1318", 1319,
			"Janet sells 16 - 3 - 4",
			"question 6b_finetuning 6b_verification 175b_finetuning 175b_verification", "Janet’s ducks"},
		{"HumanEval.jsonl.gz", "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef", datasets.Spec{},
			"prompt, 164 rows, no target, JSON lines in gzip", 164, "HumanEval/0", "HumanEval/163", 0, "",
			"entry_point canonical_solution test", "from typing import List\n\n\ndef has_close_elements"},
		{"mt_bench_question.jsonl", "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7", datasets.Spec{},
			"turns, 80 rows, target in reference, JSON lines", 80, "81", "160", 39, `["`, "",
			"Compose an engaging travel blog"},
		{"mt_bench_reference_gpt-4.jsonl", "f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
			datasets.Spec{Prompt: "{{ choices[0].turns[0] }}",
				Fields: map[string]string{"target": "choices.0.turns.1", "category": "model_id"}},
			"prompt template, 30 rows, target in choices.0.turns.1, JSON lines", 30, "101", "130", 30,
			"If you have just overtaken the last person", "answer_id choices tstamp",
			"If you have just overtaken the second"},
		{"sharegpt_dummy_conversation.json", "534c5a1079f2eb61ff96633330ce87c4743f5b6d5b1691b44a65920473540470",
			datasets.Spec{Target: "last_assistant"},
			"conversations, 500 rows, target is the last assistant message, one JSON list", 500, "identity_0",
			"identity_499", 500, "You too!", "", "Who are you?"},
		{"aqua_test.jsonl", "de41581881ef95c5588c44ddc701c77fd480839241dd422a0d181262af24520c",
			datasets.Spec{Prompt: "{{ question }}\n{% for o in options %}{{ o }}\n{% endfor %}",
				Target: "{{ correct }}"},
			"prompt template, 254 rows, target from a template, JSON lines", 254, "0", "253", 254, "A",
			"question options rationale correct", "A car is being driven, in a straight line"},
		{"persona_agreeableness.jsonl", "8caa0fa07946370fb4ec38dd82eda7d3a86591c1dc701d2e645ae33c3239f5ce",
			datasets.Spec{Prompt: "{{ question }}", Fields: map[string]string{"target": "answer_matching_behavior"}},
			"prompt template, 1,000 rows, target in answer_matching_behavior, JSON lines", 1000, "0", "999", 1000,
			" Yes", "question statement label_confidence answer_not_matching_behavior", "Is the following statement"},
		{"gsm8k_test.jsonl", "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
			oneLine("Q: {{ question }}"),
			"prompt template, 1,319 rows, target after ####, JSON lines", 1319, "0", "1318", 1319, "18",
			"question answer", "Q: Janet’s ducks"},
	} {
		t.Run(tc.file, func(t *testing.T) {
			path := filepath.Join(dir, tc.file)
			realSum(t, path, tc.sum)
			s := tc.spec
			s.Paths, s.ShardRows, s.OnBadRow = []string{path}, 100, "refuse"
			o := run(t, s)
			if o.err != nil || o.failure != nil || len(o.bad) > 0 {
				t.Fatal(o.err, o.failure, o.bad)
			}
			if got := o.d.Info().String(); got != tc.info {
				t.Errorf("Info = %q, want %q", got, tc.info)
			}
			if len(o.samples) != tc.rows {
				t.Fatalf("%d samples, want %d", len(o.samples), tc.rows)
			}
			first, last := o.samples[0], o.samples[len(o.samples)-1]
			if first.ID != tc.firstID || last.ID != tc.lastID {
				t.Errorf("ids from %q to %q, want %q to %q", first.ID, last.ID, tc.firstID, tc.lastID)
			}
			if got := keysOf(t, first.Metadata); got != tc.metadata {
				t.Errorf("metadata keys are %q, want %q", got, tc.metadata)
			}
			if got := first.Messages[0].Text; !strings.HasPrefix(got, tc.prompt) {
				t.Errorf("first prompt is %q", got)
			}
			checkTargets(t, o.samples, tc.targets, tc.target)
			checkOrder(t, o.samples)
		})
	}
}

func checkTargets(t *testing.T, samples []nightshift.Sample, want int, first string) {
	t.Helper()
	n := 0
	for _, s := range samples {
		if !s.HasTarget {
			continue
		}
		if n++; n == 1 && !strings.HasPrefix(s.Target, first) {
			t.Errorf("first target is %q, want %q…", s.Target, first)
		}
	}
	if n != want {
		t.Errorf("%d rows have a target, want %d", n, want)
	}
}

func checkOrder(t *testing.T, samples []nightshift.Sample) {
	t.Helper()
	seen := map[[16]byte]bool{}
	for i, s := range samples {
		if s.Index != int64(i) {
			t.Fatalf("sample %d has index %d", i, s.Index)
		}
		seen[s.Hash] = true
	}
	// Some ShareGPT rows are alike but for their id; none are alike in all.
	if len(seen) != len(samples) {
		t.Errorf("%d different hashes for %d rows", len(seen), len(samples))
	}
}

// keysOf lists the keys of a JSON object in order.
func keysOf(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	if raw == nil {
		return ""
	}
	if !json.Valid(raw) {
		t.Fatalf("metadata is not JSON: %s", raw)
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	var keys []string
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(keys, " ")
}

// The final answers of GSM8K hold no marks of the calculator, and 14 of them
// thousands commas.
func TestGSM8KTargets(t *testing.T) {
	o := run(t, datasets.Spec{Paths: []string{filepath.Join(shared(t), "gsm8k_test.jsonl")}})
	commas := 0
	for _, s := range o.samples {
		if strings.ContainsAny(s.Target, "<>#= \n") || s.Target == "" {
			t.Errorf("row %d: target %q", s.Index, s.Target)
		}
		if strings.Contains(s.Target, ",") {
			commas++
		}
		if !strings.Contains(string(s.Metadata), "#### "+s.Target) {
			t.Errorf("row %d: the whole answer is not in the metadata", s.Index)
		}
	}
	if commas != 14 {
		t.Errorf("%d targets with thousands commas, want 14", commas)
	}
}

// The same questions in the same order in both GSM8K files.
func TestGSM8KFilesAgree(t *testing.T) {
	dir := shared(t)
	a := run(t, datasets.Spec{Paths: []string{filepath.Join(dir, "gsm8k_test.jsonl")}})
	b := run(t, datasets.Spec{Paths: []string{filepath.Join(dir, "gsm8k_example_model_solutions.jsonl")},
		Prompt: "{{ question }}"})
	for i := range a.samples {
		if a.samples[i].Messages[0].Text != b.samples[i].Messages[0].Text {
			t.Fatalf("question %d differs", i)
		}
	}
}

// MT-Bench: two turns a row, the category, and the references as JSON.
func TestMTBench(t *testing.T) {
	o := run(t, datasets.Spec{Paths: []string{filepath.Join(shared(t), "mt_bench_question.jsonl")}})
	categories := map[string]int{}
	for _, s := range o.samples {
		if len(s.Messages) != 1 || len(s.Turns) != 1 {
			t.Errorf("%s: %d messages and %d further turns", s.ID, len(s.Messages), len(s.Turns))
		}
		categories[s.Category]++
		if s.HasTarget && !json.Valid([]byte(s.Target)) {
			t.Errorf("%s: target is not JSON: %s", s.ID, s.Target)
		}
	}
	if len(categories) != 8 || categories["writing"] != 10 {
		t.Errorf("categories are %v", categories)
	}
}

// ShareGPT: without a word on the target, the last assistant message is part of
// the prompt.
func TestShareGPTKeepsItsEnd(t *testing.T) {
	path := filepath.Join(shared(t), "sharegpt_dummy_conversation.json")
	whole := run(t, datasets.Spec{Paths: []string{path}})
	cut := run(t, datasets.Spec{Paths: []string{path}, Fields: map[string]string{"target": "last_assistant"}})
	for i, s := range whole.samples {
		n := len(s.Messages)
		if s.HasTarget || s.Messages[n-1].Role != nightshift.RoleAssistant {
			t.Fatalf("row %d: the end is %+v", i, s.Messages[n-1])
		}
		c := cut.samples[i]
		if len(c.Messages) != n-1 || !c.HasTarget || c.Target != s.Messages[n-1].Text {
			t.Fatalf("row %d: target %q, messages %d of %d", i, c.Target, len(c.Messages), n)
		}
	}
	raw, err := rawRow(whole.d, 499)
	if err != nil || strings.Contains(string(raw), "\n") || !json.Valid(raw) {
		t.Errorf("Raw = %s, %v", raw, err)
	}
	if _, err := rawRow(whole.d, 500); err == nil {
		t.Error("Raw(500) gives a row")
	}
	for range whole.d.Read(context.Background(), 0) {
		break // stopping early is no error
	}
}
