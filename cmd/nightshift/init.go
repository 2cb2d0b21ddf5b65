package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/datasets"
	"nightshift/runner/plan"
)

type initFlags struct {
	output string
	force  bool
	models []string
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use:   "init DATASET",
		Short: "Write a commented plan for a dataset that it is shown",
		Long: `Looks at a dataset and writes a plan for it, with comments that say what could be
changed: to standard output, or to a file with -o, which is never overwritten
without --force. The plan passes nightshift check as it is. Without --model it runs
on the simulator, which needs no key and costs nothing.

Where the rows do not say what the prompt is, the longest text is taken for it;
the plan says so.

Exit codes: 0 written, 2 the dataset cannot be used or the file exists.`,
		Example: `  nightshift init prompts.jsonl
  nightshift init prompts.jsonl -o tonight.yaml
  nightshift init reviews.csv --model anthropic/claude-sonnet-4-6 -o reviews.yaml --force`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.init(c.Context(), args[0], &f) },
	}
	s := c.Flags()
	s.StringVarP(&f.output, "output", "o", "", "`FILE` to write (default: standard output)")
	s.BoolVar(&f.force, "force", false, "overwrite the file")
	s.StringArrayVar(&f.models, "model", nil, "`ENDPOINT/MODEL-ID` to put into the plan; may be repeated (default: the simulator)")
	return c
}

func (a *app) init(ctx context.Context, dataset string, f *initFlags) error {
	if dataset == "-" {
		return usageError("standard input is gone once it was looked at; name a file")
	}
	if _, err := os.Lstat(f.output); f.output != "" && !f.force && !errors.Is(err, fs.ErrNotExist) {
		return usageError("%s exists; --force overwrites it, -o names another", f.output)
	}
	text, err := a.scaffold(ctx, dataset, f)
	if err != nil {
		return err
	}
	if f.output == "" {
		_, err := a.out.Write(text)
		return err
	}
	if err := writeWhole(f.output, text); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "wrote %s; next: nightshift check %[1]s\n", f.output)
	return nil
}

// scaffold makes the plan and sees that it is one that can run.
func (a *app) scaffold(ctx context.Context, dataset string, f *initFlags) ([]byte, error) {
	s := plan.Scaffolding{Dataset: pathFrom(f.output, dataset), Models: f.models}
	info, problem := infoOf(ctx, datasets.Spec{Paths: []string{dataset}})
	if s.Info = info; problem != nil {
		if s.Info, s.Prompt, s.Target = guessFields(ctx, dataset); s.Prompt == "" {
			return nil, problem
		}
	}
	text := plan.Scaffold(s)
	p, err := plan.Parse(f.output, text)
	if err == nil {
		_, err = p.Resolve(a.getenv)
	}
	var mistakes *plan.Errors
	if errors.As(err, &mistakes) && mistakes.OnlyKeys() {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	spec, _ := p.Rows()
	_, err = infoOf(ctx, spec)
	return text, err
}

// pathFrom is how a plan at output names a file that is relative to the working
// directory.
func pathFrom(output, file string) string {
	if output == "" || filepath.IsAbs(file) {
		return file
	}
	dir, err := filepath.Abs(filepath.Dir(output))
	if err != nil {
		return file
	}
	full, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(dir, full); err == nil {
		return rel
	}
	return full
}

func infoOf(ctx context.Context, s datasets.Spec) (datasets.Info, error) {
	d, err := datasets.Open(ctx, s)
	if d == nil {
		return datasets.Info{}, err
	}
	return d.Info(), errors.Join(err, d.Close())
}

// targetNames are what people call the right answer.
var targetNames = []string{"target", "answer", "label", "expected", "expected_output", "ideal", "gold", "solution", "correct", "correct_answer", "reference", "output", "completion", "response", "sentiment", "class"}

// guessFields finds the field that holds the prompt: the one with the most text
// on the first rows. "" when no field holds text or the rows cannot be read.
func guessFields(ctx context.Context, dataset string) (info datasets.Info, prompt, target string) {
	d, err := datasets.Open(ctx, datasets.Spec{Paths: []string{dataset}, Prompt: "{{ row | tojson }}"})
	if d == nil {
		return info, "", ""
	}
	defer d.Close()
	if info = d.Info(); err != nil {
		return info, "", ""
	}
	text := map[string]int{}
	for s := range firstRows(ctx, d, 50) {
		var row map[string]any
		if json.Unmarshal([]byte(s.Messages[0].Text), &row) != nil {
			continue
		}
		for name, v := range row {
			if words, ok := v.(string); ok {
				text[name] += len(words)
			}
		}
	}
	for _, name := range targetNames {
		if i := slices.IndexFunc(info.Fields, func(f string) bool { return strings.EqualFold(f, name) }); i >= 0 && target == "" {
			target = info.Fields[i]
		}
	}
	for _, name := range info.Fields { // in their order, so that a draw is decided
		if name != target && text[name] > text[prompt] {
			prompt = name
		}
	}
	return info, prompt, target
}
