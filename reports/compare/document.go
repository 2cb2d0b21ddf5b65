package compare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"strings"
	"time"

	"nightshift/internal/words"
	"nightshift/reports/render"
)

// Text writes the comparison for a terminal.
func (c *Comparison) Text(w io.Writer) error { return c.document(render.ScreenOf(w)).WriteText(w) }

// Markdown writes the comparison for a pull request or a page.
func (c *Comparison) Markdown(w io.Writer) error { return c.document(render.Screen{}).WriteMarkdown(w) }

// document begins with the verdict in Markdown, where a reader may look no
// further, and ends with the gates in a terminal, where the end is seen first.
func (c *Comparison) document(screen render.Screen) *render.Document {
	d := &render.Document{Heading: "**", Screen: screen}
	d.Block("### " + render.Markdown(c.Runs[0].Name) + ": " + c.verdictLine())
	for line := range strings.Lines(c.facts()) {
		if strings.HasPrefix(line, " ") {
			d.Lines(line)
		} else {
			d.Note("", strings.TrimSuffix(line, "\n"))
		}
	}
	if len(c.Gates) > 0 {
		d.Block(c.gateGrid().Markdown())
		if c.Invalid != "" {
			d.Block("**Invalid:** " + render.Markdown(c.Invalid))
		}
	}
	c.cautions(d)
	grids := c.grids()
	for i, g := range grids {
		if i == 2 {
			d.Block("<details><summary>Cost, latency, how answers ended, categories</summary>")
		}
		d.Grid(g)
	}
	c.changes(d)
	c.disagreements(d)
	c.gateNotes(d)
	d.Block("```\n" + strings.ReplaceAll(c.facts(), "```", "'''") + "\n```")
	if len(grids) > 2 {
		d.Block("</details>")
	}
	return d
}

func (c *Comparison) cautions(d *render.Document) {
	quoted := ""
	for _, w := range c.Warnings {
		d.Note("! ", w)
		quoted += "> " + render.Markdown(w) + "\n>\n"
	}
	if quoted != "" {
		d.Block(quoted)
	}
}

// changes lists what newly fails and passes. In a terminal only against an
// earlier run: among models of one run the disagreements show more.
func (c *Comparison) changes(d *render.Document) {
	list := ""
	add := func(r scorerResult, one delta, n int, what, against string, ids []string) {
		if n == 0 {
			return
		}
		head, shown := sprintf("%s, %s: %d %s", r.Name, one.Label, n, what), ": "+idList(ids, n)
		list += "- " + render.Markdown(head+against+shown) + "\n"
		if c.Baseline == "" {
			d.Note(" ", head+shown)
		}
	}
	for _, r := range c.Scorers {
		for _, one := range r.Deltas {
			add(r, one, one.NewlyFailingCount, "newly failing", " against "+one.Against, one.NewlyFailing)
			add(r, one, one.NewlyPassingCount, "newly passing", "", one.NewlyPassing)
		}
	}
	if list != "" {
		d.Block(list)
	}
}

// disagreements shows the first items in dispute: five in a terminal, ten in
// Markdown.
func (c *Comparison) disagreements(d *render.Document) {
	for _, r := range c.Scorers {
		if len(r.Disagreements) == 0 {
			continue
		}
		what := render.Count(int64(r.Differing)) + " items are scored differently by "
		d.Gap()
		d.Note("", what+r.Name+", largest differences first:")
		d.Block("**" + what + render.Markdown(r.Name) + "**, largest differences first:")
		list := ""
		for i, one := range r.Disagreements[:min(len(r.Disagreements), 10)] {
			if i < 5 {
				d.Lines(one.text(d.Screen.Prose()))
			}
			list += one.markdown()
		}
		d.Block(list)
	}
}

func (d *disagreement) text(most int) string {
	s := lineOf(most, "  "+d.ID+": ", lastMessage(d.Prompt))
	if d.Target != "" {
		s += lineOf(most, "    target: ", d.Target)
	}
	for _, a := range d.Models {
		s += lineOf(most, sprintf("    %s %s: ", a.Label, shownAs(a.Mean, asScore)), cmp.Or(a.Answer, a.Output))
	}
	return s
}

func (d *disagreement) markdown() string {
	s := "- " + render.Markdown(d.ID) + ": " + render.Markdown(inBrief(lastMessage(d.Prompt))) + "\n"
	for _, a := range d.Models {
		s += "  - " + render.Markdown(a.Label) + " " + shownAs(a.Mean, asScore) + ": " +
			render.Markdown(inBrief(cmp.Or(a.Answer, a.Output))) + "\n"
	}
	return s
}

func (c *Comparison) gateNotes(d *render.Document) {
	if len(c.Gates) == 0 {
		return
	}
	d.Gap()
	for _, g := range c.Gates {
		d.Verdict(g.level(), "gate "+g.Word()+": ", "", g.Gate+" ("+g.Detail+")")
	}
	if c.Invalid != "" {
		d.Verdict("bad", "invalid: ", "", c.Invalid)
	}
}

// facts say which runs and models are compared, a line each.
func (c *Comparison) facts() string {
	var b strings.Builder
	for _, r := range c.Runs {
		b.WriteString(r.Name)
		if r.Baseline {
			b.WriteString(" (baseline)")
		}
		b.WriteString(sprintf(": dataset %.12s, %s rows, %s", r.Dataset, render.Count(r.Rows), r.State))
		if r.Started != nil {
			b.WriteString(", " + r.Started.UTC().Format(time.DateOnly))
		}
		if r.PriceTable != "" {
			b.WriteString(", prices " + r.PriceTable)
		}
		b.WriteString("\n")
	}
	b.WriteString(sprintf("%s items", render.Count(int64(c.Items))))
	if c.Epochs > 1 {
		b.WriteString(sprintf(" × %d epochs", c.Epochs))
	}
	if c.Clusters != nil {
		b.WriteString(sprintf(" in %s clusters", render.Count(int64(c.Clusters.Clusters))))
	}
	b.WriteString("\n")
	for _, m := range c.Models {
		line := "  " + m.Label
		if m.ModelID != m.Label {
			line += " = " + m.ModelID
		}
		if m.Endpoint != "" {
			line += " at " + m.Endpoint
		}
		if p := paramsText(m.Params); p != "" {
			line += ", " + p
		}
		b.WriteString(line + "\n")
	}
	return strings.TrimRight(plainLines(b.String()), "\n")
}

// paramsText writes parameters on a line.
func paramsText(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil || b.String() == "null" {
		return ""
	}
	return strings.Trim(b.String(), "{}")
}

// plainLines is plain, line by line.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = render.Plain(l)
	}
	return strings.Join(lines, "\n")
}

func idList(ids []string, n int) string {
	shown := ids[:min(len(ids), 10)]
	s := join(shown, ", ")
	if n > len(shown) {
		s += ", …"
	}
	return s
}

// lineOf cuts a text to a line of so many characters.
func lineOf(most int, label, text string) string {
	return words.Shorten(render.Plain(label)+render.Plain(strings.Join(strings.Fields(text), " ")), most) + "\n"
}

// lastMessage is the text of the last message of a prompt, for people.
func lastMessage(prompt string) string {
	var messages []struct {
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal([]byte(prompt), &messages) != nil || len(messages) == 0 {
		return prompt
	}
	content := messages[len(messages)-1].Content
	var text string
	if json.Unmarshal(content, &text) != nil {
		return string(content)
	}
	return text
}

func (c *Comparison) gateGrid() render.Grid {
	g := render.Grid{Title: "Gates", Texts: 3, Head: []string{"gate", "result", "figures"}}
	for _, one := range c.Gates {
		g.Rows = append(g.Rows, []string{one.Gate, one.Word(), one.Detail})
	}
	return g
}

// verdictLine is the result in one line.
func (c *Comparison) verdictLine() string {
	var parts []string
	for _, r := range c.Scorers[:min(len(c.Scorers), 1)] {
		for _, e := range r.Effects {
			parts = append(parts, render.Markdown(e.name()+" "+e.Why))
		}
		if len(r.Effects) > 0 {
			continue
		}
		for _, d := range r.Deltas {
			parts = append(parts, render.Markdown(d.Label+" "+d.Why))
		}
	}
	if c.Missed() {
		parts = append([]string{"a gate was missed"}, parts...)
	}
	if len(parts) == 0 {
		return "scores"
	}
	return join(parts, "; ")
}

// inBrief is a text on one line of a page.
func inBrief(s string) string {
	runes := []rune(strings.Join(strings.Fields(s), " "))
	if len(runes) > 200 {
		return string(runes[:199]) + "…"
	}
	return string(runes)
}

// JUnit writes the gates as JUnit XML, one test case a gate. A run that proves
// nothing is one more case, in error.
func (c *Comparison) JUnit(w io.Writer) error {
	var cases []render.Case
	for _, g := range c.Gates {
		one := render.Case{Name: g.Gate, Output: g.Detail}
		switch {
		case g.CannotTell:
			one.Error = cmp.Or(g.Detail, g.Word())
		case !g.Passed:
			one.Failure = cmp.Or(g.Detail, g.Word())
		}
		cases = append(cases, one)
	}
	if c.Invalid != "" {
		cases = append(cases, render.Case{Name: "the run is valid", Error: c.Invalid})
	}
	return render.JUnit(w, "nightshift "+c.Runs[0].Name, "nightshift.gates", c.Created, cases)
}
