package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nightshift/datasets"
	"nightshift/internal/pattern"
	"nightshift/internal/words"
)

// A scaffolding is what [scaffold] knows of a dataset.
type scaffolding struct {
	Dataset string        // path as the plan shall have it
	Info    datasets.Info // what its first pass found
	Models  []string      // ENDPOINT/MODEL-ID; empty takes the simulator

	// Prompt and Target are guessed field names, for rows that do not say what
	// they are; empty for none.
	Prompt, Target string
	LastAssistant  bool              // the rows end with an answer of the assistant
	Fields         map[string]string // the same by role, such as messages and id
	Choices        *multipleChoice   // the rows are multiple-choice questions; Prompt is the question
}

// scaffold writes a plan for a dataset, with comments that say what could be
// changed. It is valid as it is.
func scaffold(s scaffolding) []byte {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	name := scaffoldName(s.Dataset)
	put("# yaml-language-server: $schema=nightshift.schema.json")
	put("#")
	put("# `nightshift schema > nightshift.schema.json` makes editors complete and check this file.")
	put("# `nightshift check PLAN` says what the run will send and cost; `nightshift run PLAN` runs it.")
	put("version: 1")
	put("name: %s", yamlText(name))
	put("")
	s.dataset(put)
	put("")
	put("epochs: 1                       # answers per row and model")
	put("")
	s.models(put)
	put("")
	put("# budget: {usd: 20}             # the run stops, resumable, before it would spend more")
	put("")
	s.scorers(put)
	put("")
	put("out: %s", yamlText("runs/"+fileName(name)))
	return []byte(b.String())
}

func scaffoldName(path string) string {
	p := Plan{source: newSource("", nil), Dataset: Dataset{Path: Strings{path}}}
	return p.defaultName()
}

func (s scaffolding) dataset(put func(string, ...any)) {
	if s.Info.Shape != "" {
		put("# %s", oneLine(s.Info.String()))
	}
	if len(s.Info.Fields) > 0 {
		put("# fields: %s", oneLine(strings.Join(s.Info.Fields, ", ")))
	}
	put("dataset:")
	put("  path: %s", yamlText(s.Dataset))
	put(`  # system: "You are careful."`)
	if len(s.Fields) > 0 {
		put("  # The rows do not say what these are; they are guesses.")
		put("  fields:")
		for _, role := range slices.Sorted(maps.Keys(s.Fields)) {
			put("    %s: %s", role, yamlText(s.Fields[role]))
		}
	}
	if s.Choices != nil {
		put("  # The rows have choices; how they are asked is a guess.")
		put("  prompt: |-")
		for _, line := range s.Choices.prompt(reference(s.Prompt)) {
			put("%s", strings.TrimRight("    "+line, " "))
		}
	} else if field := s.promptField(); field != "" {
		put("  # The rows do not say what the prompt is; this is a guess. Put your instructions around it.")
		put("  prompt: %s", yamlText("{{ "+reference(field)+" }}"))
	} else {
		put("  # prompt: |                   # a Jinja template instead of what the rows imply")
		put("  #   {{ %s }}", s.anyField())
	}
	if s.LastAssistant {
		put("  target: last_assistant        # the rows end with an answer: it is the target, and is not sent")
	}
	if s.Choices != nil && s.Choices.target != "" {
		put("  # The letter of the right choice.")
		put("  target: %s", yamlText(s.Choices.target))
	} else if s.Target != "" {
		put("  target: %s              # a guess, too: what a right answer looks like",
			yamlText("{{ "+reference(s.Target)+" }}"))
	}
	if field := s.field("category", "subject", "topic", "type", "level"); field != "" {
		put("  category: %s            # the report breaks scores down by it", yamlText(field))
	}
	put("  # limit: 20                   # try a few rows first; also offset, sample and seed")
}

// promptField is the field that a template should show where the rows do not
// say what the prompt is; "" where they do.
func (s scaffolding) promptField() string {
	if s.Info.Shape != "" && s.Info.Shape != "prompt template" || len(s.Info.Fields) == 0 {
		return ""
	}
	if s.Fields["messages"] != "" || s.Fields["conversations"] != "" {
		return ""
	}
	if s.Prompt != "" {
		return s.Prompt
	}
	if f := s.field("question", "problem", "instruction", "text", "input", "query", "prompt"); f != "" {
		return f
	}
	return s.Info.Fields[0]
}

func (s scaffolding) anyField() string {
	if f := s.field("prompt", "question", "input", "text"); f != "" {
		return reference(f)
	}
	if len(s.Info.Fields) > 0 {
		return reference(oneLine(s.Info.Fields[0]))
	}
	return "prompt"
}

// field finds the first of some field names that the rows have.
func (s scaffolding) field(names ...string) string {
	for _, name := range names {
		if slices.Contains(s.Info.Fields, name) {
			return name
		}
	}
	return ""
}

// reference is a field in a template: by name, or by row["odd name"].
func reference(field string) string {
	if envName().MatchString(field) {
		return field
	}
	if !strings.ContainsAny(field, `'\`) {
		return "row['" + field + "']" // needs no escapes inside YAML's quotes
	}
	return "row[" + string(quote(field)) + "]"
}

func (s scaffolding) models(put func(string, ...any)) {
	put("models:")
	models := s.Models
	if len(models) == 0 {
		models = []string{simulatorPreset + "/sim-large"}
		put("  # The simulator answers inside the program: no key, no network, no cost.")
		put("  # Real ones: endpoint: anthropic, model: claude-sonnet-4-6; `nightshift presets` lists endpoints.")
	}
	for _, m := range models {
		endpoint, id, _ := strings.Cut(m, "/")
		put("  - endpoint: %s", yamlText(endpoint))
		put("    model: %s", yamlText(id))
		if strings.HasSuffix(s.Info.Shape, " batch") {
			put("    # params: {max_tokens: 1024}  # would take the place of each row's own")
		} else {
			put("    params: {max_tokens: 1024}  # goes into the request body as written")
		}
		put("    # stream: true")
	}
	put("")
	put("# Limits of your key, where you know them; the rest is inferred:")
	put("# endpoints:")
	endpoint, _, _ := strings.Cut(models[0], "/")
	put("#   %s:", oneLine(endpoint))
	put("#     limits: {requests_per_minute: 1000, input_tokens_per_minute: 400000, output_tokens_per_minute: 80000}")
}

func (s scaffolding) scorers(put func(string, ...any)) {
	if s.Info.Target == "" && s.Target == "" && !s.LastAssistant {
		put("# The rows have no target. With dataset.target set, answers can be scored:")
		put("# scorers: [exact]            # nightshift scorers lists them")
		return
	}
	if s.Choices != nil && s.Choices.target != "" {
		put("scorers:")
		put("  - {type: choice}              # the letter that the answer ends with is the right one")
		return
	}
	if s.Info.Target != "" {
		put("# target: %s", oneLine(s.Info.Target))
	}
	put("scorers:")
	if strings.Contains(s.Info.Target, "####") {
		put("  - {type: number, style: last} # the last number of the answer")
		return
	}
	put("  - {type: includes}            # the answer contains the target; stricter: exact, answer, number")
}

// oneLine keeps what a dataset says from ending a comment.
func oneLine(text string) string {
	return words.Shorten(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text), 300)
}

// plainText needs no quotes: it begins with a letter and is not a keyword of YAML.
var plainText = pattern.Late(`^[A-Za-z][A-Za-z0-9_./-]*[A-Za-z0-9]$`)

// yamlText is a text as a YAML scalar: plain where that is safe, else in
// JSON's quotes, which YAML shares.
func yamlText(text string) string {
	switch strings.ToLower(text) {
	case "true", "false", "yes", "no", "on", "off", "null":
		return string(quote(text))
	}
	if plainText().MatchString(text) {
		return text
	}
	return string(quote(text))
}
