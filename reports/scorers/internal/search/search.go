// Package search finds the leftmost match of a pattern by the literal that it begins with.
package search

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// A Searcher finds the leftmost match of a regular expression. Patterns that
// begin with a literal in which case is ignored are looked for by that literal
// first. regexp itself does so for case-sensitive ones only, and is ten times
// slower for these.
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
// begins with, case ignored, as far as their other cases are ASCII too: k and s
// also have the Kelvin sign and the long s. It is empty where case counts.
func literalStart(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpConcat, syntax.OpCapture:
		return literalStart(re.Sub[0])
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return ""
		}
		var b strings.Builder
		for _, r := range re.Rune {
			if lower := r | 0x20; r >= 0x80 || lower == 'k' || lower == 's' {
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
	first, capital := word[0], word[0]
	if 'a' <= first && first <= 'z' {
		capital -= 'a' - 'A'
	}
	for i := 0; i+len(word) <= len(s); i++ {
		if c := s[i]; (c == first || c == capital) && equalFold(s[i:i+len(word)], word) {
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

// Lower is a text with its ASCII letters in lower case: what stands in it stands
// at the same place in the text.
func Lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		b[i] = asciiLower(c)
	}
	return string(b)
}

// Each calls visit with every place where text holds word.
func Each(text, word string, visit func(i int)) {
	for from := 0; ; from++ {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return
		}
		from += i
		visit(from)
	}
}
