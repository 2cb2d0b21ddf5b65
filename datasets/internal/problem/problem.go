// Package problem says what is wrong with a dataset, and with single rows.
package problem

import (
	"fmt"
	"strings"

	"nightshift/internal/words"
)

// A Reason says why one row is unusable. The zero value is none.
type Reason struct {
	What, Hint string

	// Template is the one that fails on the row: system, prompt, target or filter;
	// empty when none does. Line is where in its text, 1-based; 0 is not known.
	Template string
	Line     int
}

// Refuse is the reason what, with a hint what to try.
func Refuse(what string, hint ...string) Reason {
	return Reason{What: what, Hint: strings.Join(hint, "")}
}

// A Place is where a text is written.
type Place struct {
	File string
	Line int64 // of the first line of the text, 1-based
	// Whole is true when the line breaks of the text are those of the file.
	Whole bool
}

// At is the line of the file that has a line of the text, which is 0 when it is
// not known.
func (p Place) At(line int) int64 {
	if !p.Whole || line == 0 {
		return p.Line
	}
	return p.Line + int64(line) - 1
}

func (c Reason) Bad() bool { return c.What != "" }

// A Problem is one reason why a dataset cannot be used as it is.
type Problem struct {
	File string // may be empty
	Line int64  // 0 when the problem is not at one line
	Row  int64  // 0-based index; -1 when the problem is not of one row
	What string
	Hint string // what to try; may be empty
}

func (p Problem) String() string {
	var s strings.Builder
	if p.File != "" {
		s.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&s, ":%d", p.Line)
		}
		s.WriteString(": ")
	}
	s.WriteString(p.What)
	if p.Hint != "" {
		s.WriteString(" (" + p.Hint + ")")
	}
	return s.String()
}

// Problems is everything that Open found wrong, in the order of the files.
// List holds the first of them, Total counts all.
type Problems struct {
	List  []Problem
	Total int64
}

// maxListed is how many problems are kept with their places.
const maxListed = 100

func (p *Problems) Add(q Problem) {
	p.Total++
	if len(p.List) < maxListed {
		p.List = append(p.List, q)
	}
}

// someAlike is how many problems that say the same are shown one by one.
const someAlike = 5

// Merge adds all of q.
func (p *Problems) Merge(q Problems) {
	p.Total += q.Total
	p.List = append(p.List, q.List[:min(len(q.List), max(0, maxListed-len(p.List)))]...)
}

// Error lists the problems, one a line.
func (p *Problems) Error() string {
	lines := make([]string, 0, len(p.List)+1)
	alike := 0 // problems in a row that say the same
	for i, q := range p.List {
		if alike++; i == 0 || q.What != p.List[i-1].What || q.File != p.List[i-1].File {
			alike = 1
		}
		last := i == len(p.List)-1 || p.List[i+1].What != q.What || p.List[i+1].File != q.File
		switch {
		case alike <= someAlike || alike == someAlike+1 && last:
			lines = append(lines, q.String())
		case last:
			lines = append(lines, fmt.Sprintf("… and the same on %d further lines, up to line %d", alike-someAlike,
				q.Line))
		}
	}
	if more := p.Total - int64(len(p.List)); more > 0 {
		lines = append(lines, fmt.Sprintf("… and %s more", words.Thousands(more)))
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) Err() error {
	if p.Total == 0 {
		return nil
	}
	return p
}
