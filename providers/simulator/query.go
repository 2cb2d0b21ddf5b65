package simulator

import (
	"strconv"
	"strings"
	"unicode"
)

// A query is a question prepared for the rules: without its instructions
// about form, lower-cased beside the original, with what stands in quotes.
type query struct {
	text    string
	lower   string
	quoted  []string
	options []option // of a multiple choice
}

type option struct{ letter, text string }

// instructions begin sentences that say how to answer, not what.
var instructions = []string{"end with", "end your", "finish with", "finish your", "answer with", "answer in one", "answer only", "answer using",
	"reply with", "reply only", "reply using", "respond with", "respond only", "respond in", "give only", "give just", "just give", "only give",
	"just the", "only the", "think step", "show your work", "explain your", "write your final", "your final answer", "put your", "conclude with",
	"no explanation", "state only", "keep it", "be brief", "one word", "a single", "use the format", "let's think", "please answer", "write only", "output only"}

// newQuery prepares the text of a question.
func newQuery(text string) *query {
	q := &query{}
	if len(text) > longestQuestion {
		q.text = text
		return q
	}
	var stem []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if o, ok := readOption(line); ok {
			q.options = append(q.options, o)
			continue
		}
		if kept := withoutInstructions(line); kept != "" {
			stem = append(stem, kept)
		}
	}
	q.text = strings.Join(stem, "\n")
	q.lower = strings.ToLower(q.text)
	q.quoted = quotedTexts(q.text)
	return q
}

// readOption reads "A) text", "(A) text" or "A. text".
func readOption(line string) (option, bool) {
	s := strings.TrimPrefix(line, "(")
	if len(s) < 3 || s[0] < 'A' || s[0] > 'F' || s[1] != ')' && s[1] != '.' && s[1] != ':' {
		return option{}, false
	}
	return option{s[:1], strings.TrimSpace(s[2:])}, true
}

// withoutInstructions drops the sentences of a line that say how to answer.
func withoutInstructions(line string) string {
	var kept []string
	for _, s := range sentences(line) {
		if !startsWithAny(strings.ToLower(strings.TrimSpace(s)), instructions) {
			kept = append(kept, s)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}

func startsWithAny(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// sentences splits after '.', '!' and '?' before white space, outside quotes.
func sentences(s string) (parts []string) {
	from := 0
	inside := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			inside = !inside
		case '.', '!', '?':
			if !inside && i+1 < len(s) && s[i+1] == ' ' {
				parts = append(parts, s[from:i+1])
				from = i + 1
			}
		}
	}
	return append(parts, s[from:])
}

// quotedTexts returns what stands in double, single or curly quotes.
func quotedTexts(s string) (found []string) {
	for _, pair := range [][2]string{{`"`, `"`}, {"“", "”"}, {"‘", "’"}, {"`", "`"}} {
		for rest := s; ; {
			_, after, ok := strings.Cut(rest, pair[0])
			if !ok {
				break
			}
			inner, tail, ok := strings.Cut(after, pair[1])
			if !ok {
				break
			}
			found, rest = append(found, inner), tail
		}
	}
	return append(found, singleQuoted(s)...)
}

// singleQuoted knows apostrophes from quotes: a quote opens after a
// non-letter and closes before one.
func singleQuoted(s string) (found []string) {
	start := -1
	letter := func(i int) bool { return i >= 0 && i < len(s) && isWord(s[i]) }
	for i := 0; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		switch {
		case start < 0 && !letter(i-1) && i+1 < len(s) && s[i+1] != ' ':
			start = i + 1
		case start >= 0 && !letter(i+1):
			found, start = append(found, s[start:i]), -1
		}
	}
	return found
}

// about returns the quoted text, else what follows the last colon.
func (q *query) about() string {
	if n := len(q.quoted); n > 0 {
		return q.quoted[n-1]
	}
	if _, after, ok := strings.Cut(q.text, ": "); ok {
		return strings.TrimRight(strings.TrimSpace(after), ".?!")
	}
	if _, after, ok := strings.Cut(q.text, ":\n"); ok {
		return strings.TrimRight(strings.TrimSpace(after), ".?!")
	}
	return ""
}

// after returns the words behind the first of the phrases that is there,
// up to the end of the sentence, in their original case.
func (q *query) after(phrases ...string) (string, bool) {
	for _, p := range phrases {
		if i := strings.Index(q.lower, p); i >= 0 && len(q.lower) == len(q.text) {
			rest := q.text[i+len(p):]
			if end := strings.IndexAny(rest, ".?!,\n"); end >= 0 {
				rest = rest[:end]
			}
			return strings.Trim(strings.TrimSpace(rest), `'"“”`), true
		}
	}
	return "", false
}

func (q *query) has(words ...string) bool {
	for _, w := range words {
		if strings.Contains(q.lower, w) {
			return true
		}
	}
	return false
}

// words splits a text into words without punctuation around them.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\'' && r != '-'
	})
}

// list splits "a, b and c".
func list(s string) (items []string) {
	s = strings.ReplaceAll(s, ", and ", ", ")
	s = strings.ReplaceAll(s, " and ", ", ")
	s = strings.ReplaceAll(s, " or ", ", ")
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.Trim(strings.TrimSpace(item), `'"“”.?!`); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// A figure is a number found in a text.
type figure struct {
	value      float64
	start, end int
}

// figures finds numbers written in digits or words.
func figures(lower string) (found []figure) {
	for i := 0; i < len(lower); {
		if !isWord(lower[i]) {
			i++
			continue
		}
		end := i
		for end < len(lower) && (isWord(lower[end]) || numberDot(lower, end)) {
			end++
		}
		word := lower[i:end]
		if isDigit(word[0]) {
			if v, err := strconv.ParseFloat(strings.ReplaceAll(word, ",", ""), 64); err == nil {
				found = append(found, figure{v, i, end})
			}
		} else if v, ok := numberWords[word]; ok && word != "one" {
			found = join2(found, figure{v, i, end}, lower)
		}
		i = end
	}
	return found
}

// numberDot reports whether the byte at i is a point or comma inside a number.
func numberDot(s string, i int) bool {
	digit := func(i int) bool { return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9' }
	switch s[i] {
	case '.':
		return digit(i-1) && digit(i+1)
	case ',':
		return digit(i-1) && digit(i+1) && digit(i+2) && digit(i+3) && !digit(i+4)
	}
	return false
}

// join2 joins "twenty" and "five" to 25.
func join2(found []figure, f figure, s string) []figure {
	if n := len(found); n > 0 && f.value > 0 && f.value < 10 {
		last := &found[n-1]
		if last.value >= 20 && last.value < 100 && int(last.value)%10 == 0 && last.end+1 == f.start && s[last.end] != ',' && s[last.start] > '9' {
			last.value += f.value
			last.end = f.end
			return found
		}
	}
	return append(found, f)
}

// number formats without needless digits.
func number(v float64) string {
	return strconv.FormatFloat(v, 'f', -1, 64)
}
