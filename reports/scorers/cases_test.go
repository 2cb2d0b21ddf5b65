package scorers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
)

// A scorerCase is one line of a case file: what a scorer says of a prediction.
// A score of null means unscored. With an error, the scorer cannot be built:
// true for any reason, a text for one that holds it.
type scorerCase struct {
	ID         string          `json:"id"`
	Scorer     string          `json:"scorer"`
	Params     map[string]any  `json:"params"`
	Prediction json.RawMessage `json:"prediction"`
	Target     json.RawMessage `json:"target"`
	Row        json.RawMessage `json:"row"` // its other fields
	Score      *float64        `json:"score"`
	Extracted  *string         `json:"extracted"`
	Status     string          `json:"status"`
	Error      json.RawMessage `json:"error"`
	Tol        float64         `json:"tol"`
}

// TestCases runs our own cases, the reference cases beside the repository and
// those that NIGHTSHIFT_SCORER_CASES lists. An unknown scorer fails.
func TestCases(t *testing.T) {
	files := append([]string{"testdata/cases.jsonl"}, foreignCases(t)...)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			for _, c := range readCases(t, path) {
				t.Run(c.ID, func(t *testing.T) { checkCase(t, c) })
			}
		})
	}
}

// foreignCases lists the files of NIGHTSHIFT_SCORER_CASES, which is a list of
// paths as PATH is, and the reference files beside the repository.
func foreignCases(t *testing.T) []string {
	files := filepath.SplitList(os.Getenv("NIGHTSHIFT_SCORER_CASES"))
	beside, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "scorer_cases*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if files = append(files, beside...); len(files) == 0 {
		t.Run("reference", func(t *testing.T) {
			t.Skip("the reference cases need ../shared or NIGHTSHIFT_SCORER_CASES")
		})
	}
	return files
}

// shared finds a file of the reference data beside the repository.
func shared(name string) (string, bool) {
	path := filepath.Join("..", "..", "..", "shared", filepath.FromSlash(name))
	_, err := os.Stat(path)
	return path, err == nil
}

func readCases(t *testing.T, path string) []scorerCase {
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []scorerCase
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<24)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var c scorerCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%s:%d: %v", path, n, err)
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		t.Fatalf("%s holds no cases", path)
	}
	return cases
}

func checkCase(t *testing.T, c scorerCase) {
	got, err := runCase(c)
	if want := asText(c.Error); len(c.Error) > 0 && want != "null" && want != "false" {
		if err == nil || want != "true" && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case c.Score == nil && got.Value != nil:
		t.Errorf("value = %v, want unscored", *got.Value)
	case c.Score != nil && got.Value == nil:
		t.Errorf("unscored (%s), want %v", text(got.Explanation), *c.Score)
	case c.Score != nil:
		// BLEU and chrF are quoted on 0..100 as often as on 0..1.
		value := *got.Value
		if *c.Score > 1 && (c.Scorer == "chrf" || c.Scorer == "bleu") {
			value *= 100
		}
		if !(math.Abs(value-*c.Score) <= c.Tol+1e-12) {
			t.Errorf("value = %v, want %v within %v; answer %q, %s", value, *c.Score, c.Tol, text(got.Answer),
				text(got.Explanation))
		}
	}
	if c.Score == nil && got.Status != nightshift.Unscored {
		t.Errorf("status = %q, want %q", got.Status, nightshift.Unscored)
	}
	if c.Status != "" && string(got.Status) != c.Status {
		t.Errorf("status = %q, want %q", got.Status, c.Status)
	}
	if c.Extracted != nil && text(got.Answer) != *c.Extracted {
		t.Errorf("answer = %q, want %q", text(got.Answer), *c.Extracted)
	}
}

func runCase(c scorerCase) (Result, error) {
	spec := Spec{Type: c.Scorer, Params: c.Params}
	info, err := Lookup(c.Scorer)
	if err != nil {
		return Result{}, err
	}
	switch {
	case c.Scorer == "judge_grade":
		g, err := NewGrader(spec)
		if err != nil {
			return Result{}, err
		}
		return g.Verdict(asText(c.Prediction)), nil
	case c.Scorer == "judge_pairwise":
		return runPair(spec, c)
	case info.Kind == Embedded:
		return runEmbedding(c)
	case info.Kind == OfCorpus:
		return runCorpus(spec, c)
	case info.Kind == OfCommand:
		return runCommand(spec, c)
	}
	s, err := New(spec)
	if err != nil {
		return Result{}, err
	}
	a := asAnswer(c.Prediction)
	a.Metadata = string(c.Row)
	return s.Score(a, asTarget(c.Target)), nil
}

func runPair(spec Spec, c scorerCase) (Result, error) {
	j, err := NewPairJudge(spec)
	if err != nil {
		return Result{}, err
	}
	var replies []string
	if json.Unmarshal(c.Prediction, &replies) != nil {
		replies = []string{asText(c.Prediction)}
	}
	r, _ := j.Combine(replies...)
	return r, nil
}

func runCommand(spec Spec, c scorerCase) (Result, error) {
	command, err := NewCommand(spec, true)
	if err != nil {
		return Result{}, err
	}
	p, err := command.Start()
	if err != nil {
		return Result{}, err
	}
	defer p.Close()
	return p.Score(context.Background(), asAnswer(c.Prediction), ptr(asText(c.Target)))
}

// runEmbedding takes vectors in place of texts.
func runEmbedding(c scorerCase) (Result, error) {
	var prediction, target []float32
	if err := json.Unmarshal(c.Prediction, &prediction); err != nil {
		return Result{}, err
	}
	if err := json.Unmarshal(c.Target, &target); err != nil {
		return Result{}, err
	}
	e, err := NewEmbedder(Spec{Type: "embedding"})
	if err != nil {
		return Result{}, err
	}
	return e.Score(prediction, [][]float32{target}), nil
}

// runCorpus takes one answer, or a list of answers with one target, or one
// list of targets, for each.
func runCorpus(spec Spec, c scorerCase) (Result, error) {
	s, err := New(spec)
	if err != nil {
		return Result{}, err
	}
	predictions, targets := []json.RawMessage{}, []json.RawMessage{}
	if json.Unmarshal(c.Prediction, &predictions) != nil {
		predictions, targets = []json.RawMessage{c.Prediction}, []json.RawMessage{c.Target}
	} else if err := json.Unmarshal(c.Target, &targets); err != nil || len(targets) != len(predictions) {
		return Result{}, fmt.Errorf("%d answers and %d targets", len(predictions), len(targets))
	}
	corpus := s.(Corpus)
	var sums []float64
	for i := range predictions {
		counts, ok := corpus.Counts(asAnswer(predictions[i]), asTarget(targets[i]))
		if !ok {
			return unscored("no target"), nil
		}
		if sums == nil {
			sums = make([]float64, len(counts))
		}
		for j, n := range counts {
			sums[j] += n
		}
	}
	return scored(corpus.Statistic(sums)), nil
}

// asText is a JSON text's value, or the JSON itself.
func asText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// asTarget is the target of a row whose field held this.
func asTarget(raw json.RawMessage) *Target {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return &Target{Text: asText(raw), Texts: listOfTexts(string(raw))}
}

// asAnswer reads a prediction: a text, tool calls, or facts of the run.
func asAnswer(raw json.RawMessage) Answer {
	trimmed := strings.TrimSpace(string(raw))
	switch {
	case strings.HasPrefix(trimmed, "["):
		return Answer{ToolCalls: asCalls(raw), Text: trimmed}
	case strings.HasPrefix(trimmed, "{"):
		return asFacts(raw)
	}
	return Answer{Text: asText(raw)}
}

func asCalls(raw json.RawMessage) []nightshift.ToolCall {
	var list []struct {
		Name      string          `json:"name"`
		Args      json.RawMessage `json:"args"`
		Arguments json.RawMessage `json:"arguments"`
	}
	_ = json.Unmarshal(raw, &list)
	calls := make([]nightshift.ToolCall, len(list))
	for i, c := range list {
		args := c.Args
		if args == nil {
			args = c.Arguments
		}
		calls[i] = nightshift.ToolCall{Name: c.Name, Arguments: asText(args)}
	}
	return calls
}

// asFacts reads an object of facts under the names that tools give them.
func asFacts(raw json.RawMessage) Answer {
	var f map[string]json.RawMessage
	_ = json.Unmarshal(raw, &f)
	a := Answer{Text: string(raw)} // an object may also be the answer itself
	for _, fact := range []struct {
		to    any
		names []string
	}{
		{&a.Text, []string{"text", "output"}},
		{&a.RawStopReason, []string{"finish_reason", "finishReason"}},
		{&a.StopReason, []string{"stop_reason"}},
		{&a.LatencyMS, []string{"latency_ms", "latencyMs", "latency"}},
		{&a.CostUSD, []string{"cost_usd", "cost"}},
		{&a.OutputTokens, []string{"output_tokens"}},
		{&a.Choices, []string{"choices"}},
	} {
		for _, name := range fact.names {
			if value, ok := f[name]; ok {
				_ = json.Unmarshal(value, fact.to)
			}
		}
	}
	if string(f["cached"]) == "true" {
		a.LatencyMS = nil
	}
	if f["tool_calls"] != nil {
		a.ToolCalls = asCalls(f["tool_calls"])
	}
	return a
}
