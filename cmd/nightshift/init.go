package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/fsx"
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
	s.StringArrayVar(&f.models, "model", nil, "`ENDPOINT/MODEL-ID` to put into the plan; may be repeated (default: "+
		"the simulator)")
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
		if err == nil && a.isTerminal(a.out) {
			fmt.Fprintln(a.err, "to keep it: nightshift init "+dataset+" -o plan.yaml")
		}
		return err
	}
	if err := fsx.WriteFile(f.output, text); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "wrote %s; next: nightshift check %[1]s\n", f.output)
	return nil
}

// scaffold makes the plan and sees that it is one that can run.
func (a *app) scaffold(ctx context.Context, dataset string, f *initFlags) ([]byte, error) {
	s := plan.Scaffolding{Dataset: pathFrom(f.output, dataset), Models: f.models}
	info, problem := infoOf(ctx, datasets.Spec{Paths: []string{dataset}})
	if s.Info = info; problem != nil && !guess(ctx, dataset, &s) {
		return nil, problem
	}
	s.LastAssistant = endsWithAnswer(ctx, datasets.Spec{Paths: []string{dataset}, Fields: s.Fields})
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

// endsWithAnswer reports whether most of the first rows are chats that end with
// an assistant message.
func endsWithAnswer(ctx context.Context, spec datasets.Spec) bool {
	d, err := datasets.Open(ctx, spec)
	if d == nil || err != nil {
		return false
	}
	defer d.Close()
	rows, ending := 0, 0
	for s, err := range d.First(ctx, 50) {
		if n := len(s.Messages); err == nil {
			rows++
			if n > 1 && s.Messages[n-1].Role == nightshift.RoleAssistant && len(s.Turns) == 0 {
				ending++
			}
		}
	}
	return 2*ending > rows
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
var targetNames = []string{"target", "answer", "label", "expected", "expected_output", "ideal", "gold", "solution",
	"correct", "correct_answer", "reference", "output", "completion", "response", "sentiment", "class"}

// idName is what people call the id of a row.
var idName = regexp.MustCompile(`(?i:^(id|nr|no|uuid|guid)$|[_ -](id|nr|no|uuid|number)$)|[a-z](Id|ID|No|Nr)$`)

// guess fills in what the rows do not say of themselves, from the first of
// them: the field with the most text is the prompt, unless one holds a chat.
func guess(ctx context.Context, dataset string, s *plan.Scaffolding) (ok bool) {
	d, err := datasets.Open(ctx, datasets.Spec{Paths: []string{dataset}, Prompt: "{{ row | tojson }}"})
	if d == nil {
		return false
	}
	defer d.Close()
	if s.Info = d.Info(); err != nil {
		return false
	}
	var rows []map[string]any
	for sample := range d.First(ctx, 50) {
		var row map[string]any
		if len(sample.Messages) == 1 && json.Unmarshal([]byte(sample.Messages[0].Text), &row) == nil {
			rows = append(rows, row)
		}
	}
	fields := s.Info.Fields
	s.Fields = map[string]string{}
	if s.Info.NoID > 0 {
		role(s.Fields, "id", fields, func(name string) bool { return idName.MatchString(name) && distinct(rows, name) })
	}
	role(s.Fields, "messages", fields, func(name string) bool { return listOf(rows, name, "role", "content") })
	role(s.Fields, "conversations", fields, func(name string) bool { return listOf(rows, name, "from", "value") })
	for _, want := range targetNames {
		if i := slices.IndexFunc(fields, func(f string) bool { return strings.EqualFold(f, want) }); i >= 0 &&
			s.Target == "" {
			s.Target = fields[i]
		}
	}
	s.Prompt = wordiest(rows, fields, s.Target)
	return s.Prompt != "" || s.Fields["messages"] != "" || s.Fields["conversations"] != ""
}

// role gives a role to the first field that is fit for it.
func role(roles map[string]string, role string, fields []string, fit func(string) bool) {
	if i := slices.IndexFunc(fields, fit); i >= 0 {
		roles[role] = fields[i]
	}
}

// distinct reports whether every row has another text or number there.
func distinct(rows []map[string]any, name string) bool {
	seen := map[any]bool{}
	for _, row := range rows {
		switch v := row[name].(type) {
		case string, float64:
			if v == "" || seen[v] {
				return false
			}
			seen[v] = true
		default:
			return false
		}
	}
	return len(rows) > 0
}

// listOf reports whether every row has a list of objects there, with these two
// keys.
func listOf(rows []map[string]any, name, first, second string) bool {
	for _, row := range rows {
		list, _ := row[name].([]any)
		if len(list) == 0 {
			return false
		}
		for _, item := range list {
			object, _ := item.(map[string]any)
			if object[first] == nil || object[second] == nil {
				return false
			}
		}
	}
	return len(rows) > 0
}

// wordiest is the field with the most text, other than one.
func wordiest(rows []map[string]any, fields []string, other string) (best string) {
	most := 0
	for _, name := range fields {
		n := 0
		for _, row := range rows {
			words, _ := row[name].(string)
			n += len(words)
		}
		if n > most && name != other {
			best, most = name, n
		}
	}
	return best
}
