package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/reports/compare"
	"nightshift/runner/store/view"
)

const (
	lmDay      = "_2026-11-28T03-48-26.820611"
	lmSums     = "testdata/samples_sums" + lmDay + ".jsonl"
	lmChoices  = "testdata/samples_pick" + lmDay + ".jsonl"
	inspectLog = "testdata/inspect.json"
)

// brief is a row in a line: what there is to see of it in every format.
func brief(one *row) string {
	part := func(v *string) string {
		if v == nil {
			return "-"
		}
		return *v
	}
	var scores []string
	for name, s := range one.scores {
		text := name + "=" + string(s.Status)
		if s.Value != nil {
			b, _ := json.Marshal(*s.Value)
			text = name + "=" + string(b)
		}
		scores = append(scores, text)
	}
	slices.Sort(scores)
	return strings.Join([]string{one.Model, one.ID, string('0' + one.Epoch), string(one.Outcome), part(one.Text),
		part(one.Target), strings.Join(scores, " ")}, " | ")
}

// TestRead reads files as the tools write them: their own examples, cut down to what
// is read.
func TestRead(t *testing.T) {
	for _, tc := range []struct {
		file, tool string
		scorers    string
		want       []string
	}{
		{"testdata/promptfoo.json", "promptfoo 0.121.20", "score success sum", []string{
			"good | q0 | 0 | ok | Answer: 25 | 25 | score=0.75 success=1 sum=1",
			"bad | q2 | 0 | ok | Answer: 0 | 27 | score=0.225 success=0 sum=0",
			"good | q3 | 0 | failed | - | 28 | score=error success=error"}},
		{"testdata/promptfoo.jsonl", "promptfoo", "score success sum", []string{
			"bad | q3 | 0 | ok | Answer: 28 | 28 | score=0.75 success=1 sum=1"}},
		{inspectLog, "Inspect 0.3.285", "match includes", []string{
			"mockllm/model | q0 | 0 | ok | Answer: 25 | 25 | includes=1 match=1",
			"mockllm/model | q2 | 1 | ok | Answer: 30 | 27 | includes=0 match=0",
			"mockllm/model | q3 | 0 | failed | - | 28 | "}},
		{lmSums, "lm-evaluation-harness 0.4.13", "exact_match,strict-match exact_match,flexible", []string{
			"adder-1 | q0 | 0 | ok | It is so. Answer: 25 | 25 | exact_match,flexible=1 exact_match,strict-match=1",
			"adder-1 | q2 | 0 | ok | It is so. Answer: 30 | 27 | exact_match,flexible=0 exact_match,strict-match=0"}},
		{lmChoices, "lm-evaluation-harness 0.4.13", "acc acc_norm", []string{
			"adder-1 | 0 | 0 | ok | 1 | 0 | acc=1 acc_norm=1", "adder-1 | 2 | 0 | ok | 4 | 0 | acc=0 acc_norm=0"}},
	} {
		r, err := Read(tc.file, "")
		if err != nil {
			t.Errorf("%s: %v", tc.file, err)
			continue
		}
		if got := strings.Join(r.scorers, " "); r.Tool != tc.tool || got != tc.scorers {
			t.Errorf("%s: tool %q and scorers %q, want %q and %q", tc.file, r.Tool, got, tc.tool, tc.scorers)
		}
		var all []string
		for i := range r.rows {
			all = append(all, brief(&r.rows[i]))
		}
		for _, want := range tc.want {
			if !slices.Contains(all, want) {
				t.Errorf("%s: there is no row\n%s\nin\n%s", tc.file, want, strings.Join(all, "\n"))
			}
		}
	}
}

// TestReadFacts: tokens, cost, times and the prompt, whose hash is that of the same
// prompt asked here.
func TestReadFacts(t *testing.T) {
	r, err := Read("testdata/promptfoo.json", "")
	if err != nil {
		t.Fatal(err)
	}
	one := r.rows[0]
	s := nightshift.Sample{Messages: []nightshift.Message{
		{Role: "user", Text: "What is 0 + 25? End with 'Answer: <number>'."}}}
	if *one.InputTokens != 15 || *one.OutputTokens != 5 || *one.CostNanoUSD != 100_000 || *one.LatencyMS <= 0 ||
		one.StartedAt == nil || one.PromptHash != s.PromptHash() {
		t.Errorf("the first row is %+v", one.Record)
	}
	if r, err = Read(inspectLog, ""); err != nil {
		t.Fatal(err)
	}
	s.System = "Be brief."
	if one = r.rows[0]; one.PromptHash != s.PromptHash() || *one.System != "Be brief." || *one.StopReason != "end" {
		t.Errorf("the first row is %+v", one.Record)
	}
}

// harnessLine is a line of samples with a prompt and a response, both JSON.
func harnessLine(prompt, response string) string {
	return `{"doc_id": 0, "doc": {}, "arguments": {"gen_args_0": {"arg_0": ` + prompt + `}}, "resps": [[` +
		response + `]]}`
}

// TestFilesThatCannotBeRead: the message names file, line and field.
func TestFilesThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		`[1, 2]`:      "x.json, line 1: no JSON object begins here",
		"{\n\"a\" 1}": "x.json, line 2: not valid JSON: a key and a colon",
		"{\"a\": [1,": "x.json, line 1: not valid JSON: a value is missing or not closed",
		`{"a": 1}`:    "x.json: neither promptfoo's results",
		"PK\x03\x04":  "inspect log convert --to json",
		`{"version": 2, "eval": {}, "samples": []}`: "line 1: eval.model is missing, " +
			"and should be a name",
		`{"version": 2, "eval": {"model": "m"}}`:                             "it has no samples",
		`{"version": 2, "eval": {"model": "m"}, "samples": []}`:              "it holds no answers",
		"{\"version\": 2, \"eval\": {\"model\": \"m\"},\n\"samples\": [{}]}": "line 2: id is missing, and should be",
		harnessLine(`"q"`, `"a"`) + "\n" + `{"doc_id": "x"}`:                 "line 2: doc_id is a string, and should be",
		harnessLine(`7`, `"a"`):                                              "arguments.gen_args_0.arg_0 is a number",
		harnessLine(`"q"`, `["x", true]`):                                    "resps is a string, and should be",
		`{"results": {"results": [{"provider": 1.5, "prompt": {}}]}}`:        "line 1: prompt.raw is missing",
		`{"results": {"timestamp": 1}}`:                                      "results.results is missing",
		`{"results": {}, "configs": {}}`:                                     "--log_samples",
	} {
		_, err := read(place{"x.json", []byte(text)}, "")
		var bad *FileError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	if _, err := Read(inspectLog, "ticket"); err == nil || !strings.Contains(err.Error(), "ticket: the row has no such") {
		t.Errorf("error %v, want that the rows have no field ticket", err)
	}
	if r, err := Read(lmSums, "target"); err != nil || r.rows[0].ID != "25" {
		t.Errorf("with --id target the first id is not the target: %v", err)
	}
}

// TestScoresOfAnotherRangeAreLeftOut: what is no number between 0 and 1 is no score
// here, and is said so.
func TestScoresOfAnotherRangeAreLeftOut(t *testing.T) {
	line := `{"doc_id": 0, "doc": {}, "arguments": [["q"]], "resps": [["a"]], ` +
		`"metrics": ["bleu", "acc"], "bleu": [1, 2], "acc": true}`
	r, err := read(place{"x.jsonl", []byte(line)}, "")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(r.scorers, " ")
	if got != "acc" || len(r.Notices) != 1 || !strings.Contains(r.Notices[0], "bleu") {
		t.Errorf("scorers %q and notices %q, want acc, and a word about bleu", got, r.Notices)
	}
}

// imported is a file as a run directory.
func imported(t *testing.T, file string) string {
	t.Helper()
	r, err := Read(file, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	if err := r.WriteRun(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestExportedIsReadBack: what is exported in another tool's format holds the same
// answers and scores.
func TestExportedIsReadBack(t *testing.T) {
	for _, tc := range []struct{ file, format, name string }{
		{inspectLog, Inspect, "x.json"}, {lmSums, Inspect, "x.json"}, {lmSums, LMEval, "samples_sums_x.jsonl"},
		{"testdata/promptfoo.json", Inspect, "x.json"},
	} {
		dir := imported(t, tc.file)
		models, err := Models(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, got := map[string]bool{}, map[string]bool{}
		first, _ := Read(tc.file, "")
		for i := range first.rows {
			one := &first.rows[i]
			if !one.Outcome.Answered() {
				one.scores = nil // there is none to write
			}
			want[strings.TrimPrefix(brief(one), one.Model)] = true
		}
		for _, model := range models {
			var b bytes.Buffer
			if err := Export(&b, dir, model, tc.format); err != nil {
				t.Fatal(err)
			}
			again, err := read(place{tc.name, b.Bytes()}, "")
			if err != nil {
				t.Fatalf("%s as %s: %v\n%s", tc.file, tc.format, err, b.String())
			}
			for i := range again.rows {
				got[strings.TrimPrefix(brief(&again.rows[i]), again.rows[i].Model)] = true
			}
		}
		for line := range want {
			if !got[line] {
				t.Errorf("%s as %s: there is no row\n%s\nin %v", tc.file, tc.format, line, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s as %s: %d rows, want %d", tc.file, tc.format, len(got), len(want))
		}
	}
}

// TestImportedRunsAreCompared: rows pair by id, and a scorer stands beside one of
// another name.
func TestImportedRunsAreCompared(t *testing.T) {
	c, err := compare.Runs(compare.Options{Runs: []string{imported(t, lmSums), imported(t, "testdata/promptfoo.jsonl")},
		Scorers: []string{"exact_match,flexible=success"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Items != 4 || len(c.Models) != 3 || *c.Scorers[0].Models[2].Mean < 0.66 {
		t.Errorf("%d items, %d models, scores %+v; want 4 items, and the models of both", c.Items, len(c.Models), c.Scorers)
	}
	if !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.Contains(w, "promptfoo's success") }) {
		t.Errorf("no warning says that the scorers differ: %q", c.Warnings)
	}
}

// TestImportedRunsAreRuns: every row is on record, and its tokens are billed.
func TestImportedRunsAreRuns(t *testing.T) {
	dir := imported(t, inspectLog)
	rows, tokens := 0, int64(0)
	for rec, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows, tokens = rows+1, tokens+view.Value(rec.OutputTokens)
		if rec.AttemptLog == nil {
			t.Errorf("row %d has no attempt", rec.Row)
		}
	}
	if rows != 6 || tokens != 20 {
		t.Errorf("%d rows with %d output tokens, want 6 and 20", rows, tokens)
	}
}

// FuzzRead: no file makes the reader fail otherwise than by an error.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json*")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := read(place{"nowhere/x.json", b}, "")
		if err == nil && len(r.rows) == 0 {
			t.Error("no rows, and no error")
		}
	})
}

// FuzzMembers: of every JSON object the members are those that encoding/json finds.
func FuzzMembers(f *testing.F) {
	f.Add(`{"a": [1, {"b": "}\""}], "c" : null , "d": {}}`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, text string) {
		var want map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &want) != nil || want == nil {
			for range (place{"x", []byte(text)}).members(0) { // ends, and does not panic
			}
			return
		}
		p, got := place{"x", []byte(text)}, map[string]string{}
		for key, v := range p.members(0) {
			if v.err != nil {
				t.Fatalf("%s: %v", text, v.err)
			}
			var name string
			if json.Unmarshal([]byte(`"`+key+`"`), &name) != nil {
				t.Fatalf("%s: the key %q", text, key)
			}
			got[name] = text[v.from:v.to]
		}
		for key, raw := range want {
			if got[key] != string(raw) {
				t.Fatalf("%s: member %q is %q, want %q", text, key, got[key], raw)
			}
		}
	})
}
