package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"nightshift"
)

// JSON writes the summary as indented JSON.
func (s *Summary) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(s)
}

// Text writes the summary for a terminal.
func (s *Summary) Text(w io.Writer) error {
	var b strings.Builder
	b.WriteString(s.headline() + "\n")
	for _, t := range s.tables() {
		b.WriteString("\n" + t.text() + "\n")
	}
	for _, e := range s.Errors {
		fmt.Fprintf(&b, "\n%s: %s rows failed with %s, first %s: %s", e.Model, count(e.Rows), e.Class, plain(e.FirstID), plain(e.Example))
	}
	if len(s.Errors) > 0 {
		b.WriteString("\n")
	}
	for _, note := range s.Warnings {
		b.WriteString("\n! " + plain(note))
	}
	if len(s.Warnings) > 0 {
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes the summary for a page or a pull request.
func (s *Summary) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# " + markdown(s.Name) + "\n\n" + markdown(s.headline()) + "\n")
	for _, t := range s.tables() {
		b.WriteString("\n## " + t.Title + "\n\n" + t.markdown())
	}
	if len(s.Errors) > 0 {
		b.WriteString("\n## Failures\n\n")
		for _, e := range s.Errors {
			fmt.Fprintf(&b, "- **%s**: %s rows, `%s`, first `%s`: %s\n", markdown(e.Model), count(e.Rows), e.Class, markdown(e.FirstID), markdown(e.Example))
		}
	}
	if len(s.Warnings) > 0 {
		b.WriteString("\n## Read with care\n\n")
		for _, note := range s.Warnings {
			b.WriteString("- " + markdown(note) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Summary) headline() string {
	h := sprintf("%s: %s rows × %d models", plain(s.Name), count(s.Dataset.Rows), len(s.Models))
	if s.Epochs > 1 {
		h += sprintf(" × %d epochs", s.Epochs)
	}
	h += ", " + s.State
	if s.Started != nil && s.Finished != nil {
		h += " in " + s.Finished.Sub(*s.Started).Round(100*time.Millisecond).String()
	}
	return h + ", " + money(s.Total.CostNanoUSD, s.Total.AtLeast())
}

func (s *Summary) tables() []Grid {
	return []Grid{s.outcomes(), s.stops(), s.spending(), s.times()}
}

var outcomeOrder = []nightshift.Outcome{
	nightshift.OutcomeOK, nightshift.OutcomeTruncated, nightshift.OutcomeRefused, nightshift.OutcomeEmpty,
	nightshift.OutcomeFailed, nightshift.OutcomeInputError, nightshift.OutcomeUnknown,
}

func (s *Summary) outcomes() Grid {
	g := Grid{Title: "Rows", Head: []string{"rows"}}
	shown := slices.DeleteFunc(slices.Clone(outcomeOrder), func(o nightshift.Outcome) bool {
		return o != nightshift.OutcomeOK && o != nightshift.OutcomeFailed && !s.any(func(m ModelSummary) bool { return m.Outcomes[o] > 0 })
	})
	notRun := s.any(func(m ModelSummary) bool { return m.NotRun() > 0 })
	for _, o := range shown {
		g.Head = append(g.Head, strings.ReplaceAll(string(o), "_", " "))
	}
	if notRun {
		g.Head = append(g.Head, "not run")
	}
	g.Head = append(g.Head, "total", "retries")
	for _, m := range s.Models {
		row := []string{m.Model}
		for _, o := range shown {
			row = append(row, count(m.Outcomes[o]))
		}
		if notRun {
			row = append(row, count(m.NotRun()))
		}
		g.Rows = append(g.Rows, append(row, count(m.Expected), count(m.Retries)))
	}
	return g
}

func (s *Summary) any(is func(ModelSummary) bool) bool { return slices.ContainsFunc(s.Models, is) }

func (s *Summary) stops() Grid {
	reasons := map[string]bool{}
	for _, m := range s.Models {
		for r := range m.StopReasons {
			reasons[r] = true
		}
	}
	order := slices.Sorted(maps.Keys(reasons))
	g := Grid{Title: "Stop reasons", Head: append([]string{"stop reasons"}, order...)}
	for _, m := range s.Models {
		row := []string{m.Model}
		for _, r := range order {
			row = append(row, count(m.StopReasons[r]))
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}

func (s *Summary) spending() Grid {
	g := Grid{Title: "Tokens and cost", Head: []string{"tokens", "input", "cached", "output", "reasoning", "cost", "per 1,000"}}
	line := func(name string, sp Spending, rows int64) []string {
		each := "-"
		if rows > 0 {
			each = money(sp.CostNanoUSD*1000/rows, sp.AtLeast())
		}
		return []string{name, count(sp.InputTokens), count(sp.CacheReadTokens), count(sp.OutputTokens),
			count(sp.ReasoningTokens), money(sp.CostNanoUSD, sp.AtLeast()), each}
	}
	var rows int64
	for _, m := range s.Models {
		g.Rows = append(g.Rows, line(m.Model, m.Spending, m.Rows))
		rows += m.Rows
	}
	if len(s.Models) > 1 {
		g.Rows = append(g.Rows, line("all", s.Total, rows))
	}
	return g
}

func (s *Summary) times() Grid {
	g := Grid{Title: "Latency", Head: []string{"latency", "p50", "p90", "p95", "p99", "max", "first token p50"}}
	for _, m := range s.Models {
		l := m.LatencyMS
		g.Rows = append(g.Rows, []string{m.Model, seconds(l.P50), seconds(l.P90), seconds(l.P95), seconds(l.P99), seconds(l.Max), seconds(m.FirstTokenMS.P50)})
	}
	return g
}
