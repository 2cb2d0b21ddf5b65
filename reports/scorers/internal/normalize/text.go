// Package normalize folds case, strips punctuation and tells words from marks,
// by Unicode's rules.
package normalize

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// These rules decide whether our numbers agree with other tools', so they
// follow Unicode and not regexp's ASCII classes.

// IsPunct reports whether r is one of the 32 ASCII punctuation marks. Curly
// quotes and dashes are not.
func IsPunct(r rune) bool {
	return r < utf8.RuneSelf && r > ' ' && r != 0x7f && !IsASCIIWord(r) || r == '_'
}

func IsASCIIWord(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// IsWord reports whether r is part of a word: a letter, a number or an
// underscore.
func IsWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
}

func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Lower is Unicode lower case, final sigma included.
func Lower(s string) string {
	if IsASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

// Fold is full case folding: ß becomes ss.
func Fold(s string) string {
	if IsASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Fold().String(s)
}

func RemovePunct(s string) string {
	return strings.Map(func(r rune) rune {
		if IsPunct(r) {
			return -1
		}
		return r
	}, s)
}

func RemoveDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, s)
}

// RemoveArticles replaces the whole words a, an and the by a space. It expects
// lower-case text.
func RemoveArticles(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := strings.IndexFunc(s, IsWord)
		if n < 0 {
			n = len(s)
		}
		b.WriteString(s[:n])
		s = s[n:]
		end := strings.IndexFunc(s, func(r rune) bool { return !IsWord(r) })
		if end < 0 {
			end = len(s)
		}
		switch word := s[:end]; word {
		case "a", "an", "the":
			b.WriteByte(' ')
		default:
			b.WriteString(word)
		}
		s = s[end:]
	}
	return b.String()
}

func JoinSpaces(s string) string { return strings.Join(strings.Fields(s), " ") }

// TrimEnds strips white space and ASCII punctuation from both ends.
func TrimEnds(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || IsPunct(r) })
}
