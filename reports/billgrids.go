package reports

import (
	"fmt"
	"io"
	"strings"

	"nightshift"
	"nightshift/reports/render"
)

// JSON writes the bill as indented JSON.
func (b *Bill) JSON(w io.Writer) error { return render.JSON(w, b) }

// Text writes the bill for a terminal.
func (b *Bill) Text(w io.Writer) error { return b.document(render.ScreenOf(w)).WriteText(w) }

// Markdown writes the bill for a page.
func (b *Bill) Markdown(w io.Writer) error { return b.document(render.Screen{}).WriteMarkdown(w) }

func (b *Bill) document(screen render.Screen) *render.Document {
	d := &render.Document{Screen: screen}
	d.Lead(b.headline())
	for _, g := range b.grids() {
		d.Grid(g)
	}
	d.Remarks("", "! ", render.Remarked(b.notes()))
	return d
}

func (b *Bill) headline() string {
	h := b.Total.money() + " for " + render.Count(b.Total.Attempts) + " requests, prices " + b.Prices
	if most := b.Total.AtMostNanoUSD; b.Total.AtLeast() && most != nil {
		h += "; at most " + render.Money(*most, false)
	}
	return h
}

// money writes the cost of an entry: "-" where nothing of it is known.
func (e entry) money() string {
	if e.CostNanoUSD == 0 && e.AtLeast() && e.AtMostNanoUSD == nil {
		return render.Unknown
	}
	return render.Money(e.CostNanoUSD, e.AtLeast())
}

func (b *Bill) grids() []render.Grid {
	grids := []render.Grid{b.lines()}
	if g := b.outside(); len(g.Rows) > 0 {
		grids = append(grids, g)
	}
	if g := b.projected(); len(g.Rows) > 0 {
		grids = append(grids, g)
	}
	return grids
}

func (b *Bill) lines() render.Grid {
	g := render.Grid{Title: "Cost by " + strings.ReplaceAll(strings.Join(b.By, ", "), "_", " "), Texts: len(b.By),
		Total: len(b.Lines) != 1}
	for _, word := range b.By {
		g.Head = append(g.Head, strings.ReplaceAll(word, "_", " "))
	}
	optional := b.optional()
	g.Head = append(g.Head, "requests", "input", "output")
	for _, o := range optional {
		g.Head = append(g.Head, o.head)
	}
	g.Head = append(g.Head, "cost")
	row := func(key []string, e entry) {
		cells := append(key[:len(key):len(key)], render.Count(e.Attempts), render.Count(e.Input), render.Count(e.Output))
		for _, o := range optional {
			cells = append(cells, o.cell(e))
		}
		g.Rows = append(g.Rows, append(cells, e.money()))
	}
	for _, l := range b.Lines {
		row(l.Key, l.entry)
	}
	if g.Total {
		key := make([]string, len(b.By))
		key[0] = "all"
		row(key, b.Models)
	}
	return g
}

// An entryColumn is shown where it says something.
type entryColumn struct {
	head string
	of   func(entry) int64
	cell func(entry) string
}

var entryColumns = []entryColumn{
	{"cache read", func(e entry) int64 { return e.CacheRead }, func(e entry) string { return render.Count(e.CacheRead) }},
	{"cache hit", func(e entry) int64 { return e.CacheRead }, entry.cacheHit},
	{"cache write", func(e entry) int64 {
		return e.CacheWrite
	}, func(e entry) string { return render.Count(e.CacheWrite) }},
	{"reasoning", func(e entry) int64 { return e.Reasoning }, func(e entry) string { return render.Count(e.Reasoning) }},
	{"searches", func(e entry) int64 { return e.Searches }, func(e entry) string { return render.Count(e.Searches) }},
	{"no usage", func(e entry) int64 { return e.NoUsage }, func(e entry) string { return render.Count(e.NoUsage) }},
	{"no price", func(e entry) int64 { return e.NoPrice }, func(e entry) string { return render.Count(e.NoPrice) }},
	{"cache saved", func(e entry) int64 {
		return e.SavedNanoUSD
	}, func(e entry) string { return render.Money(e.SavedNanoUSD, false) }},
	{"cache missed", func(e entry) int64 {
		return e.MissedNanoUSD
	}, func(e entry) string { return render.Money(e.MissedNanoUSD, false) }},
	{"batch saved", func(e entry) int64 { return e.BatchSavedNanoUSD }, func(e entry) string {
		return render.Money(e.BatchSavedNanoUSD, false)
	}},
	{"reported", func(e entry) int64 { return e.ReportedAttempts }, func(e entry) string { return e.reported() }},
}

// cacheHit is the share of the input that was read from a prompt cache.
func (e entry) cacheHit() string {
	return fmt.Sprintf("%.1f %%", 100*float64(e.CacheRead)/float64(max(e.Input+e.CacheRead+e.CacheWrite, 1)))
}

// missed is what cache misses cost; empty without any.
func (e entry) missed() string {
	if e.CacheMisses == 0 {
		return ""
	}
	return render.Money(e.MissedNanoUSD, false)
}

// reported is the providers' own figure; at least, where not every request
// that counts has one.
func (e entry) reported() string {
	if e.ReportedAttempts == 0 {
		return "-"
	}
	return render.Money(e.ReportedNanoUSD, e.ReportedAttempts < e.Attempts)
}

func (b *Bill) optional() []entryColumn {
	var shown []entryColumn
	for _, c := range entryColumns {
		if c.of(b.Total) != 0 {
			shown = append(shown, c)
		}
	}
	return shown
}

// outside are the costs beside those of the models.
func (b *Bill) outside() render.Grid {
	g := render.Grid{Title: "Beside the models",
		Head: []string{"beside the models", "requests", "input", "output", "cost"}, Total: true}
	row := func(name string, e entry) {
		g.Rows = append(
			g.Rows, []string{name, render.Count(e.Attempts), render.Count(e.Input), render.Count(e.Output), e.money()})
	}
	for _, l := range b.Judges {
		row(innerName(l.Key), l.entry)
	}
	if b.Unsettled != nil {
		row("rows without a record", *b.Unsettled)
	}
	if len(g.Rows) > 0 {
		row("everything", b.Total)
	}
	return g
}

func (b *Bill) projected() render.Grid {
	g := render.Grid{Title: "Remaining rows", Head: []string{"remaining rows", "rows", "cost", "low", "high"},
		Note: "Assumes that the remaining rows are like those on record; low to high is a 95 % interval."}
	for _, p := range b.Projection {
		usd := func(v float64) string { return render.Money(int64(v*1e9), p.AtLeast) }
		g.Rows = append(g.Rows, []string{p.Model, render.Count(p.Rows), usd(p.CostUSD), usd(p.LowUSD), usd(p.HighUSD)})
	}
	return g
}

func (b *Bill) notes() []string {
	var notes []string
	t := b.Total
	if t.NoUsage > 0 {
		notes = append(
			notes, sprintf(
				"%s requests were billed, or may have been, without saying what they used: costs read “at least”",
				render.Count(t.NoUsage)))
	}
	if t.NoPrice > 0 {
		notes = append(
			notes, sprintf("%s requests have no known price: name one in the plan or give --prices FILE",
				render.Count(t.NoPrice)))
	}
	if diff := t.ReportedNanoUSD - t.CostNanoUSD; t.ReportedAttempts == t.Attempts && t.Attempts > 0 && !t.AtLeast() &&
		diff != 0 {
		notes = append(
			notes, sprintf("the providers' own figure is %s, %s from ours", render.Money(t.ReportedNanoUSD, false),
				render.Money(diff, false)))
	}
	if t.Reused > 0 {
		notes = append(notes, reusedNote(t))
	}
	if b.Extras > 0 {
		notes = append(notes,
			sprintf("batches brought %s for rows that had one already (%s); rows without a record hold them",
				render.Counted(b.Extras, "answer"), render.Money(b.ExtraNanoUSD, false)))
	}
	for _, d := range b.Damage {
		notes = append(notes, "cannot be read and is not billed: "+d)
	}
	return notes
}

// reusedNote says what was taken over from other runs.
func reusedNote(e entry) string {
	return sprintf("%s taken over from earlier runs, which paid %s for them; nothing was paid for them here",
		render.Counted(e.Reused, "answer"), render.Money(e.ReusedNanoUSD, false))
}

// dollars is a cost in dollars, for JSON and charts.
func dollars(n int64) float64 { return nightshift.NanoUSD(n).Dollars() }
