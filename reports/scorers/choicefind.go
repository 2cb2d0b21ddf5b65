package scorers

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/normalize"
	"nightshift/reports/scorers/internal/numbers"
	"nightshift/reports/scorers/internal/search"
)

// How a choice is found, without compat. First come markers, such as "answer:"
// or \boxed{, of which the last one (or the first) counts. Without any, the
// answer must be nothing but a choice, or have a line or a sentence that names
// one, and no two that differ. Whatever could be an article, an initial, a
// name or a list of all choices is no choice: a letter that was not meant is
// worse than none.

// find returns the sorted letters that the answer chose; nothing when it chose
// none.
func (s *choice) find(text string) string {
	if s.p.Compat == "inspect" {
		return s.findInspect(text)
	}
	text = plainChoice(text)
	markers := choiceMarkers(text)
	if s.p.Occurrence == "last" {
		slices.Reverse(markers)
	}
	for _, m := range markers {
		letters, binds := s.after(text[m.start:m.end], text[m.end:])
		if letters != "" || binds {
			return letters
		}
	}
	if letters := s.byLines(text); letters != "" || s.p.Multiple {
		return letters
	}
	return s.bySentences(text)
}

var (
	choiceMarks = strings.NewReplacer("：", ":", "（", "(", "）", ")", "【", "[", "】", "]", "「", `"`, "」", `"`, "『", `"`,
		"』", `"`, "《", `"`, "》", `"`,
		"“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`, "‘", `"`, "’", "'", "、", ",", "，", ",", "；", ";", "。", ".",
		"．", ".", "！", "!", "？", "?",
		"\u00a0", " ", "\u3000", " ", `\(`, "", `\)`, "", `\[`, "", `\]`, "", `\$`, "$", `\,`, " ", `\ `, " ")
	htmlTag = pattern.Late(`(?i)</?(?:b|strong|i|em|u|p|span|div|br|code|mark)\s*/?>`)
	texWord = pattern.Late(
		`\\(?:text|textbf|textit|textrm|textsf|mathrm|mathbf|mathsf|mathit|mathbb|bf|rm|bm)\s*\{([^{}]*)\}`)
)

// plainChoice writes full-width and typographic marks as ASCII, and takes the
// words of formulae out of their commands.
func plainChoice(text string) string {
	if !normalize.IsASCII(text) || strings.Contains(text, `\`) {
		text = strings.Map(fullWidthLetter, choiceMarks.Replace(text))
	}
	if holdsTag(text) {
		text = htmlTag().ReplaceAllString(text, "")
	}
	for range 2 { // \textbf{\text{B}}
		if strings.Contains(text, `\`) {
			text = texWord().ReplaceAllString(text, "$1")
		}
	}
	return text
}

// holdsTag reports whether a text may have a tag of HTML in it.
func holdsTag(text string) bool {
	for {
		_, rest, found := strings.Cut(text, "<")
		if !found {
			return false
		}
		if rest != "" && (rest[0] == '/' || rest[0] >= 'A') {
			return true
		}
		text = rest
	}
}

func fullWidthLetter(r rune) rune {
	if 'Ａ' <= r && r <= 'Ｚ' || 'ａ' <= r && r <= 'ｚ' {
		return r - 'Ａ' + 'A'
	}
	return r
}

// A span is where a marker stands.
type span struct{ start, end int }

// A marker is found by a word, ASCII letters in lower case, and an expression that
// holds there. before is what the text in front may not end with.
type marker struct {
	words  []string
	re     func() *regexp.Regexp
	before func() *regexp.Regexp
	hints  []string              // of which before needs one, in lower case; nil where that is not known
	after  func() *regexp.Regexp // what the line in front must end with; nil for anything
}

var (
	// unreal makes what follows an assumption.
	unreal = pattern.Late(
		`(?i)(?:\bif|\bwhether|\bunless|\bsuppose|\bassum\w+|n't (?:think|believe|say)|\bnot (?:think|believe|say|` +
			`sure|certain)|\bdoubt|\bwhy)\s+(?:that\s+)?(?:the\s+|my\s+|your\s+)?(?:(?:correct|right|final|best)\s+)?$`)
	unrealHints = []string{"if", "whether", "unless", "suppose", "assum", "n't", "not", "doubt", "why"}
	// closing opens a tag that ends something.
	closingHints = []string{"</", "[/"}
	closing      = pattern.Late(`</\w*$|\[/\w*$`)
	lineStart    = pattern.Late(`(?i)(?:^|\n)[#*_>\s]*(?:(?:the|my|final|correct|best)\s+)*$`)
	chosen       = pattern.Late(
		`(?i)(?:\b(?:correct|right|best|final|my|selected|chosen|appropriate|suitable|accurate)\s+(?:answer\s+)?|["_<\[])$`)
	mine    = pattern.Late(`(?i)\b(?:I|I'd|I'll|I would|I will|I'm|I am|let's|we|we'd)\s+(?:\w+ly\s+)?$`)
	decided = pattern.Late(`(?:^|[\s,.;:]|故|应|應|应该|應該|我|所以|因此|本题|最终|只能|答案)$`)

	choiceMarkerKinds = []marker{
		{words: []string{"answer"}, before: unreal, hints: unrealHints,
			re: pattern.Late(`(?i)\Aanswers?["'*_)\x60]*\s*(?::|=+>?|->|→|⇒|\s[-–—]{1,2}\s)`)},
		{words: []string{"answer"}, before: unreal, hints: unrealHints,
			re: pattern.Late(
				`(?i)\Aanswers?(?:\s+(?:choice|option|letter))?(?:\s+(?:to|for)\s[^.:;!?\n]{1,60}?)?["*_]*,` +
					`?\s+(?:(?:would|should|must|will|has to)\s+be|is|are)\b["*_]*:?`)},
		{words: []string{"answer"}, before: closing, hints: closingHints, re: pattern.Late(`(?i)\Aanswer[>\]]`)},
		{words: []string{"answer"}, after: lineStart, re: pattern.Late(`(?i)\Aanswer[*_]*[ \t]*\n`)},
		{words: []string{"response", "solution"}, re: pattern.Late(`(?i)\A(?:response|solution)["'*_]*\s*:`),
			after: lineStart},
		{words: []string{"ans."}, re: pattern.Late(`(?i)\Aans\.\s*:?`), after: lineStart},
		{words: []string{"ans"}, re: pattern.Late(`(?i)\Aans\s*:`), after: lineStart},
		{words: []string{`\boxed`}, re: pattern.Late(`(?i)\A\\boxed\s*\{`)},
		{words: []string{"option", "choice", "letter", "selection", "pick"}, before: closing, hints: closingHints,
			after: chosen,
			re: pattern.Late(
				`(?i)\A(?:option|choice|letter|selection|pick)(?:["'*_]*\s*:|["*_]*\s+(?:is|would be|should be|` +
					`must be)\b["*_]*:?|[>\]])`)},
		{words: []string{"choose", "pick", "select", "go with", "going with", "chose", "say"}, after: mine,
			re: pattern.Late(`(?i)\A(?:choose|pick|select|go with|going with|chose|say)\b["*_]*:?`)},
		{words: []string{"respuesta", "réponse", "reponse", "antwort", "resposta", "risposta", "Ответ", "ответ"},
			re: pattern.Late(
				`(?i)\A(?:respuesta|r[ée]ponse|antwort|resposta|risposta|ответ)(?:\s+(?:correcta|correcte|final|` +
					`finale|correta|corretta|exacte))?["*_]*\s*(?::|(?:es|est|ist|é|è)\s+(?:la\s+|a\s+)?)`)},
		{words: []string{"答案", "答え", "正解", "정답", "답은", "답:"},
			re: pattern.Late(`\A(?:答案(?:应该|應該|应|應)?(?:是|为|為|选|選|:)|(?:答え|正解)(?:は|:)|정답(?:은|:)|답(?:은|:))["*_]*\s*:?`)},
		{words: []string{"正确选项", "正確選項"}, re: pattern.Late(`\A正[确確][选選][项項](?:是|为|為|:)\s*:?`)},
		{words: []string{"选", "選"}, after: decided, re: pattern.Late(`\A[选選](?:择|擇)?\s*:?`)},
	}
)

// choiceMarkers returns where markers stand, from left to right.
func choiceMarkers(text string) []span {
	var found []span
	lower := search.Lower(text)
	for _, m := range choiceMarkerKinds {
		for _, word := range m.words {
			search.Each(lower, word, func(i int) {
				if at := m.re().FindStringIndex(text[i:]); at != nil && m.fits(text[:i], lower[:i]) &&
					!strings.Contains(text[i:i+at[1]], "whether") {
					found = append(found, span{i, i + at[1]})
				}
			})
		}
	}
	slices.SortFunc(found, func(a, b span) int { return a.end - b.end })
	return found
}

// lookBack bounds how much of the text in front of a marker is looked at.
const lookBack = 80

// fits looks at the text in front of a marker; lower is that in lower case.
func (m marker) fits(front, lower string) bool {
	if len(front) > lookBack {
		front, lower = strings.ToValidUTF8(front[len(front)-lookBack:], ""), lower[len(lower)-lookBack:]
	}
	return (m.before == nil || !m.hinted(lower) || !m.before().MatchString(front)) &&
		(m.after == nil || m.after().MatchString(front))
}

// hinted reports whether before may match: looking for the words that it needs
// takes a hundredth of the time.
func (m marker) hinted(lower string) bool {
	return m.hints == nil || slices.ContainsFunc(m.hints, func(w string) bool { return strings.Contains(lower, w) })
}

// leadWords may stand between a marker and the letter.
var leadWords = pattern.Late(
	`(?i)\A(?:(?:clearly|definitely|obviously|probably|likely|most likely|certainly|therefore|thus|hence|indeed|` +
		`simply|actually|still|then|just)\b[,\s]*)?` +
		`(?:the\s+)?(?:(?:correct|right|best|final)\s+)?(?:(?:answer|option|choice|letter|` +
		`alternative)s?\b(?:\s+label+ed)?(?:\s+letter)?\s*:?|选项|選項)?`)

// after reads what follows a marker. A marker binds when what follows is meant
// as the answer even if it is none of the choices, so that an earlier one is
// not taken for it; "the answer is based on…" and a boxed formula do not.
func (s *choice) after(marker, rest string) (letters string, binds bool) {
	if strings.HasPrefix(marker, `\`) {
		inside, _, closed := strings.Cut(rest, "}")
		if !closed {
			return "", false
		}
		letters = s.letters(inside)
		return letters, letters != ""
	}
	colon := strings.ContainsAny(marker[len(marker)-1:], ":>]=\n")
	rest = strings.TrimLeftFunc(rest, isWrapper) // the letter may stand on the next line
	if strings.HasPrefix(rest, `\boxed`) {
		return "", false // "Answer: \boxed{B}": the inner marker says it
	}
	line, _, _ := strings.Cut(rest, "\n")
	if letters = s.letters(line); letters == "" {
		lead := leadWords().FindString(line)
		line = strings.TrimLeftFunc(line[len(lead):], isWrapper)
		letters = s.letters(line)
	}
	if !colon && (cutOffArticle(line) || askedAgain(line)) {
		return "", false
	}
	return letters, letters != "" || colon || loneLetter(line) != ""
}

// cutOffArticle reports a text that ends in the word a: "the answer is a".
func cutOffArticle(line string) bool { return strings.TrimSpace(line) == "a" }

// askedAgain reports a letter that a question mark follows: "the answer is B?".
func askedAgain(line string) bool {
	return len(line) > 1 && strings.HasPrefix(strings.TrimLeft(line[1:], "*_$)]\"'`"), "?")
}

// isWrapper reports what may stand between a marker and its letter.
func isWrapper(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("*_$([{\"'`:#", r)
}

// letters reads one letter that stands alone or, with `multiple`, a list.
func (s *choice) letters(line string) string {
	line = strings.TrimLeftFunc(line, isWrapper)
	if s.p.Multiple {
		if end := listEnd(line); end > 0 {
			return s.letterList(line[:end])
		}
		return ""
	}
	one := loneLetter(line)
	if one == "" || s.severalLetters(line) {
		return s.byText(line)
	}
	return s.inRange(one)
}

// loneLetter is the letter at the start of line, when it stands alone: before
// a punctuation mark, a reason or the end.
func loneLetter(line string) string {
	if line == "" || !normalize.IsASCIIWord(rune(line[0])) || numbers.IsDigit(line[0]) {
		return ""
	}
	rest := line[1:]
	if endsToken(rest) || line[0] <= 'Z' && givesReason().MatchString(rest) {
		return line[:1]
	}
	return ""
}

// givesReason matches what follows a letter that stands alone though no mark
// says so.
var givesReason = pattern.Late(
	`^[*_)\]"'$]*(?:,?\s+(?i:because|since|due to|given that|as (?:it|the|this|that|these|they))\b|\s*(?:选项|選項|项|項|` +
		`因为|因為|です|だ|입니다|이다|번))`)

// endsToken reports whether a letter before rest stands alone. Signs that make
// it part of a name, a grade or a formula (A's, A-level, C++, A/B, B.C., A = 5)
// do not let it.
func endsToken(rest string) bool {
	if rest == "" {
		return true
	}
	spaced := strings.TrimLeft(rest, " \t\r\u00a0")
	if len(spaced) < len(rest) {
		return endsSpaced(spaced)
	}
	r, size := utf8.DecodeRuneInString(rest)
	next, nextSize := utf8.DecodeRuneInString(rest[size:])
	last := size+nextSize >= len(rest)
	switch {
	case r == '\n':
		return true
	case strings.ContainsRune("+#^=@~%°(", r):
		return false
	case strings.ContainsRune("'’-–&/|", r):
		return last && nextSize == 0 || !normalize.IsWord(next)
	case r == '.': // neither B.C. nor B.Sc., but B.Paris
		word := strings.IndexFunc(rest[size:]+" ", func(r rune) bool { return !unicode.IsLetter(r) })
		return !unicode.IsDigit(next) && (word == 0 || word > 2)
	case r == '<':
		return next == '/' || next == '|'
	case r == ':':
		return next != '\\' && next != '/'
	case r == '*':
		return next != ' ' || !startsWord(rest[size+nextSize:])
	case r == '_':
		return !normalize.IsWord(next)
	}
	return unicode.IsPunct(r) || unicode.IsSymbol(r)
}

// endsSpaced decides for a letter with a space behind it.
func endsSpaced(rest string) bool {
	r, size := utf8.DecodeRuneInString(rest)
	next, _ := utf8.DecodeRuneInString(rest[size:])
	switch {
	case rest == "" || r == '\n':
		return true
	case strings.ContainsRune("=<>+^/&|~%*", r):
		return strings.HasPrefix(rest, "**") || strings.HasPrefix(rest, "</")
	case r == '-':
		return !unicode.IsDigit(next)
	case r == '_':
		return !normalize.IsWord(next)
	}
	return unicode.IsPunct(r) || unicode.IsSymbol(r)
}

func startsWord(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsLetter(r)
}

var (
	// letterRun is a list of letters at the start of a line.
	letterRun = pattern.Late(
		`(?i)^(?:[A-Z]+\b)(?:[)*$\s]*(?:,|;|&|/|\+|\band\b|\bor\b|和|与|與|及)[\s(*$]*(?:and\b\s*)?[(*$]*[A-Z]\b)*`)
	// secondLetter is another letter after the first one. It is a capital, or
	// "C, a mammal" would be two.
	secondLetter = pattern.Late(
		`^[)\]*_$"'\x60\s]*(?:(?:,|;|&|/|\||\+|和|与|與|或|及|(?i:\(?\s*(?:and|or)\b))+[\s(\[*_$"'\x60]*(?i:(?:and|or|` +
			`possibly|perhaps|maybe|option)\s+)*[(\[*_$"'\x60]*([A-Z])(?:[^A-Za-z0-9'’-]|$)|` +
			`[)\]]\s*[(\[]([A-Z])[)\]]|[.?]\s+(?:(?i:or|and)\s+)?([A-Z])(?:[.?)]|$)|\s*[-–—]\s*([A-Z])(?:[.,;)]|$))`)
	lowerSecond = pattern.Late(`^[)\]]?\s*(?:,|&|/|\band\b|\bor\b)\s*[(\[]?([a-z])[)\]]?(?:[.,;!\n]|$)`)
)

// severalLetters reports a list of choices where one is asked for.
func (s *choice) severalLetters(line string) bool {
	second := secondLetter
	if line[0] >= 'a' {
		second = lowerSecond
	}
	if m := second().FindStringSubmatch(line[1:]); m != nil && s.inRange(strings.Join(m[1:], "")) != "" {
		return true
	}
	end := listEnd(line)
	return end > 0 && len(s.letterList(line[:end])) > 1
}

// listEnd is the length of the list of letters that line starts with; 0 when
// it starts with none, or when the list runs on into a word.
func listEnd(line string) int {
	m := letterRun().FindString(line)
	if m == "" || !endsToken(line[len(m):]) {
		return 0
	}
	return len(m)
}

// byText finds the choice whose text the line is, also behind its letter.
func (s *choice) byText(line string) string {
	whole := normalize.Fold(normalize.TrimEnds(line))
	for i, text := range s.p.Choices.Texts {
		letter := string(rune('A' + i))
		text = normalize.Fold(normalize.TrimEnds(text))
		if text == "" {
			continue
		}
		behind, ok := strings.CutPrefix(line, letter+" ")
		if whole == text || ok && normalize.Fold(normalize.TrimEnds(behind)) == text {
			return letter
		}
	}
	return ""
}

var (
	// lineLabel may stand before the letter of a line that says nothing else.
	lineLabel = pattern.Late(
		`(?i)^(?:(?:the|my|final|correct|best)\s+)*(?:(?:answer|ans|option|choice|letter)\b\s*|选项|選項|选择|選擇|选|選|我选|我選)`)
	// optionLine is a choice as a prompt lists it: (B) Paris, B) Paris,
	// B. Paris, B - Paris.
	optionLine = pattern.Late(`^(?:([(\[])([A-Z])[)\]]|([A-Z])\)|([A-Z])\.|([A-Z])\s+[-–—])[*_]*\s+(.*)$`)
	// disputed words make a line one about a choice, not the choice.
	disputed = pattern.Late(
		`(?i)\b(?:not|n't|cannot|wrong|incorrect|false|unlikely|but|either|neither|nor|or|both|is|are|was|were|has|` +
			`had|have|does|did|do|can|could|would|should|if|correct|eliminated?|excluded?|rejected|ruled)\b|n't\b|` +
			`\?|\.\.\.|…|(?:^|[\s(])[A-Z](?:[).,:;\s]|$)`)
	lineMarks = "*_$()[]{}<>\"'`.,:!✓✔✅☑👉\ufe0f \t\r"
	lineOpens = pattern.Late(`^(?:[#>\s]+|[-•]\s)*`) // heading, quotation, list
)

// byLines finds the choice of an answer that is nothing but it, or that has it
// as the first or the last line. Lines that name different choices name none.
func (s *choice) byLines(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return strings.TrimSpace(l) == "" || strings.HasPrefix(strings.TrimSpace(l), "```")
	})
	if len(lines) == 1 {
		return s.wholeLine(lines[0], true)
	}
	if s.p.Multiple {
		return ""
	}
	found := ""
	for i, line := range lines {
		letter := s.wholeLine(line, false)
		if letter == "" {
			if listed := optionLine().FindStringSubmatch(strings.TrimLeft(line, "*_-# \t")); listed != nil {
				return "" // a list, or words about a choice
			}
			continue
		}
		if found != "" && found != letter {
			return ""
		}
		if i == 0 || i == len(lines)-1 || found != "" {
			found = letter
		} else {
			return "" // in the middle: one of a list
		}
	}
	return found
}

// wholeLine reads a line that is nothing but a choice. only says that the
// answer has no other line; then a small letter will do.
func (s *choice) wholeLine(line string, only bool) string {
	line = strings.TrimSpace(lineOpens().ReplaceAllString(line, ""))
	bare := strings.Trim(line, lineMarks)
	if strings.HasSuffix(line, "*") && !strings.HasPrefix(line, "*") {
		return "" // A* is a grade
	}
	if s.p.Multiple {
		return s.wholeList(bare)
	}
	if m := lineLabel().FindString(bare); m != "" && len(m) < len(bare) {
		bare = strings.Trim(bare[len(m):], lineMarks)
	}
	if len(bare) == 1 && (only || bare < "a") {
		return s.inRange(bare)
	}
	if letter := s.byText(bare); letter != "" && only {
		return letter
	}
	m := optionLine().FindStringSubmatch(strings.Trim(line, "*_\"'` ✅✓✔"))
	if m == nil {
		if len(bare) > 1 && bare[0] <= 'Z' && only && givesReason().MatchString(bare[1:]) {
			return s.inRange(bare[:1])
		}
		return ""
	}
	letter := m[2] + m[3] + m[4] + m[5]
	if !s.plainOption(m[6], m[4] != "", only) {
		return ""
	}
	return s.inRange(letter)
}

// longOption is how many words a choice's text has at most where the texts are
// not known.
const longOption = 15

// plainOption reports whether the words after a letter are a choice's text. A
// point after the letter may also stand after an initial, so there a sentence
// is no choice.
func (s *choice) plainOption(text string, point, only bool) bool {
	words := len(strings.Fields(text))
	if words == 0 || words > longOption || disputed().MatchString(text) {
		return false
	}
	sentence := strings.HasSuffix(strings.TrimRight(text, "*_ "), ".")
	return !point || only && !(sentence && words > 2) || !sentence
}

// wholeList reads a line that is nothing but capital letters: "A, C" or "AC".
func (s *choice) wholeList(bare string) string {
	if bare != strings.ToUpper(bare) && !strings.Contains(bare, "and") || listEnd(bare) != len(bare) || bare == "" {
		return ""
	}
	letters := s.letterList(bare)
	if len(bare) > 1 && strings.ToUpper(bare) == bare && allWord(bare) && letters != bare {
		return "" // DAD is a word
	}
	return letters
}

func allWord(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !normalize.IsWord(r) })
}

const (
	sentenceStart = `(?:^|[.!?\n]\s*|\n[-*#>\s]*)[*_"]*(?:(?i:so|therefore|thus|hence|then|clearly|finally|overall|` +
		`okay|ok|yes|well|in conclusion),?\s+)?[*_"]*`
	optionWord  = `(?:(?i:(?:the\s+)?(?:option|choice|letter|answer))\s+)?`
	oneLetter   = `[*_("'$\[\x60]*([A-Z])[*_)"'$\]\x60]*`
	sentenceEnd = `[*_]*\s*(?:[.!][*_"]*(?:\s|$)|$|\n|,?\s+(?i:because|since)\b)`
)

// choiceSentences are sentences that name a choice.
var choiceSentences = []func() *regexp.Regexp{
	pattern.Late(sentenceStart + `(?:(?i:only)\s+)?` + optionWord + oneLetter +
		`\s+(?i:is|must be|would be)\s+(?i:(?:clearly|definitely|indeed|therefore|thus|obviously|the)\s+)*(?i:only\s+)?` +
		`(?i:(?:correct|right|best|most appropriate|most accurate)(?:\s+(?:answer|option|choice|one))?|answer)` +
		sentenceEnd),
	pattern.Late(sentenceStart +
		`(?:(?i:i think|i believe|i guess|i'd say|i would say|i'd go with|definitely|probably|it's|it is|that's|` +
		`that is|it must be|it has to be|it would be|that would be|must be)[,\s]+(?i:that\s+|it's\s+|` +
		`it is\s+)?)+` + optionWord + oneLetter + sentenceEnd),
	pattern.Late(`(?:^|[.!?\n]\s*)(?i:so|therefore|thus|hence)[,:]?\s+` + optionWord + oneLetter + sentenceEnd),
	pattern.Late(`(?:^|[.!?\n]\s*)[*_]*(?i:option|choice)\s+` + oneLetter + sentenceEnd),
}

// bySentences finds the one choice that sentences name.
func (s *choice) bySentences(text string) string {
	found := ""
	for _, re := range choiceSentences {
		for rest := text; ; {
			at := re().FindStringSubmatchIndex(rest)
			if at == nil {
				break
			}
			letter := s.inRange(rest[at[2]:at[3]])
			if found != "" && letter != found {
				return ""
			}
			found, rest = letter, rest[at[3]:] // the end of one sentence is the start of the next
		}
	}
	return found
}
