package estimate

import (
	"encoding/json"
	"fmt"
	"io"
	"nightshift/internal/words"
	"strings"
	"text/tabwriter"
)

// Text writes the forecast for people.
func (f *Forecast) Text(w io.Writer) error {
	p := &printer{w: w}
	for _, text := range f.Warnings {
		p.line("WARNING: %s\n", words.Visible(text))
	}
	f.printDataset(p)
	f.printPrompt(p)
	f.printTable(p)
	f.printBatches(p)
	f.printCaching(p)
	f.printHours(p)
	f.printMachines(p)
	f.Budget.print(p)
	f.printComparison(p)
	f.printNotes(p)
	return p.err
}

// A printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (f *Forecast) printDataset(p *printer) {
	d := f.Dataset
	p.line("%s: %s", words.Visible(f.Name), words.Visible(d.words))
	p.line("  files     %s", words.Visible(strings.Join(d.Files, ", ")))
	p.line("  fields    %s", words.Visible(strings.Join(d.Fields, ", ")))
	p.line("  rows      %d selected of %d; %d bad, %d with an id that an earlier row has, %d without an id, %d "+
		"blank lines",
		d.Selected, d.Rows, d.Bad, d.Duplicates, d.NoID, d.Blank)
	for _, one := range f.Datasets {
		p.line("  dataset   %s: %s", words.Visible(one.Name), words.Visible(one.words))
	}
	for _, problem := range d.Problems {
		p.line("            ! %s", words.Visible(problem))
	}
	p.line("  into      %s", words.Visible(f.Out))
	if f.OnRecord > 0 {
		p.line("            %d answers are on record there already; the estimate counts them again", f.OnRecord)
	}
	for _, m := range f.Models {
		if n, ok := f.Reused[m.Model]; ok && !m.Judge {
			p.line("  reuse     %s: %s taken over from earlier runs; the estimate leaves them out", words.Visible(m.Model),
				words.Counted(n, "answer"))
		}
	}
}

func (f *Forecast) printPrompt(p *printer) {
	p.line("\nfirst prompt (%s)", f.Prompt.name)
	if f.Prompt.System != "" {
		p.quote("system", f.Prompt.System)
	}
	for _, m := range f.Prompt.Messages {
		text, plain := m.Content.(string)
		if !plain {
			b, _ := json.Marshal(m.Content) // it was JSON
			text = string(b)
		}
		p.quote(m.Role, text)
	}
	for _, t := range f.Prompt.Turns {
		p.quote("then", t)
	}
	if f.Prompt.Target != "" {
		p.quote("target", f.Prompt.Target)
	}
	for _, m := range f.Models {
		if m.Judge {
			continue
		}
		p.line("\n%s → %s (%s)", words.Visible(m.Model), words.Visible(m.URL), m.Protocol)
		if body := f.Prompt.Bodies[m.Model]; body != nil {
			p.line("  %s", cutMiddle(words.Visible(string(body)), 600))
		}
		if m.Unsendable > 0 {
			p.line("  ! %d of the %d rows looked at cannot be sent: %s",
				m.Unsendable, m.largest.looked, words.Visible(m.Problem))
		}
	}
}

// quote shows a text of a row beside its name, cut after a few lines.
func (p *printer) quote(name, text string) {
	const most = 12
	lines := strings.Split(words.Cut(strings.TrimRight(text, "\n"), 1200), "\n")
	if len(lines) > most {
		lines = append(lines[:most:most], fmt.Sprintf("… and %d lines more", len(lines)-most))
	}
	for i, l := range lines {
		if i > 0 {
			name = ""
		}
		p.line("  %-9s │ %s", words.Visible(name), words.Visible(l))
	}
}

func (f *Forecast) printTable(p *printer) {
	p.line("\nestimate (a range that should hold nine times in ten; retries and caching are not in it)")
	t := tabwriter.NewWriter(p.w, 2, 8, 2, ' ', 0)
	row := func(name string, requests float64, in, out span, cost *span, most *float64, atLeast bool) {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", words.Visible(name), words.Short(int64(requests+0.5)), in.tokens(),
			out.tokens(), money(cost, atLeast), moneyAtMost(most))
	}
	fmt.Fprintln(t, "  \trequests\tinput tokens\toutput tokens\tcost\tat most")
	for _, m := range f.Models {
		name := m.Model
		if m.Judge {
			name += " (judge)"
		}
		row(name, m.Requests, m.Input, m.Output, m.CostUSD, m.AtMostUSD, false)
	}
	if len(f.Models) > 1 {
		s := f.Total
		row("all", s.Requests, s.Input, s.Output, s.CostUSD, s.AtMostUSD, s.CostAtLeast)
	}
	if p.err == nil {
		p.err = t.Flush()
	}
	f.printSections(p)
	for _, m := range f.Models {
		if c := f.Calibration[m.Model]; c != nil && !m.Judge {
			p.line("  %s: measured on %d answers to %d requests, %s tokens, %s",
				words.Visible(m.Model), c.Answers, c.Sent, words.Short(c.Tokens), words.Dollars(c.CostUSD, false))
			if c.Failed != "" {
				p.line("  ! %s: %s", words.Visible(m.Model), words.Visible(c.Failed))
			}
		}
	}
}

// printSections shows what each of several datasets takes.
func (f *Forecast) printSections(p *printer) {
	if f.Datasets == nil {
		return
	}
	p.line("\nby dataset (all models together, without judges)")
	t := tabwriter.NewWriter(p.w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "  \trows\tinput tokens\toutput tokens\tcost")
	for _, d := range f.Datasets {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", words.Visible(d.Name), words.Short(d.Selected), d.Input.tokens(),
			d.Output.tokens(), money(d.CostUSD, d.CostAtLeast))
	}
	if p.err == nil {
		p.err = t.Flush()
	}
}

func (s span) tokens() string {
	return fmt.Sprintf("%s (%s–%s)",
		words.Short(int64(s.Likely+0.5)), words.Short(int64(s.Low+0.5)), words.Short(int64(s.High+0.5)))
}

func money(s *span, atLeast bool) string {
	if s == nil {
		return "not known"
	}
	text := fmt.Sprintf("%s (%s–%s)",
		words.Dollars(s.Likely, false), words.Dollars(s.Low, false), words.Dollars(s.High, false))
	if atLeast {
		return "at least " + text
	}
	return text
}

func moneyAtMost(most *float64) string {
	if most == nil {
		return "not known"
	}
	return words.Dollars(*most, false)
}

func (f *Forecast) printNotes(p *printer) {
	list := func(title string, texts []string) {
		for i, t := range texts {
			if i == 0 {
				p.line("\n%s", title)
			}
			p.line("  - %s", words.Visible(t))
		}
	}
	list("not known", f.Unknown)
	list("to know", f.Notes)
	list("needed to run", f.MissingKeys)
}

// cutMiddle shortens a text to about n bytes and keeps both ends: parameters
// stand at the end of request bodies.
func cutMiddle(s string, n int) string {
	if len(s) <= n {
		return s
	}
	start, end := s[:n/2], s[len(s)-n/2:]
	return strings.ToValidUTF8(start, "") + fmt.Sprintf(" … (%d bytes in all) … ", len(s)) + strings.ToValidUTF8(end, "")
}
