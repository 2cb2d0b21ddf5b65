package render

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// A Finding is one statement of the strip.
type Finding struct {
	Level  string `json:"level"` // good, bad, unsure or plain
	Title  string `json:"title"`
	Text   string `json:"text"`
	Detail string `json:"detail,omitempty"`
}

// JSON writes v as indented JSON.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// A Document collects a report in the order of reading, for a terminal and as
// Markdown. What is added is made harmless for each.
type Document struct {
	Heading string // begins the titles of tables in Markdown: "## " or "**"; empty leaves them out
	Screen  Screen // for which the text is written

	text, markdown strings.Builder
}

// WriteText writes the report for a terminal.
func (d *Document) WriteText(w io.Writer) error { return write(w, &d.text) }

// WriteMarkdown writes the report for a page or a pull request.
func (d *Document) WriteMarkdown(w io.Writer) error { return write(w, &d.markdown) }

func write(w io.Writer, b *strings.Builder) error {
	_, err := io.WriteString(w, b.String())
	return err
}

// Block adds Markdown as it is, behind an empty line.
func (d *Document) Block(markdown string) {
	if d.markdown.Len() > 0 {
		d.markdown.WriteString("\n")
	}
	d.markdown.WriteString(strings.TrimSuffix(markdown, "\n") + "\n")
}

// Lines adds lines to the text as they are.
func (d *Document) Lines(text string) { d.text.WriteString(strings.TrimSuffix(text, "\n") + "\n") }

// Gap adds an empty line to the text.
func (d *Document) Gap() { d.text.WriteString("\n") }

// Note adds a sentence to the text, broken into lines. mark begins the first
// one; the others are set in by its width, or by two without a mark.
func (d *Document) Note(mark, sentence string) { d.Verdict("", mark, "", sentence) }

// Verdict is [Document.Note] with the mark and the words before the sentence in the
// colour of a level.
func (d *Document) Verdict(level, mark, lead, sentence string) {
	indent := strings.Repeat(" ", len([]rune(mark)))
	if mark == "" {
		indent = "  "
	}
	coloured := len(strings.Fields(Plain(lead)))
	columns, words := len([]rune(mark)), 0
	line := d.Screen.paint(level, mark)
	for i, word := range strings.Fields(Plain(lead + " " + sentence)) {
		if words > 0 && columns+1+len([]rune(word)) > d.Screen.Prose() {
			d.text.WriteString(line + "\n")
			line, columns, words = indent, len(indent), 0
		}
		if words > 0 {
			line, columns = line+" ", columns+1
		}
		columns, words = columns+len([]rune(word)), words+1
		if i < coloured {
			word = d.Screen.paint(level, word)
		}
		line += word
	}
	d.text.WriteString(line + "\n")
}

// Lead adds what the report says first.
func (d *Document) Lead(sentence string) {
	d.Note("", sentence)
	d.Block(Markdown(sentence))
}

// Finding adds a finding.
func (d *Document) Finding(f Finding) {
	line := f.Title + ": " + f.Text
	d.Block("> **" + Markdown(line) + "** " + Markdown(f.Detail))
	detail := ""
	if f.Detail != "" {
		detail = "(" + f.Detail + ")"
	}
	d.Verdict(f.Level, "» ", line, detail)
}

// Grid adds a table with its notes.
func (d *Document) Grid(g Grid) {
	d.Gap()
	d.Lines(g.Text(d.Screen))
	if d.Heading != "" {
		d.title(g.Title)
		g.Head = slices.Clone(g.Head)
		g.Head[0] = g.HeadOf(0)
	}
	d.Block(g.Markdown())
	if g.Note != "" {
		d.Note("", g.Note)
		d.Block(Markdown(g.Note))
	}
	if len(g.Notes) == 0 {
		return
	}
	var list strings.Builder
	for _, note := range g.Notes {
		d.Note(" ", note)
		list.WriteString("- " + Markdown(note) + "\n")
	}
	d.Block(list.String())
}

func (d *Document) title(title string) {
	closing := strings.TrimLeft(d.Heading, "# ") // bold text is closed, a heading is not
	d.Block(d.Heading + Markdown(title) + closing)
}

// A Remark is a sentence about a report, with a hint on what to try.
type Remark struct{ Text, Hint string }

// Remarks adds a list of remarks, below a title in Markdown where it has one.
func (d *Document) Remarks(title, mark string, remarks []Remark) {
	if len(remarks) == 0 {
		return
	}
	if title != "" {
		d.title(title)
	}
	var list strings.Builder
	d.Gap()
	for _, r := range remarks {
		d.Note(mark, r.Text)
		list.WriteString("- " + Markdown(r.Text))
		if r.Hint != "" {
			d.Note("", "try: "+r.Hint)
			list.WriteString(" *Try: " + Markdown(r.Hint) + "*")
		}
		list.WriteString("\n")
	}
	d.Block(list.String())
}

// Remarked makes remarks of sentences.
func Remarked(sentences []string) []Remark {
	var all []Remark
	for _, s := range sentences {
		all = append(all, Remark{Text: s})
	}
	return all
}
