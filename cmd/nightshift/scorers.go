package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nightshift/reports/scorers"
)

func (a *app) scorersCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "scorers [NAME]",
		Short: "List the scorers: what each reads and gives; with a NAME its parameters and an example",
		Long: `Lists the scorers, with what each reads of an answer and of its row, and which values
it gives. With a NAME, its parameters and an example: a row, an answer, the line of
the plan, and the score.

A scorer stands in scorers: of a plan, or on the command line: --scorer number, or
with parameters --scorer number:style=first,rel_tol=0.01`,
		Example:           "  nightshift scorers\n  nightshift scorers number\n  nightshift scorers judge_grade --json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeScorers,
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 1:
				return a.showScorer(args[0], asJSON)
			case asJSON:
				return a.printJSON(scorers.Types())
			}
			return a.listScorers()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// scorersOf are the scorers of a group.
func scorersOf(group string) []scorers.TypeInfo {
	return slices.DeleteFunc(scorers.Types(), func(t scorers.TypeInfo) bool { return t.Group != group })
}

func (a *app) listScorers() error {
	for i, group := range scorers.Groups {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		fmt.Fprintln(a.out, group)
		for _, s := range scorersOf(group) {
			field(a, "  "+s.Type, 18, "reads "+s.Reads)
			field(a, "", 18, "gives "+s.Gives)
		}
	}
	_, err := fmt.Fprintln(a.out, "\nnightshift scorers NAME shows parameters and an example.")
	return err
}

// showScorer prints everything about one scorer.
func (a *app) showScorer(name string, asJSON bool) error {
	s, err := scorers.Lookup(name)
	if err != nil {
		return usageError("%w\nnightshift scorers lists them", err)
	}
	if asJSON {
		return a.printJSON(s)
	}
	field(a, "", 0, s.Type+": "+s.Doc)
	fmt.Fprintln(a.out)
	field(a, "reads", 8, s.Reads)
	field(a, "gives", 8, s.Gives)
	if s.Needs != "" {
		field(a, "needs", 8, s.Needs)
	}
	a.showParameters(s)
	a.showExample(s.Example)
	return nil
}

func (a *app) showParameters(s scorers.TypeInfo) {
	if len(s.Params) == 0 {
		fmt.Fprintln(a.out, "\nIt has no parameters.")
		return
	}
	fmt.Fprintln(a.out, "\nParameters")
	for _, p := range s.Params {
		about := p.Type
		switch {
		case p.Required:
			about += ", must be given"
		case usualDefault(p.Default) != "":
			about += ", default " + usualDefault(p.Default)
		}
		field(a, "  "+p.Name, 18, p.Doc+" ("+about+")")
	}
}

// usualDefault is a default that is worth telling; an empty one is not.
func usualDefault(raw []byte) string {
	if slices.Contains([]string{`""`, "null", "[]", "{}"}, string(raw)) {
		return ""
	}
	return strings.Trim(string(raw), `"`)
}

func (a *app) showExample(e scorers.Example) {
	fmt.Fprintln(a.out, "\nExample")
	w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', 0)
	for _, l := range exampleLines(e) {
		fmt.Fprintf(w, "  %s\t%s\n", l[0], strings.ReplaceAll(l[1], "\n", "\n  \t"))
	}
	w.Flush()
}

// exampleLines are the parts of an example with their names.
func exampleLines(e scorers.Example) (lines [][2]string) {
	add := func(name, text string) {
		if text != "" {
			lines = append(lines, [2]string{name, text})
		}
	}
	add("row", e.Row)
	add("answer", e.Answer)
	add("columns", e.Columns)
	for _, r := range e.Replies {
		add("reply", r)
	}
	add("plan", "scorers:\n  - "+e.Plan)
	score := strconv.FormatFloat(e.Score, 'g', 4, 64)
	if e.Read != "" {
		score += ", read: " + e.Read
	}
	add("score", score)
	return lines
}

// field prints a name, and a text that is wrapped beside it: to 90 columns, or to
// those of a narrower terminal.
func field(a *app, name string, indent int, text string) {
	width := 90
	if columns := terminalColumns(a.out); columns > 0 {
		width = max(min(width, columns-1), indent+12)
	}
	lines := strings.Split(wrap(text, width-indent, 0), "\n")
	for i, line := range lines {
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(a.out, "%-*s%s\n", indent, name, line)
	}
}
