package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"nightshift/reports/render"
)

// isTerminal reports whether w is a terminal that understands cursor movement.
func (a *app) isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.getenv("TERM") != "dumb"
}

// sizeOf asks a terminal for its columns and lines. What does not say has 80 and 24.
func sizeOf(w io.Writer) (width, height int) {
	if f, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}

// pipeColumns is how wide tables are written where the output is no terminal and
// COLUMNS says nothing.
const pipeColumns = 120

// A screenWriter is the output with what is known of the screen behind it.
type screenWriter struct {
	io.Writer
	screen render.Screen
}

func (s screenWriter) Screen() render.Screen { return s.screen }

// screen is the output for tables. There are colours on a terminal alone, and none
// with NO_COLOR or TERM=dumb.
func (a *app) screen() io.Writer {
	out := a.out
	if r, ok := out.(renamed); ok {
		out = r.Writer
	}
	return screenWriter{a.out, screenOf(terminalColumns(out), a.getenv)}
}

// terminalColumns is how wide the terminal is that w writes to, whatever it
// understands; 0 where it is none.
func terminalColumns(w io.Writer) int {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _ := sizeOf(w)
	return width
}

// screenOf is the screen of a terminal of so many columns; 0 is none.
func screenOf(terminal int, getenv func(string) string) render.Screen {
	if terminal > 0 {
		return render.Screen{Columns: terminal, Colour: getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
	}
	columns, err := strconv.Atoi(getenv("COLUMNS"))
	if err != nil || columns < 20 {
		columns = pipeColumns
	}
	return render.Screen{Columns: columns}
}

// folded breaks the lines of a text at spaces so that they fit so many columns; the
// rest of a line is set in by four more than its beginning. 0 leaves all as it is.
func folded(text string, columns int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		indent := strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " "))+4)
		for columns > 0 && render.Columns(strings.TrimSuffix(line, "\n")) > columns {
			at := lastSpace(line, len(indent), columns)
			if at < 0 {
				break
			}
			b.WriteString(strings.TrimRight(line[:at], " ") + "\n")
			line = indent + strings.TrimLeft(line[at:], " ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// lastSpace is the last space behind the first so many bytes that leaves a line of
// at most so many columns before it; -1 for none.
func lastSpace(line string, behind, columns int) int {
	last := -1
	for i, r := range line {
		if r == ' ' && i > behind && render.Columns(line[:i]) <= columns {
			last = i
		}
	}
	return last
}

// A block is some lines at the lower end of a terminal that are drawn again and
// again in their place. The cursor stays on the line below them.
type block struct {
	out   io.Writer
	size  func() (width, height int)
	drawn []int // columns of the lines that are there
}

// draw puts lines in the place of those that are there. They have to be narrower
// than the terminal.
func (b *block) draw(lines []string) {
	text := b.up()
	b.drawn = b.drawn[:0]
	for _, l := range lines {
		text += l + "\x1b[K\n"
		b.drawn = append(b.drawn, render.Columns(l))
	}
	io.WriteString(b.out, text+"\x1b[J")
}

// clear takes the lines away.
func (b *block) clear() {
	io.WriteString(b.out, b.up()+"\x1b[J")
	b.drawn = nil
}

// up moves the cursor to where the first line begins. A terminal that became
// narrower has broken the lines, so that they take up more of it than before.
func (b *block) up() string {
	width, _ := b.size()
	rows := 0
	for _, columns := range b.drawn {
		rows += max(1, (columns+width-1)/width)
	}
	if rows == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", rows)
}

// A part of a line, and how soon it goes where the line is too narrow: the
// highest first, 0 never.
type part struct {
	text string
	goes int
}

// fitted joins parts to a line of at most so many columns.
func fitted(parts []part, most int) string {
	for {
		var texts []string
		first := 0
		for i, p := range parts {
			texts = append(texts, p.text)
			if p.goes > parts[first].goes {
				first = i
			}
		}
		line := strings.Join(texts, "  ")
		if render.Columns(line) <= most {
			return line
		}
		if len(parts) == 0 || parts[first].goes == 0 {
			return render.Shorten(line, most)
		}
		parts = append(parts[:first:first], parts[first+1:]...)
	}
}
