package answers

import "unicode/utf8"

// bytesPerToken is how many bytes of a word make a token.
const bytesPerToken = 5

// NextToken returns the length in bytes of the first token of s: white space
// with the start of the word after it, a piece of a word, or one other
// character. It is at least 1, so no text has more tokens than bytes.
func NextToken(s string) int {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if i == len(s) {
		return i
	}
	if !isWord(s[i]) {
		_, size := utf8.DecodeRuneInString(s[i:])
		return i + size
	}
	end := min(len(s), i+bytesPerToken)
	for i < end && isWord(s[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// CountTokens counts the tokens of a text.
func CountTokens(s string) int {
	n := 0
	for len(s) > 0 {
		s = s[NextToken(s):]
		n++
	}
	return n
}

// CutTokens returns the first n tokens of a text, and whether that is less
// than all of it.
func CutTokens(s string, n int) (head string, cut bool) {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		at += NextToken(s[at:])
	}
	return s[:at], at < len(s)
}

// Head returns the first n bytes of a text, or less: it is cut between runes.
func Head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
