package render

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	gotext "github.com/jedib0t/go-pretty/v6/text"
)

// A Grid is one table of a report, as it is read in all of its renderings: a
// title, a head and cells. The first Texts columns are text, the others are
// numbers and stand to the right. Cells may hold anything: each rendering
// makes them harmless in its own way.
type Grid struct {
	Title string     `json:"title"`
	Note  string     `json:"note,omitempty"` // what a reader must know of it
	Notes []string   `json:"-"`              // sentences about single rows, each on a line of its own
	Texts int        `json:"texts,omitempty"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
	Of    string     `json:"-"` // what a row is about; empty is a model
	// Total says that the last row is the sum of those before it.
	Total bool `json:"total,omitempty"`
}

// Add adds a row.
func (g *Grid) Add(cells ...string) { g.Rows = append(g.Rows, cells) }

// Column adds a column, beginning the rows where there are none yet.
func (g *Grid) Column(head string, rows int, cell func(i int) string) {
	g.Head = append(g.Head, head)
	for len(g.Rows) < rows {
		g.Rows = append(g.Rows, nil)
	}
	for i := range g.Rows {
		g.Rows[i] = append(g.Rows[i], cell(i))
	}
}

// texts is how many columns are text: at least the first.
func (g Grid) texts() int { return max(g.Texts, 1) }

// HeadOf is the head of a column below the grid's title, which it does not repeat;
// templates ask.
func (g Grid) HeadOf(column int) string {
	if column == 0 && strings.EqualFold(g.Head[0], g.Title) {
		return cmp.Or(g.Of, "model")
	}
	return g.Head[column]
}

// Numeric reports whether a column holds numbers; templates ask.
func (g Grid) Numeric(column int) bool { return column >= g.texts() }

// Last reports whether a row is the sum of those before it; templates ask.
func (g Grid) Last(row int) bool { return g.Total && row == len(g.Rows)-1 }

// nameWidths are what names are cut to, one after the other, where a table is
// too wide.
var nameWidths = []int{26, 21, 17}

// A table of so many columns that takes more than so many blocks under each other is
// no help in a terminal.
const mostBlocks, mostColumns = 3, 16

// Text renders the grid for a terminal. Columns that do not fit beside each other go
// under each other, each block with the names before it.
func (g Grid) Text(s Screen) string {
	g = g.escaped().Shown()
	for _, most := range nameWidths {
		if width(g.render()) <= s.width() {
			break
		}
		g = g.clipped(most)
	}
	parts := g.split(s.width())
	if len(parts) > mostBlocks && len(g.Head) > mostColumns {
		return sprintf("%s has %d columns, too many for a terminal: report.html and the tables in Markdown have it",
			g.Head[0], len(g.Head))
	}
	var blocks []string
	for _, part := range parts {
		blocks = append(blocks, trimLines(part.render()))
	}
	return strings.Join(blocks, "\n\n")
}

// Shown is the grid as every rendering shows it: without the columns of numbers that
// say nothing, which are 0 or unknown in every row. One column stays whatever it says.
func (g Grid) Shown() Grid {
	var keep []int
	for i := g.texts(); i < len(g.Head); i++ {
		if slices.ContainsFunc(g.Rows, func(r []string) bool { return i < len(r) && !slices.Contains(nothing, r[i]) }) {
			keep = append(keep, i)
		}
	}
	if len(keep) == 0 && len(g.Head) > g.texts() {
		keep = []int{g.texts()}
	}
	return g.chosen(keep)
}

// nothing is what a cell says that says nothing.
var nothing = []string{"", "0", "-", "0 %", "0.0 %"}

func (g Grid) escaped() Grid {
	e := g
	e.Head = mapped(g.Head, Plain)
	e.Rows = nil
	for _, r := range g.Rows {
		e.Rows = append(e.Rows, mapped(r, Plain))
	}
	return e
}

func mapped(cells []string, f func(string) string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = f(c)
	}
	return out
}

// clipped shortens the text columns.
func (g Grid) clipped(most int) Grid {
	for _, r := range g.Rows {
		for i := range min(g.texts(), len(r)) {
			r[i] = Shorten(r[i], most)
		}
	}
	return g
}

// Columns is how many columns of a terminal a text takes.
func Columns(s string) int { return gotext.StringWidthWithoutEscSequences(s) }

// Shorten cuts a text to that many columns, in its middle: names differ at
// both ends.
func Shorten(s string, most int) string {
	if Columns(s) <= most {
		return s
	}
	runes := []rune(s)
	keep := most - 1
	for ; keep > 1; keep-- {
		head, tail := (keep+1)/2, keep/2
		short := string(runes[:min(head, len(runes))]) + "…" + string(runes[max(len(runes)-tail, 0):])
		if Columns(short) <= most {
			return short
		}
	}
	return "…"
}

// split cuts the columns into blocks that fit the terminal.
func (g Grid) split(most int) []Grid {
	var parts []Grid
	next := g.texts()
	for next < len(g.Head) {
		end := next + 1
		for end < len(g.Head) && width(g.columns(next, end+1).render()) <= most {
			end++
		}
		parts = append(parts, g.columns(next, end).headsWithin(most))
		next = end
	}
	if parts == nil {
		return []Grid{g}
	}
	return parts
}

// headsWithin breaks the heads of numbers into lines where they alone make the grid wider
// than most columns; shortened, two names might look alike.
func (g Grid) headsWithin(most int) Grid {
	over := width(g.render()) - most
	if over <= 0 {
		return g
	}
	for i := g.texts(); i < len(g.Head); i++ {
		cell := 0
		for _, r := range g.Rows {
			if i < len(r) {
				cell = max(cell, Columns(r[i]))
			}
		}
		g.Head[i] = gotext.WrapHard(g.Head[i], max(cell, Columns(g.Head[i])-over, 4))
	}
	return g
}

// columns is the grid with its text columns and those in [from, to).
func (g Grid) columns(from, to int) Grid {
	var list []int
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return g.chosen(list)
}

// chosen is the grid with its text columns and the listed ones.
func (g Grid) chosen(list []int) Grid {
	pick := func(r []string) []string {
		out := slices.Clone(r[:min(g.texts(), len(r))])
		for _, i := range list {
			if i < len(r) {
				out = append(out, r[i])
			}
		}
		return out
	}
	c := g
	c.Head, c.Rows = pick(g.Head), nil
	for _, r := range g.Rows {
		c.Rows = append(c.Rows, pick(r))
	}
	return c
}

func width(text string) int { return gotext.LongestLineLen(text) }

func (g Grid) render() string {
	t := g.writer()
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder = false
	t.Style().Options.SeparateColumns = false
	t.Style().Format.Header = gotext.FormatDefault
	t.Style().Box.PaddingLeft, t.Style().Box.PaddingRight = "", "  "
	return t.Render()
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

// Markdown renders the grid as a table of GitHub's Markdown.
func (g Grid) Markdown() string {
	g = g.Shown()
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			b.WriteString(" " + c + " |")
		}
		b.WriteString("\n")
	}
	line(mapped(g.Head, Markdown))
	rule := make([]string, len(g.Head))
	for i := range rule {
		rule[i] = "---"
		if g.Numeric(i) {
			rule[i] = "---:"
		}
	}
	line(rule)
	for i, r := range g.Rows {
		cells := mapped(r, Markdown)
		if g.Last(i) {
			for j, c := range cells {
				if c != "" {
					cells[j] = "**" + c + "**"
				}
			}
		}
		line(cells)
	}
	return b.String()
}

func (g Grid) writer() table.Writer {
	t := table.NewWriter()
	t.AppendHeader(cells(g.Head))
	for i, r := range g.Rows {
		if g.Last(i) {
			t.AppendSeparator()
		}
		t.AppendRow(cells(r))
	}
	configs := make([]table.ColumnConfig, len(g.Head))
	for i := range configs {
		configs[i] = table.ColumnConfig{Number: i + 1}
		if g.Numeric(i) {
			configs[i].Align, configs[i].AlignHeader = gotext.AlignRight, gotext.AlignRight
		}
	}
	t.SetColumnConfigs(configs)
	return t
}

func cells(row []string) table.Row {
	r := make(table.Row, len(row))
	for i, c := range row {
		r[i] = c
	}
	return r
}
