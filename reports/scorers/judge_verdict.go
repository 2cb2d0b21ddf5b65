package scorers

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/normalize"
	"nightshift/reports/scorers/internal/numbers"
)

// spelt are the grades that judges like to spell out.
var spelt = map[string]string{
	"CORRECT": "C", "INCORRECT": "I", "PARTIAL": "P", "PARTIALLY": "P", "PARTLY": "P", "PARTIALLY CORRECT": "P",
	"PARTLY CORRECT": "P",
}

// A gradeReader finds a judge's grade in its reply.
type gradeReader struct {
	names   map[string]string // grade by how it may be written, in capitals
	pattern *regexp.Regexp    // of the names, the longest first
	highest string            // of grades that are all numbers; else empty
}

func newGradeReader(g grades) gradeReader {
	r := gradeReader{names: map[string]string{}}
	for word, grade := range spelt {
		if _, ok := g[grade]; ok {
			r.names[word] = grade
		}
	}
	for grade := range g {
		r.names[strings.Join(strings.Fields(grade), " ")] = grade
	}
	var all []string
	for name := range r.names {
		all = append(all, strings.ReplaceAll(regexp.QuoteMeta(name), " ", `\s+`))
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	r.pattern = regexp.MustCompile(`(?i)^(?:` + strings.Join(all, "|") + `)`)
	r.highest = highestNumber(g)
	return r
}

func highestNumber(g grades) string {
	best, top := 0.0, ""
	for name := range g {
		v, err := strconv.ParseFloat(name, 64)
		if err != nil {
			return ""
		}
		if top == "" || v > best {
			best, top = v, name
		}
	}
	return top
}

var (
	// gradeMark begins a grade: the word and a colon, through Markdown.
	gradeMark = pattern.Late("(?i)GRADE[\\s*_\"'`]*:")
	// gradeLead is what may stand before the grade: quotes, brackets,
	// Markdown, LaTeX and HTML.
	gradeLead = pattern.Late(
		"^(?:[\\s*_\"'“”‘’„«»`$({\\[【「『]|<(?:b|i|em|strong|code)>|<|\\\\(?:boxed|fbox|text[a-z]*|math[a-z]+)|\\\\[(\\[])*")
	// Between two grades of which neither is the verdict: or, a slash; or
	// nothing but marks, when the second ends the line.
	orGrade = pattern.Late(
		`(?i)^[^\p{L}\p{N}\n]*?(?:[/|]|(?:or|oder|ou|vs|versus)\b|或者?|还是)(?:\s*\b(?:maybe|perhaps|possibly|` +
			`even)\b)?[^\p{L}\p{N}\n]*`)
	andGrade  = pattern.Late(`(?i)^[^\p{L}\p{N}\n]*(?:(?:and|und|et|to|then)\b)?[^\p{L}\p{N}\n]*`)
	endOfLine = pattern.Late(`^[^\p{L}\p{N}\n]*(?:\n|$)`)
	// sentence is what follows the words A and I where they are no grades.
	sentence = pattern.Late(`^(?:[ \t]+(\p{Ll}+)|['’]\p{L})`)
	// anyWord is what a judge said in a grade's place.
	anyWord = pattern.Late(`^[\p{L}\p{N}_+-]*`)
)

// reasons may follow a grade within its sentence.
var reasons = []string{"because", "since", "as", "for", "due", "given", "with", "incorrect", "wrong"}

// read takes the last grade of a reply; why says what is wrong with it when it
// is none of those on offer, or more than one.
func (r gradeReader) read(reply string) (grade, why string) {
	reply = plainReply(reply)
	var marks [][]int
	if strings.Contains(strings.ToUpper(reply), "GRADE") { // most answers hold no such word
		marks = gradeMarks(reply)
	}
	if len(marks) == 0 {
		return "", "the judge's reply holds no grade"
	}
	last := marks[len(marks)-1]
	rest := reply[last[1]:]
	grade, tail, ok := r.first(rest)
	if !ok {
		word := anyWord().FindString(rest[len(gradeLead().FindString(rest)):])
		return "", fmt.Sprintf("the judge's grade %q was not on offer", shorten(strings.Trim(word, "_")))
	}
	other := r.second(grade, tail)
	if len(marks) > 1 && other == "" {
		other = r.before(grade, reply[marks[len(marks)-2][1]:last[0]])
	}
	if other != "" {
		return "", fmt.Sprintf("the judge's reply names two grades, %s and %s", grade, other)
	}
	return grade, ""
}

// gradeMarks finds each GRADE: that is a word of its own (downgrade: is not).
func gradeMarks(reply string) [][]int {
	return slices.DeleteFunc(gradeMark().FindAllStringIndex(reply, -1), func(m []int) bool {
		before, _ := utf8.DecodeLastRuneInString(reply[:m[0]])
		return m[0] > 0 && normalize.IsWord(before) && before != '_' && !caseless(before)
	})
}

// caseless reports whether r is of a script that writes without spaces between
// words, as far as that can be told from a letter.
func caseless(r rune) bool { return unicode.Is(unicode.Lo, r) }

// first reads the grade at the beginning of a text.
func (r gradeReader) first(text string) (grade, tail string, ok bool) {
	text = text[len(gradeLead().FindString(text)):]
	name := r.pattern.FindString(text)
	tail = text[len(name):]
	if name == "" || !endsWord(name, tail) || isSentence(name, tail) {
		return "", "", false
	}
	return r.names[strings.ToUpper(strings.Join(strings.Fields(name), " "))], tail, true
}

// endsWord reports whether a grade ends where tail begins: C+, 4.5 and Cx do
// not hold the grades C and 4.
func endsWord(name, tail string) bool {
	end, _ := utf8.DecodeLastRuneInString(name)
	next, size := utf8.DecodeRuneInString(strings.TrimLeft(tail, "_"))
	if tail == "" || size == 0 {
		return true
	}
	switch {
	case caseless(next):
		return !caseless(end)
	case normalize.IsWord(next):
		return false
	case next == '+' || next == '-':
		return false
	case next == '.' || next == ',':
		return !unicode.IsNumber(end) || len(tail) < 2 || !numbers.IsDigit(tail[1])
	}
	return true
}

// isSentence reports whether A or I is a word of a sentence: I would say C.
func isSentence(name, tail string) bool {
	m := sentence().FindStringSubmatch(tail)
	return m != nil && strings.Contains("AI", strings.ToUpper(name)) && !slices.Contains(reasons, m[1])
}

// second is another grade that the line offers instead, or names last.
func (r gradeReader) second(grade, tail string) string {
	if link := orGrade().FindString(tail); link != "" {
		other, _, ok := r.first(tail[len(link):])
		if ok && other != grade && !(other == r.highest && strings.Contains(link, "/")) { // 4/5 is four of five
			return other
		}
	}
	line, _, _ := strings.Cut(tail, "\n")
	other, rest, ok := r.first(line[len(andGrade().FindString(line)):])
	if ok && other != grade && endOfLine().MatchString(rest) && !strings.Contains(line[:len(line)-len(rest)], "/") {
		return other
	}
	return ""
}

// before is the other grade of GRADE: C or GRADE: I; text is what stands
// between the two marks.
func (r gradeReader) before(grade, text string) string {
	other, tail, ok := r.first(text)
	if ok && other != grade && orGrade().FindString(tail) == tail && tail != "" {
		return other
	}
	return ""
}

// plainReply drops zero-width and direction marks, which hide verdicts, and
// writes full-width characters, colons and spaces as plain ones.
func plainReply(s string) string {
	if normalize.IsASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r):
			return -1
		case r >= '！' && r <= '～':
			return r - ('！' - '!')
		case strings.ContainsRune("﹕︓∶꞉", r):
			return ':'
		case r > utf8.RuneSelf && unicode.IsSpace(r):
			return ' '
		}
		return r
	}, s)
}

// again is a prompt whose reply could not be used, with what was wrong.
func again(prompt, why, form string) string {
	return fmt.Sprintf("%s\n\nYou have been asked this before, and the reply could not be used: %s.\nAnswer again, "+
		"and end with one line that holds your verdict and nothing else:\n\n%s\n",
		strings.TrimRight(prompt, "\n"), why, form)
}
