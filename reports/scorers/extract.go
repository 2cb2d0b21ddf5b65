package scorers

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/normalize"
	"nightshift/reports/scorers/internal/numbers"
	"nightshift/reports/scorers/internal/search"
)

type matchParams struct {
	Location   string `json:"location" doc:"where the target must stand: begin, end, any or exact"`
	Numeric    bool   `json:"numeric" doc:"compare the white-space separated tokens that are numbers"`
	IgnoreCase bool   `json:"ignore_case" doc:"compare case-folded"`
	Compat     string `json:"compat" doc:"inspect: as Inspect at commit 499e615, where numbers are equal when their first 5 digits are"`
}

type match struct {
	base
	p matchParams
}

func newMatch(b base, p matchParams) (*match, error) {
	if err := oneOf("location", p.Location, "begin", "end", "any", "exact"); err != nil {
		return nil, err
	}
	return &match{b, p}, oneOf("compat", p.Compat, "", "inspect")
}

func (s *match) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	return best(targets, func(t string) Result { return s.one(a.Text, t) })
}

func (s *match) one(text, target string) Result {
	if s.p.Numeric {
		if s.p.Compat == "inspect" {
			if want, ok := inspectNumber(inspectBanner(strings.TrimSpace(target))); ok {
				return s.inspect(text, want)
			}
		} else if want, ok := numbers.Token(strings.TrimSpace(numbers.Plain(target))); ok {
			return s.number(text, want)
		}
	}
	text = strings.TrimSpace(text)
	if normalize.TrimEnds(target) != "" { // else the target is nothing but marks
		text, target = normalize.TrimEnds(text), normalize.TrimEnds(target)
	}
	if s.p.IgnoreCase {
		text, target = normalize.Fold(text), normalize.Fold(target)
	}
	return verdict(located(s.p.Location, text, strings.TrimSpace(target))).sameAs(text)
}

func located(location, text, target string) bool {
	switch location {
	case "begin":
		return strings.HasPrefix(text, target)
	case "end":
		return strings.HasSuffix(text, target)
	case "exact":
		return text == target
	}
	return strings.Contains(text, target)
}

const noNumber = "no number in the answer"

// number compares the numbers among the tokens of the answer.
func (s *match) number(text string, want numbers.Decimal) Result {
	text = numbers.Plain(text)
	if s.p.Location == "exact" {
		got, ok := numbers.Token(strings.TrimSpace(text))
		if !ok {
			return scored(0)
		}
		return verdict(got == want).extracted(got.String()).sameAs(got.String())
	}
	var last *numbers.Decimal
	for token := range strings.FieldsSeq(text) {
		d, ok := numbers.Token(token)
		if !ok {
			continue
		}
		last = &d
		if s.p.Location == "begin" || s.p.Location == "any" && d == want {
			break
		}
	}
	if last == nil {
		return noAnswer(noNumber)
	}
	return verdict(*last == want).extracted(last.String()).sameAs(last.String())
}

// inspect compares as Inspect does: its own idea of punctuation and of what is
// a number, and five significant digits.
func (s *match) inspect(text string, want string) Result {
	text = inspectBanner(normalize.Fold(strings.TrimSpace(text)))
	if s.p.Location == "exact" {
		got, ok := inspectNumber(text)
		return verdict(ok && got == want).extracted(got).sameAs(got)
	}
	numbers := []string{}
	for token := range strings.FieldsSeq(text) {
		if n, ok := inspectNumber(token); ok {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) == 0 {
		return noAnswer(noNumber)
	}
	got := numbers[len(numbers)-1]
	switch {
	case s.p.Location == "begin":
		got = numbers[0]
	case s.p.Location == "any" && slices.Contains(numbers, want):
		got = want
	}
	return verdict(got == want).extracted(got).sameAs(got)
}

// inspectBanner deletes currency signs, commas and emphasis, and the points
// that no digit follows.
func inspectBanner(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune("$,£€*_", r) {
			return -1
		}
		return r
	}, strings.ReplaceAll(s, `\$`, "$"))
	var b strings.Builder
	for i := range len(s) {
		if s[i] != '.' || numbers.DigitAt(s, i+1) {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

var vulgar = map[rune]float64{
	'½': 0.5, '⅓': 1. / 3, '⅔': 2. / 3, '¼': 0.25, '¾': 0.75, '⅕': 0.2, '⅖': 0.4, '⅗': 0.6, '⅘': 0.8,
	'⅙': 1. / 6, '⅚': 5. / 6, '⅐': 1. / 7, '⅛': 0.125, '⅜': 0.375, '⅝': 0.625, '⅞': 0.875, '⅑': 1. / 9, '⅒': 0.1,
}

var chineseDigits = map[string]float64{
	"〇": 0, "零": 0, "一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10,
}

// inspectNumber formats a token that is a number to five significant digits.
func inspectNumber(token string) (string, bool) {
	if f, ok := chineseDigits[token]; ok {
		return fiveDigits(f), true
	}
	sign, rest := 1.0, token
	if r, s := numbers.CutSign(token); s != 0 {
		rest = r
		if s == '-' {
			sign = -1
		}
	}
	rest = strings.Map(asciiDigit, rest)
	fraction := 0.0
	if r, size := utf8.DecodeLastRuneInString(rest); vulgar[r] != 0 {
		fraction, rest = vulgar[r], rest[:len(rest)-size]
		if rest == "" {
			return fiveDigits(sign * fraction), true
		}
	}
	f, ok := numbers.FloatToken(rest)
	if !ok || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		return token, false
	}
	return fiveDigits(sign * (f + fraction)), true
}

// asciiDigit turns full-width digits into plain ones.
func asciiDigit(r rune) rune {
	if '０' <= r && r <= '９' {
		return r - '０' + '0'
	}
	return r
}

func fiveDigits(f float64) string { return strconv.FormatFloat(f, 'g', 5, 64) }

type regexParams struct {
	Pattern    string `json:"pattern" required:"true" doc:"regular expression (RE2); its groups, or else the whole match, are compared with the target; where a row has no target, a match is right"`
	IgnoreCase bool   `json:"ignore_case" doc:"ignore case in the pattern and in the comparison"`
	MatchAll   bool   `json:"match_all" doc:"every group must equal a target, not just one"`
	MatchOnly  bool   `json:"match_only" doc:"a match is right, whatever the row's target"`
}

type regex struct {
	base
	p  regexParams
	re *search.Searcher
}

func newRegex(b base, p regexParams) (*regex, error) {
	pattern := p.Pattern
	if p.IgnoreCase {
		pattern = "(?i:" + pattern + ")"
	}
	re, err := search.New(pattern)
	return &regex{b, p, re}, err
}

func (s *regex) Score(a Answer, target *Target) Result {
	at := s.re.Find(a.Text)
	if s.p.MatchOnly || target == nil {
		return s.matched(a.Text, at)
	}
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	groups := captured(a.Text, at)
	if len(groups) == 0 {
		return noAnswer("the pattern does not match the answer")
	}
	hits, hit := 0, ""
	for _, g := range groups {
		if s.equalsAny(g, targets) {
			if hits++; hits == 1 {
				hit = g
			}
		}
	}
	shown := strings.Join(groups, ", ")
	switch {
	case s.p.MatchAll && hits == len(groups), !s.p.MatchAll && hits > 0:
		return scored(1).extracted(hit).sameAs(s.folded(shown))
	case len(groups) == 1:
		return scored(0).extracted(groups[0]).sameAs(s.folded(shown))
	}
	return scored(0).because("groups: %s", strings.Join(quoted(groups), ", ")).sameAs(s.folded(shown))
}

// matched scores without a target: by whether the pattern matches.
func (s *regex) matched(text string, at []int) Result {
	if at == nil {
		return scored(0).because("the pattern does not match the answer").sameAs("")
	}
	hit := text[at[0]:at[1]]
	return scored(1).extracted(hit).sameAs(s.folded(hit))
}

// captured returns the groups that took part, or the whole match when the
// pattern has no group.
func captured(text string, at []int) []string {
	if len(at) == 2 {
		return []string{text[at[0]:at[1]]}
	}
	var groups []string
	for i := 2; i < len(at); i += 2 {
		if at[i] >= 0 {
			groups = append(groups, text[at[i]:at[i+1]])
		}
	}
	return groups
}

func (s *regex) equalsAny(group string, targets []string) bool {
	return slices.ContainsFunc(targets, func(t string) bool {
		return s.folded(group) == s.folded(t)
	})
}

func (s *regex) folded(text string) string {
	if s.p.IgnoreCase {
		return normalize.Lower(text)
	}
	return text
}

type answerParams struct {
	Kind       string `json:"kind" doc:"what follows the last ANSWER: — letter, word or line"`
	IgnoreCase bool   `json:"ignore_case" doc:"compare case-folded"`
}

type answer struct {
	base
	p answerParams
}

func newAnswer(b base, p answerParams) (*answer, error) {
	return &answer{b, p}, oneOf("kind", p.Kind, "letter", "word", "line")
}

var answerMarker = pattern.Late(`(?i)\AANSWER[\s\x{85}\p{Z}*_]*[:：][*_]*`)

func (s *answer) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	got, why := answerText(a.Text, s.p.Kind)
	if why != "" {
		return noAnswer(why)
	}
	right := slices.ContainsFunc(targets, func(t string) bool {
		return s.folded(got) == s.folded(unmarked(t))
	})
	return verdict(right).extracted(got).sameAs(s.folded(got))
}

func (s *answer) folded(text string) string {
	if s.p.IgnoreCase {
		return normalize.Fold(text)
	}
	return text
}

// answerText takes the text after the last marker. why says what is missing.
func answerText(text, kind string) (got, why string) {
	end := -1
	search.Each(search.Lower(text), "answer", func(i int) {
		if at := answerMarker().FindStringIndex(text[i:]); at != nil {
			end = i + at[1]
		}
	})
	if end < 0 {
		return "", "no ANSWER: in the answer"
	}
	rest := strings.TrimLeftFunc(text[end:], unicode.IsSpace)
	line, after, _ := strings.Cut(rest, "\n")
	line = strings.TrimSpace(line)
	switch kind {
	case "letter":
		return answerLetter(strings.TrimLeft(rest, "*_$([{\"'`“‘（【"))
	case "word":
		return answerWord(unmarked(line))
	}
	if line = unmarked(line); line == "" || strings.TrimSpace(after) != "" {
		return "", "ANSWER: is not on the last line"
	}
	return line, ""
}

// pairs stand around an answer without being a part of it.
var pairs = [][2]string{{`"`, `"`}, {"“", "”"}, {"‘", "’"}, {"'", "'"}, {"«", "»"}, {"「", "」"}, {"`", "`"},
	{"__", "__"}, {"_", "_"}, {"$", "$"},
	{"<", ">"}, {"[", "]"}, {"(", ")"}, {`\(`, `\)`}, {`\boxed{`, `}`}, {`\text{`, `}`}}

// unmarked takes emphasis, quotation marks and brackets off the ends of a text;
// a point that ends it stays.
func unmarked(s string) string {
	for {
		before := s
		s = strings.Trim(strings.TrimSpace(s), "*")
		for _, p := range pairs {
			inner, opens := strings.CutPrefix(s, p[0])
			inner, closes := strings.CutSuffix(inner, p[1])
			if opens && closes && inner != "" && !strings.Contains(inner, p[0]) {
				s = inner
			}
		}
		if s == before {
			return s
		}
	}
}

func answerLetter(rest string) (got, why string) {
	if rest == "" || !normalize.IsASCIIWord(rune(rest[0])) || numbers.IsDigit(rest[0]) {
		return "", "no letter after ANSWER:"
	}
	if r, _ := utf8.DecodeRuneInString(rest[1:]); len(rest) > 1 && normalize.IsWord(r) {
		return "", "a word and not a letter after ANSWER:"
	}
	return rest[:1], ""
}

func answerWord(line string) (got, why string) {
	if line == "" || strings.ContainsFunc(line, unicode.IsSpace) {
		return "", "not one word after ANSWER:"
	}
	if len(line) > 1 && strings.IndexByte(".,;:!?", line[len(line)-1]) >= 0 {
		line = unmarked(line[:len(line)-1])
	}
	return line, ""
}

func init() {
	register("match", Pure, "2", "the target stands at one place of the answer",
		matchParams{Location: "end", IgnoreCase: true}, newMatch)
	register("regex", Pure, "2", "what a pattern finds equals a target", regexParams{IgnoreCase: true}, newRegex)
	register("answer", Pure, "2", "what follows the last ANSWER: equals a target",
		answerParams{Kind: "line", IgnoreCase: true}, newAnswer)
}
