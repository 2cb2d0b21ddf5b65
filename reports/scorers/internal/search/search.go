// Package search finds the leftmost match of a pattern by the literal that it begins with.
package search

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// A Searcher finds the leftmost match of a regular expression. Patterns that
// begin with a literal are looked for by that literal first, case ignored or
// not: regexp itself does so for case-sensitive ones only, and is ten times
// slower for the rest.
type Searcher struct {
	whole, anchored *regexp.Regexp
	start           string // lower case; empty when the pattern has no such start
}

// starts bounds the attempts, so that time stays linear in the text when the
// literal is everywhere.
const starts = 16

func New(pattern string) (*Searcher, error) {
	whole, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	s := &Searcher{whole: whole}
	if tree, err := syntax.Parse(pattern, syntax.Perl); err == nil {
		s.start = literalStart(tree.Simplify())
	}
	if s.start != "" {
		s.anchored, err = regexp.Compile(`\A(?:` + pattern + `)`)
	}
	return s, err
}

// literalStart returns the ASCII letters, digits and marks that every match
// begins with, as far as their other cases are ASCII too: k and s also have
// the Kelvin sign and the long s.
func literalStart(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpConcat, syntax.OpCapture:
		return literalStart(re.Sub[0])
	case syntax.OpLiteral:
		var b strings.Builder
		for _, r := range re.Rune {
			lower := r | 0x20
			if r >= 0x80 || re.Flags&syntax.FoldCase != 0 && (lower == 'k' || lower == 's') {
				break
			}
			b.WriteRune(r)
		}
		return strings.ToLower(b.String())
	}
	return ""
}

// Find returns the positions of the match and its groups, as
// regexp.FindStringSubmatchIndex does; nil for no match.
func (s *Searcher) Find(text string) []int {
	if s.start == "" {
		return s.whole.FindStringSubmatchIndex(text)
	}
	from := 0
	for range starts {
		i := indexFold(text[from:], s.start)
		if i < 0 {
			return nil
		}
		from += i
		// The literal stands in front of anything that looks to the left,
		// so cutting the text there hides nothing.
		if at := s.anchored.FindStringSubmatchIndex(text[from:]); at != nil {
			for j := range at {
				if at[j] >= 0 {
					at[j] += from
				}
			}
			return at
		}
		from++
	}
	return s.whole.FindStringSubmatchIndex(text)
}

// indexFold is the first place where s holds word, ASCII case ignored; -1 for
// none. word is in lower case and not empty.
func indexFold(s, word string) int {
	first := word[0]
	for i := 0; i+len(word) <= len(s); i++ {
		if asciiLower(s[i]) == first && equalFold(s[i:i+len(word)], word) {
			return i
		}
	}
	return -1
}

func equalFold(s, word string) bool {
	for i := range len(word) {
		if asciiLower(s[i]) != word[i] {
			return false
		}
	}
	return true
}

func asciiLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// EachFold calls visit with every place where text holds word, ASCII case
// ignored.
func EachFold(text, word string, visit func(i int)) {
	for from := 0; ; from++ {
		i := indexFold(text[from:], word)
		if i < 0 {
			return
		}
		from += i
		visit(from)
	}
}
