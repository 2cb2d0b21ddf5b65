package compare

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"time"

	"nightshift/reports/render"
)

// textWidth of a terminal that text is written for.
const textWidth = 80

// Text writes the comparison for a terminal.
func (c *Comparison) Text(w io.Writer) error {
	var b strings.Builder
	b.WriteString(c.headlineText() + "\n")
	for _, note := range c.Warnings {
		b.WriteString(folded("! ", note))
	}
	for _, s := range c.panels() {
		b.WriteString("\n" + s.Text() + "\n")
		for _, note := range s.notes {
			b.WriteString(folded(" ", note))
		}
	}
	c.changesText(&b)
	c.disagreementsText(&b)
	c.gatesText(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Comparison) headlineText() string {
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

// folded breaks a text into lines of a terminal; mark begins the first.
func folded(mark, text string) string {
	var b strings.Builder
	line := mark
	indent := strings.Repeat(" ", len(mark))
	for word := range strings.FieldsSeq(render.Plain(text)) {
		if len([]rune(line))+1+len([]rune(word)) > textWidth && strings.TrimSpace(line) != "" {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		if strings.TrimSpace(line) != "" && !strings.HasSuffix(line, " ") {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
	return b.String()
}

// changesText lists what newly fails and passes against an earlier run.
func (c *Comparison) changesText(b *strings.Builder) {
	if c.Baseline != "" {
		return
	}
	for _, r := range c.Scorers {
		for _, d := range r.Deltas {
			for _, change := range []struct {
				name string
				n    int
				ids  []string
			}{{"newly failing", d.NewlyFailingCount, d.NewlyFailing}, {"newly passing", d.NewlyPassingCount, d.NewlyPassing}} {
				if change.n > 0 {
					b.WriteString(folded(" ", sprintf("%s, %s: %d %s: %s", r.Name, d.Label, change.n, change.name, idList(change.ids, change.n))))
				}
			}
		}
	}
}

func idList(ids []string, n int) string {
	shown := ids[:min(len(ids), 10)]
	s := join(shown, ", ")
	if n > len(shown) {
		s += ", …"
	}
	return s
}

// disagreementsText shows the first few items in dispute.
func (c *Comparison) disagreementsText(b *strings.Builder) {
	for _, r := range c.Scorers {
		if len(r.Disagreements) == 0 {
			continue
		}
		b.WriteString(sprintf("\n%s items are scored differently by %s, the most lopsided:\n", render.Count(int64(r.Differing)), render.Plain(r.Name)))
		for _, d := range r.Disagreements[:min(len(r.Disagreements), 5)] {
			b.WriteString(lineOf("  "+d.ID+": ", lastMessage(d.Prompt)))
			if d.Target != "" {
				b.WriteString(lineOf("    target: ", d.Target))
			}
			for _, a := range d.Models {
				b.WriteString(lineOf(sprintf("    %s %s: ", a.Label, shownAs(a.Mean, asScore)), firstOf(a.Answer, a.Output)))
			}
		}
	}
}

// lineOf cuts a text to what a terminal line holds.
func lineOf(label, text string) string {
	runes := []rune(render.Plain(label) + render.Plain(strings.Join(strings.Fields(text), " ")))
	if len(runes) > textWidth {
		runes = append(runes[:textWidth-1], '…')
	}
	return string(runes) + "\n"
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
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

func (c *Comparison) gatesText(b *strings.Builder) {
	if len(c.Gates) == 0 {
		return
	}
	b.WriteString("\n")
	for _, g := range c.Gates {
		b.WriteString(folded("gate "+g.Word()+": ", g.Gate+" ("+g.Detail+")"))
	}
	if c.Invalid != "" {
		b.WriteString(folded("invalid: ", c.Invalid))
	}
}

func (c *Comparison) gateGrid() render.Grid {
	g := render.Grid{Title: "Gates", Texts: 3, Head: []string{"gate", "result", "figures"}}
	for _, one := range c.Gates {
		g.Rows = append(g.Rows, []string{one.Gate, one.Word(), one.Detail})
	}
	return g
}

// Markdown writes the comparison for a pull request or a page.
func (c *Comparison) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("### " + render.Markdown(c.Runs[0].Name) + ": " + c.verdictLine() + "\n\n")
	if len(c.Gates) > 0 {
		b.WriteString(c.gateGrid().Markdown() + "\n")
		if c.Invalid != "" {
			b.WriteString("**Invalid:** " + render.Markdown(c.Invalid) + "\n\n")
		}
	}
	for _, note := range c.Warnings {
		b.WriteString("> " + render.Markdown(note) + "\n>\n")
	}
	if len(c.Warnings) > 0 {
		b.WriteString("\n")
	}
	panels := c.panels()
	for i, s := range panels {
		if i == 2 {
			b.WriteString("<details><summary>Cost, latency, how answers ended, categories</summary>\n\n")
		}
		b.WriteString("**" + render.Markdown(s.Title) + "**\n\n" + s.Markdown() + "\n")
		for _, note := range s.notes {
			b.WriteString("- " + render.Markdown(note) + "\n")
		}
		if len(s.notes) > 0 {
			b.WriteString("\n")
		}
	}
	c.markdownChanges(&b)
	c.markdownDisagreements(&b)
	b.WriteString("```\n" + strings.ReplaceAll(c.headlineText(), "```", "'''") + "\n```\n")
	if len(panels) > 2 {
		b.WriteString("\n</details>\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verdictLine is the result in one line.
func (c *Comparison) verdictLine() string {
	var parts []string
	for _, r := range c.Scorers[:min(len(c.Scorers), 1)] {
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

func (c *Comparison) markdownChanges(b *strings.Builder) {
	for _, r := range c.Scorers {
		for _, d := range r.Deltas {
			if d.NewlyFailingCount > 0 {
				b.WriteString(sprintf("- %s, %s: %d newly failing against %s: %s\n", render.Markdown(r.Name), render.Markdown(d.Label), d.NewlyFailingCount, render.Markdown(d.Against), render.Markdown(idList(d.NewlyFailing, d.NewlyFailingCount))))
			}
			if d.NewlyPassingCount > 0 {
				b.WriteString(sprintf("- %s, %s: %d newly passing: %s\n", render.Markdown(r.Name), render.Markdown(d.Label), d.NewlyPassingCount, render.Markdown(idList(d.NewlyPassing, d.NewlyPassingCount))))
			}
		}
	}
	b.WriteString("\n")
}

func (c *Comparison) markdownDisagreements(b *strings.Builder) {
	for _, r := range c.Scorers {
		if len(r.Disagreements) == 0 {
			continue
		}
		b.WriteString(sprintf("**%s items are scored differently by %s**; the most lopsided:\n\n", render.Count(int64(r.Differing)), render.Markdown(r.Name)))
		for _, d := range r.Disagreements[:min(len(r.Disagreements), 10)] {
			b.WriteString("- " + render.Markdown(d.ID) + ": " + render.Markdown(inBrief(lastMessage(d.Prompt))) + "\n")
			for _, a := range d.Models {
				b.WriteString("  - " + render.Markdown(a.Label) + " " + shownAs(a.Mean, asScore) + ": " + render.Markdown(inBrief(firstOf(a.Answer, a.Output))) + "\n")
			}
		}
		b.WriteString("\n")
	}
}

// inBrief is a text on one line of a page.
func inBrief(s string) string {
	runes := []rune(strings.Join(strings.Fields(s), " "))
	if len(runes) > 200 {
		return string(runes[:199]) + "…"
	}
	return string(runes)
}
