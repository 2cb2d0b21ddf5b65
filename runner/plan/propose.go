package plan

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/pattern"
)

// Propose writes a commented plan for a dataset and checks that it can run. The
// plan is meant for the file output; without models it uses the simulator.
func Propose(ctx context.Context, dataset, output string, models []string, getenv func(string) string) ([]byte, error) {
	s := scaffolding{Dataset: pathFrom(output, dataset), Models: models}
	info, problem := infoOf(ctx, datasets.Spec{Paths: []string{dataset}})
	if s.Info = info; problem != nil && !guess(ctx, dataset, &s) {
		return nil, problem
	}
	s.choices(ctx, dataset)
	s.LastAssistant = endsWithAnswer(ctx, datasets.Spec{Paths: []string{dataset}, Fields: s.Fields})
	text := scaffold(s)
	p, err := Parse(output, text)
	if err == nil {
		_, err = p.Resolve(getenv)
	}
	var mistakes *Errors
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
	if output == "" || filepath.IsAbs(file) || datasets.IsRemote(file) {
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
	"correct", "correct_answer", "answerKey", "answer_key", "correct_option", "reference", "output",
	"completion", "response", "sentiment", "class"}

// questionNames are what people call the prompt. Of several fields one of these is
// taken before the one with the most text, which may be a solution.
var questionNames = []string{"question", "problem", "instruction", "query", "ctx"}

// idName is what people call the id of a row.
var idName = pattern.Late(`(?i:^(id|nr|no|uuid|guid)$|[_ -](id|nr|no|uuid|number)$)|[a-z](Id|ID|No|Nr)$`)

// guess fills in what the rows do not say of themselves, from the first of
// them: the field with the most text is the prompt, unless one holds a chat.
func guess(ctx context.Context, dataset string, s *scaffolding) (ok bool) {
	info, rows, err := firstRows(ctx, dataset)
	if s.Info = info; err != nil {
		return false
	}
	fields := s.Info.Fields
	s.Fields = map[string]string{}
	if s.Info.NoID > 0 {
		assign(s.Fields, "id", fields, func(name string) bool {
			return idName().MatchString(name) &&
				allDiffer(rows, name)
		})
	}
	assign(s.Fields, "messages", fields, func(name string) bool { return listOf(rows, name, "role", "content") })
	assign(s.Fields, "conversations", fields, func(name string) bool { return listOf(rows, name, "from", "value") })
	s.Target = targetField(fields)
	s.Prompt = cmp.Or(s.field(questionNames...), longestField(rows, fields, s.Target))
	return s.Prompt != "" || s.Fields["messages"] != "" || s.Fields["conversations"] != ""
}

// firstRows are the first rows of a dataset as they are in its files.
func firstRows(ctx context.Context, dataset string) (info datasets.Info, rows []map[string]any, err error) {
	d, err := datasets.Open(ctx, datasets.Spec{Paths: []string{dataset}, Prompt: "{{ row | tojson }}"})
	if d == nil {
		return info, nil, err
	}
	defer d.Close()
	for sample := range d.First(ctx, 50) {
		var row map[string]any
		if len(sample.Messages) == 1 && json.Unmarshal([]byte(sample.Messages[0].Text), &row) == nil {
			rows = append(rows, row)
		}
	}
	return d.Info(), rows, err
}

// choices looks for multiple-choice questions: fields that say what is asked and what
// can be answered.
func (s *scaffolding) choices(ctx context.Context, dataset string) {
	question := cmp.Or(s.Prompt, s.field(questionNames...))
	if question == "" || !slices.ContainsFunc(s.Info.Fields, namesChoices) ||
		s.Fields["messages"] != "" || s.Fields["conversations"] != "" || strings.HasSuffix(s.Info.Shape, " batch") {
		return
	}
	if _, rows, err := firstRows(ctx, dataset); err == nil {
		s.Choices = multipleChoiceOf(rows, s.Info.Fields, targetField(s.Info.Fields))
	}
	if s.Choices != nil {
		s.Prompt = question
	}
}

// bracketed is a remark at the end of a name, as in "Label (gold)".
var bracketed = pattern.Late(`\s*[(\[{][^)\]}]*[)\]}]\s*$`)

// gold is how people mark the right answer in a name.
var gold = pattern.Late(`(?i)(^|[^a-z])(gold|golden|expected|target)([^a-z]|$)`)

// targetField is the field that holds the right answer by its name, else by its
// name without a remark, else by a word in it; empty for none.
func targetField(fields []string) string {
	for _, name := range []func(string) string{strings.TrimSpace,
		func(f string) string { return bracketed().ReplaceAllString(f, "") }} {
		for _, want := range targetNames {
			if i := slices.IndexFunc(fields, func(f string) bool { return strings.EqualFold(name(f), want) }); i >= 0 {
				return fields[i]
			}
		}
	}
	if i := slices.IndexFunc(fields, gold().MatchString); i >= 0 {
		return fields[i]
	}
	return ""
}

// assign gives a role to the first field that is fit for it.
func assign(roles map[string]string, role string, fields []string, fit func(string) bool) {
	if i := slices.IndexFunc(fields, fit); i >= 0 {
		roles[role] = fields[i]
	}
}

// allDiffer reports whether every row has another text or number there.
func allDiffer(rows []map[string]any, name string) bool {
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

// longestField is the field with the most text, other than one.
func longestField(rows []map[string]any, fields []string, other string) (best string) {
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
