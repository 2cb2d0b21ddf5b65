package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"nightshift"
	"nightshift/reports/scorers"
)

// reviewedRows is how many rows are looked at before anything is sent.
const reviewedRows = 200

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
	for s, err := range firstRows(ctx, j.dataset, reviewedRows) {
		if err != nil {
			continue // the dataset's own errors are told elsewhere
		}
		asked := fmt.Sprint(s.System, s.Messages, s.Turns, s.Params, string(s.Body))
		if rows++; rows == 1 {
			first = asked
		}
		same = same && asked == first
		for _, c := range checks {
			c.look(s)
		}
	}
	if same && rows > 1 {
		j.note("all of the first %d rows ask the same%s", rows, j.braces())
	}
	var problems []error
	for _, c := range checks {
		problems = append(problems, c.problem(j, rows))
	}
	return errors.Join(problems...)
}

func (j *job) note(format string, args ...any) {
	j.plan.Notes = append(j.plan.Notes, fmt.Sprintf(format, args...))
}

// singleBraces is a placeholder in the style of other tools.
var singleBraces = regexp.MustCompile(`(?:^|[^{])\{\s*(\w+)\s*\}(?:[^}]|$)`)

// braces is a hint for templates whose placeholders have one brace.
func (j *job) braces() string {
	for _, found := range singleBraces.FindAllStringSubmatch(j.plan.Dataset.Prompt, -1) {
		if slices.Contains(j.dataset.Info().Fields, found[1]) {
			return fmt.Sprintf(": the prompt has { %s } in single braces; a field is written {{ %s }}", found[1], found[1])
		}
	}
	return ""
}

// A targetCheck counts rows that a scorer cannot score, whatever a model
// answers: their target is missing, or is none that the scorer can read.
type targetCheck struct {
	scorer scorers.Scorer
	rows   int
	why    string // for the first of them
}

// targetChecks are checks for the plan's scorers that need no request.
func (j *job) targetChecks() (checks []*targetCheck, err error) {
	for _, s := range j.plan.Scorers {
		info, err := scorers.Lookup(s.Spec.Type)
		if err != nil {
			return nil, usageError("%w", err)
		}
		if info.Kind != scorers.Pure && info.Kind != scorers.OfCorpus {
			continue
		}
		scorer, err := scorers.New(s.Spec)
		if err != nil {
			return nil, usageError("%w", err)
		}
		checks = append(checks, &targetCheck{scorer: scorer})
	}
	return checks, nil
}

func (c *targetCheck) look(s nightshift.Sample) {
	var target *scorers.Target
	if s.HasTarget {
		target = scorers.NewTarget(s.Target, s.TargetIsList)
	}
	problem := scorers.TargetProblem(c.scorer, target)
	if problem == "" {
		return
	}
	if c.rows++; c.why == "" {
		c.why = fmt.Sprintf("%s:%d: %s", s.File, s.Line, problem)
	}
}

// problem is an error when no row can be scored, and a note when some cannot.
func (c *targetCheck) problem(j *job, rows int) error {
	switch {
	case c.rows == 0:
		return nil
	case c.rows < rows:
		j.note("scorer %s cannot score %d of the first %d rows: %s", c.scorer.Name(), c.rows, rows, c.why)
		return nil
	}
	remedy := "say what a right answer is: --target '{{ field }}', or target: in the plan's dataset; or leave the scorer out"
	if fields := j.dataset.Info().Fields; len(fields) > 0 {
		remedy += fmt.Sprintf("; the fields are %s", strings.Join(fields, ", "))
	}
	return usageError("scorer %s can score none of the first %d rows: %s\n%s", c.scorer.Name(), rows, c.why, remedy)
}
