package plan

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"nightshift/internal/words"
)

// Errors is everything that is wrong with a plan, in the order of the file;
// problems of flags come first.
type Errors struct {
	Problems []Problem
}

// A Problem is one mistake, with its place.
type Problem struct {
	File   string // plan file; empty for a flag
	Line   int    // 1-based; 0 when the problem concerns no line
	Column int    // 1-based, in characters
	Flag   string // the flag or variable at fault, such as "--model"; empty for a file
	Path   string // the field: models[1].params
	// Message says what is wrong, Hint what to try.
	Message string
	Hint    string
	// Key is true when all that is wrong is a key that is not set.
	Key bool
	// Source is the line at fault, with what may be a secret masked.
	Source string
}

func (e *Errors) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

// String is the problem as people read it: the place, the message, the line
// with a caret below the place, and the hint.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.place())
	b.WriteString(p.Message)
	if p.Source != "" {
		b.WriteString(p.excerpt())
	}
	if p.Hint != "" {
		indent := "; "
		if p.Source != "" {
			indent = "\n    "
		}
		b.WriteString(indent + p.Hint)
	}
	return b.String()
}

func (p Problem) place() string {
	switch {
	case p.Flag != "":
		return p.Flag + ": "
	case p.Line > 0:
		return fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	case p.File != "":
		return p.File + ": "
	}
	return ""
}

// excerptWidth bounds how much of a long line is shown.
const excerptWidth = 100

// excerpt is the source line with a caret under the column.
func (p Problem) excerpt() string {
	line := []rune(p.Source)
	column := min(max(p.Column, 1), len(line)+1)
	start := 0
	if column > excerptWidth*3/4 {
		start = column - excerptWidth/2
	}
	end := min(len(line), start+excerptWidth)
	number := fmt.Sprintf("%5d | ", p.Line)
	blank := strings.Repeat(" ", utf8.RuneCountInString(number)-2) + "| "
	return "\n" + number + string(line[start:end]) + "\n" + blank + pad(line[start:column-1]) + "^"
}

// pad is as wide as the text; tabs stay tabs so that the caret lines up.
func pad(text []rune) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(text))
}

// suggest is "did you mean X?" or, without a near match, the allowed values.
func suggest(word string, allowed []string) string {
	if n := words.Near(word, allowed); n != "" {
		return "did you mean " + n + "?"
	}
	if len(allowed) == 0 || len(allowed) > 40 {
		return ""
	}
	return "allowed: " + strings.Join(allowed, ", ")
}
