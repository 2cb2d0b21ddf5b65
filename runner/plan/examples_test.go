package plan

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/datasets"
	"nightshift/reports/scorers"
)

// TestScorerExamples scores the example of every scorer as nightshift scorers
// shows it: the plan's line is read as a plan, the row as a dataset.
func TestScorerExamples(t *testing.T) {
	for _, info := range scorers.Types() {
		t.Run(info.Type, func(t *testing.T) {
			e := info.Example
			switch {
			case !slices.Contains(scorers.Groups, info.Group):
				t.Fatalf("group %q does not exist", info.Group)
			case info.Reads == "" || info.Gives == "":
				t.Fatal("it is not said what it reads and gives")
			case info.Kind == scorers.OfCommand && (runtime.GOOS == "windows" || !found("python3")):
				t.Skip("the example is a program for python3")
			}
			got, err := scoreExample(t, exampleSpec(t, info), e)
			switch {
			case err != nil:
				t.Fatal(err)
			case got.Value == nil:
				t.Fatalf("no value: %s", value(got.Explanation))
			case math.Abs(*got.Value-e.Score) > 1e-12 || value(got.Answer) != e.Read:
				t.Errorf("score %v read %q, the example says %v and %q", *got.Value, value(got.Answer), e.Score, e.Read)
			}
		})
	}
}

func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// exampleSpec reads the line of an example's plan.
func exampleSpec(t *testing.T, info scorers.TypeInfo) scorers.Spec {
	t.Helper()
	p, err := Parse("plan.yaml", []byte("scorers:\n  - "+info.Example.Plan+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Scorers[0].Type != info.Type {
		t.Fatalf("the example is one of %s", p.Scorers[0].Type)
	}
	return p.Scorers[0].spec("")
}

// scoreExample scores as a run would, with the replies of the example in place
// of a judge, an endpoint or other scorers.
func scoreExample(t *testing.T, spec scorers.Spec, e scorers.Example) (scorers.Result, error) {
	answer, target := exampleAnswer(t, e)
	info, err := scorers.Lookup(spec.Type)
	if err != nil {
		return scorers.Result{}, err
	}
	switch info.Kind {
	case scorers.Judged:
		return judgedExample(spec, e.Replies)
	case scorers.Combined:
		return combinedExample(spec, e.Replies)
	case scorers.Embedded:
		return embeddedExample(spec, e.Replies)
	case scorers.OfCommand:
		return commandExample(t.Context(), spec, answer)
	}
	s, err := scorers.New(spec)
	if err != nil {
		return scorers.Result{}, err
	}
	if corpus, ok := s.(scorers.Corpus); ok && info.Kind == scorers.OfCorpus {
		counts, ok := corpus.Counts(answer, target)
		if !ok {
			return scorers.Result{}, errors.New("the example cannot be counted")
		}
		v := corpus.Statistic(counts)
		return scorers.Result{Value: &v}, nil
	}
	return s.Score(answer, target), nil
}

// exampleAnswer reads the example's row as a dataset, and its answer as a row
// of results.
func exampleAnswer(t *testing.T, e scorers.Example) (scorers.Answer, *scorers.Target) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(file, []byte(e.Row+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(t.Context(), datasets.Spec{Paths: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	columns := map[string]json.RawMessage{}
	if e.Columns != "" {
		if err := json.Unmarshal([]byte(e.Columns), &columns); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tool_calls", "choices"} { // texts that hold JSON
		if raw := columns[name]; raw != nil {
			columns[name], _ = json.Marshal(string(raw))
		}
	}
	raw, err := json.Marshal(columns)
	r := nightshift.Record{Outcome: nightshift.OutcomeOK, Text: &e.Answer}
	if err := errors.Join(err, json.Unmarshal(raw, &r)); err != nil {
		t.Fatal(err)
	}
	for sample, err := range d.First(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if sample.Metadata != nil {
			metadata := string(sample.Metadata)
			r.Metadata = &metadata
		}
		if sample.HasTarget {
			r.Target, r.TargetIsList = &sample.Target, &sample.TargetIsList
		}
	}
	answer, _ := scorers.FromRecord(&r)
	return answer, scorers.TargetOf(&r)
}

func judgedExample(spec scorers.Spec, replies []string) (scorers.Result, error) {
	if spec.Type == "judge_pairwise" {
		j, err := scorers.NewPairJudge(spec)
		if err != nil {
			return scorers.Result{}, err
		}
		r, _ := j.Combine(replies...)
		return r, nil
	}
	g, err := scorers.NewGrader(spec)
	if err != nil {
		return scorers.Result{}, err
	}
	return g.Verdict(strings.Join(replies, "\n")), nil
}

func combinedExample(spec scorers.Spec, replies []string) (scorers.Result, error) {
	j, err := scorers.NewJury(spec)
	if err != nil {
		return scorers.Result{}, err
	}
	verdicts := make([]scorers.Result, len(replies))
	for i, r := range replies {
		if err := json.Unmarshal([]byte(r), &verdicts[i].Value); err != nil {
			return scorers.Result{}, err
		}
	}
	return j.Combine(verdicts), nil
}

func embeddedExample(spec scorers.Spec, replies []string) (scorers.Result, error) {
	e, err := scorers.NewEmbedder(spec)
	if err != nil {
		return scorers.Result{}, err
	}
	vectors := make([][]float32, len(replies))
	for i, r := range replies {
		if err := json.Unmarshal([]byte(r), &vectors[i]); err != nil {
			return scorers.Result{}, err
		}
	}
	r := e.Score(vectors[0], vectors[1:])
	if r.Value != nil { // 32 bits have seven digits
		*r.Value = math.Round(*r.Value*1e6) / 1e6
	}
	return r, nil
}

func commandExample(ctx context.Context, spec scorers.Spec, a scorers.Answer) (scorers.Result, error) {
	c, err := scorers.NewCommand(spec, true)
	if err != nil {
		return scorers.Result{}, err
	}
	p, err := c.Start()
	if err != nil {
		return scorers.Result{}, err
	}
	defer p.Close()
	return p.Score(ctx, a, nil)
}
