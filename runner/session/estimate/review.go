package estimate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers/formats"
	"nightshift/reports/scorers"
	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// reviewedRows is how many rows are looked at before anything is sent.
const reviewedRows = 200

// Review looks at the first rows of a session for what would make its run
// worthless, and at what every request needs. What may be meant becomes a
// warning or a note of the plan, the rest is the error.
func Review(ctx context.Context, s *session.Session) error {
	j := &job{s}
	return errors.Join(j.capped(ctx), j.review(ctx))
}

// review looks at the first rows for what would make a run worthless: scorers
// that can score none of them, and rows that all ask the same. What may be
// meant becomes a note of the plan, the rest is the error.
func (j *job) review(ctx context.Context) error {
	checks, err := j.targetChecks()
	if err != nil {
		return err
	}
	var first string
	rows, same := 0, true
	var ends prefills
	changes := j.overrideChecks()
	for s, err := range j.Dataset.First(ctx, reviewedRows) {
		if err != nil {
			continue // the dataset's own errors are told elsewhere
		}
		if rows++; rows == 1 {
			first = asked(s)
		}
		same = same && asked(s) == first
		ends.look(s)
		for _, c := range changes {
			c.look(s)
		}
		for _, c := range checks {
			if c.of.Scores(s.Dataset) {
				c.look(s)
			}
		}
	}
	if same && rows > 1 {
		j.note("all of the first %d rows ask the same%s", rows, j.braces())
	}
	if ends.rows > 0 {
		j.Warnings = append(j.Warnings, ends.words(rows))
	}
	for _, c := range changes {
		c.note(j, rows)
	}
	var problems []error
	for _, c := range checks {
		problems = append(problems, c.problem(j))
	}
	return errors.Join(problems...)
}

// asked is what a row asks of a model, to be compared with other rows.
func asked(s nightshift.Sample) string {
	return fmt.Sprint(s.System, s.Messages, s.Turns, s.Params, string(s.Body))
}

// prefills counts rows whose last message is the assistant's: the model is
// asked to go on with it.
type prefills struct {
	rows  int
	place string // of the first of them
	body  bool   // they are whole request bodies
}

func (p *prefills) look(s nightshift.Sample) {
	messages := messagesOf(&s)
	if n := len(messages); n == 0 || messages[n-1].Role != string(nightshift.RoleAssistant) || len(s.Turns) > 0 {
		return
	}
	if p.rows++; p.rows == 1 {
		p.place, p.body = fmt.Sprintf("%s:%d", s.File, s.Line), s.Body != nil
	}
}

func (p *prefills) words(rows int) string {
	text := fmt.Sprintf("%d of the first %d rows end with an assistant message, which is sent too: the model is asked "+
		"to continue it, "+
		"not to answer, and some models refuse that (first: %s). ", p.rows, rows, p.place)
	if p.body {
		return text + "If it is the expected answer, remove it from the rows' messages"
	}
	return text + "If it is the expected answer, set target: last_assistant in the plan's dataset (--target " +
		"last_assistant): it is then not sent"
}

// An overrideCheck counts rows where the plan and the row set the same request
// parameter of a model to different values.
type overrideCheck struct {
	model  plan.ResolvedModel
	names  []string
	byPlan map[string]int // rows of batch files: the plan's value is sent
	byRow  map[string]int // other rows: the row's value is sent
}

func (j *job) overrideChecks() (checks []*overrideCheck) {
	for _, m := range j.Plan.Models {
		c := &overrideCheck{model: m, byPlan: map[string]int{}, byRow: map[string]int{}}
		for _, p := range m.Params {
			c.names = append(c.names, p.Name)
		}
		checks = append(checks, c)
	}
	return checks
}

func (c *overrideCheck) look(s nightshift.Sample) {
	var body map[string]json.RawMessage
	if s.Body != nil && len(c.names) > 0 && json.Unmarshal(s.Body, &body) != nil {
		return
	}
	for _, p := range c.model.Params {
		for _, name := range sameParam(p.Name) {
			if own, ok := body[name]; ok && string(own) != string(p.Value) {
				c.byPlan[p.Name]++
			}
		}
		for _, own := range s.Params {
			if own.Name == p.Name && string(own.Value) != string(p.Value) {
				c.byRow[p.Name]++
			}
		}
	}
}

// sameParam are the names of one parameter.
func sameParam(name string) []string {
	if caps := formats.CapNames(); slices.Contains(caps, name) {
		return caps
	}
	return []string{name}
}

func (c *overrideCheck) note(j *job, rows int) {
	for _, p := range c.model.Params {
		if n := c.byPlan[p.Name]; n > 0 {
			j.note("%s: the plan's %s (%s) is sent in place of the row's own in %d of the first %d rows; leave it out of the "+
				"plan to keep theirs",
				c.model.Name, p.Name, words.Cut(string(p.Value), 40), n, rows)
		}
		if n := c.byRow[p.Name]; n > 0 {
			j.note("%s: %d of the first %d rows set %s themselves; their value is sent, not the plan's (%s)",
				c.model.Name, n, rows, p.Name, words.Cut(string(p.Value), 40))
		}
	}
}

func (j *job) note(format string, args ...any) {
	j.Plan.Notes = append(j.Plan.Notes, fmt.Sprintf(format, args...))
}

// singleBraces is a placeholder in the style of other tools.
var singleBraces = regexp.MustCompile(`(?:^|[^{])\{\s*(\w+)\s*\}(?:[^}]|$)`)

// braces is a hint for templates whose placeholders have one brace.
func (j *job) braces() string {
	prompt := j.Plan.Dataset.Prompt
	for _, part := range j.Plan.Dataset.Parts {
		prompt += "\n" + part.Spec.Prompt
	}
	for _, found := range singleBraces.FindAllStringSubmatch(prompt, -1) {
		if slices.Contains(j.Dataset.Info().Fields, found[1]) {
			return fmt.Sprintf(": the prompt has { %s } in single braces; a field is written {{ %s }}", found[1], found[1])
		}
	}
	return ""
}

// A targetCheck counts rows that a scorer cannot score, whatever a model
// answers: their target is missing, or is none that the scorer can read.
type targetCheck struct {
	scorer    scorers.Scorer
	of        plan.ResolvedScorer
	rows, bad int    // rows that it is to score, and those that it cannot
	why       string // for the first of them
}

// targetChecks are checks for the plan's scorers that need no request.
func (j *job) targetChecks() (checks []*targetCheck, err error) {
	for _, s := range j.Plan.Scorers {
		info, err := scorers.Lookup(s.Spec.Type)
		if err != nil {
			return nil, session.Usagef("%w", err)
		}
		if info.Kind != scorers.Pure && info.Kind != scorers.OfCorpus {
			continue
		}
		scorer, err := scorers.New(s.Spec)
		if err != nil {
			return nil, session.Usagef("%w", err)
		}
		checks = append(checks, &targetCheck{scorer: scorer, of: s})
	}
	return checks, nil
}

func (c *targetCheck) look(s nightshift.Sample) {
	c.rows++
	var target *scorers.Target
	if s.HasTarget {
		target = scorers.NewTarget(s.Target, s.TargetIsList)
	}
	problem := scorers.RowProblem(c.scorer, target, string(s.Metadata))
	if problem == "" {
		return
	}
	if c.bad++; c.why == "" {
		c.why = fmt.Sprintf("%s:%d: %s", s.File, s.Line, problem)
	}
}

// problem is an error when no row can be scored, and a note when some cannot.
func (c *targetCheck) problem(j *job) error {
	switch {
	case c.bad == 0:
		return nil
	case c.bad < c.rows:
		j.note("scorer %s cannot score %d of the first %d rows: %s", c.scorer.Name(), c.bad, c.rows, c.why)
		return nil
	}
	remedy := "say what a right answer is: --target '{{ field }}', or target: in the plan's dataset; or leave the " +
		"scorer out"
	if strings.Contains(c.why, "the row has no field") {
		remedy = "name a field that the rows have, write the parameter into the plan, or leave the scorer out"
	}
	if fields := j.Dataset.Info().Fields; len(fields) > 0 {
		remedy += fmt.Sprintf("; the fields are %s", strings.Join(fields, ", "))
	}
	return session.Usagef("scorer %s can score none of the first %d rows: %s\n%s", c.scorer.Name(), c.rows, c.why, remedy)
}
