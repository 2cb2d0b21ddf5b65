package scorers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/normalize"
)

// Material is what a judge is shown. All of it is data: what looks like the
// template's own marks is broken inside it before it is inserted.
type Material struct {
	Question  string
	Answer    string
	Answer2   string // the other answer of a pair
	Target    string // a reference answer; may be empty
	Criterion string // what to judge by; may be empty
}

// A Template is a prompt with placeholders in braces: {question}, {answer},
// {target}, {criterion}, and {answer_a}, {answer_b} for pairs. {mark} is a code
// that is another one in each request and stands nowhere in the material:
// <answer-{mark}> is a tag that no answer can forge. Nothing else in braces is
// special.
type Template struct {
	text       string
	delimiters []delimiterPattern
}

var placeholder = pattern.Late(`\{(question|answer|target|criterion|answer_a|answer_b|mark)\}`)

// newTemplate reads a template and checks that it shows what is to be judged.
func newTemplate(text string, needs ...string) (*Template, error) {
	for _, name := range needs {
		if !strings.Contains(text, "{"+name+"}") {
			return nil, fmt.Errorf("the judge's template has no {%s}", name)
		}
	}
	return &Template{text, delimiterPatterns(text)}, nil
}

// Hash identifies the template: the hex SHA-256 of its text.
func (t *Template) Hash() string {
	sum := sha256.Sum256([]byte(t.text))
	return hex.EncodeToString(sum[:])
}

// Render fills in the material. Placeholders inside the material stay as they
// are. The same template and material give the same prompt.
func (t *Template) Render(m Material) string {
	values := map[string]string{
		"question": m.Question, "answer": m.Answer, "target": m.Target,
		"criterion": m.Criterion, "answer_a": m.Answer, "answer_b": m.Answer2,
	}
	mark := t.mark(m)
	return placeholder().ReplaceAllStringFunc(t.text, func(p string) string {
		name := p[1 : len(p)-1]
		if name == "mark" {
			return mark
		}
		return t.defuse(values[name])
	})
}

// mark is the code of one request: 12 hex digits of a hash of all that the
// request shows, so that it is the same whenever the request is made again.
// Whoever writes one part of the material cannot know it beforehand.
func (t *Template) mark(m Material) string {
	parts := []string{m.Question, m.Answer, m.Answer2, m.Target, m.Criterion}
	for n := 0; ; n++ {
		h := sha256.New()
		for _, part := range append([]string{strconv.Itoa(n), t.text}, parts...) {
			fmt.Fprintf(h, "%d:%s", len(part), part)
		}
		mark := hex.EncodeToString(h.Sum(nil)[:6])
		holds := func(part string) bool { return strings.Contains(strings.ToLower(part), mark) }
		if !slices.ContainsFunc(parts, holds) {
			return mark
		}
	}
}

// delimiter finds what a template sets its parts apart with: [MARKS] in
// capitals, <tags>, rules of one repeated mark, and fences.
var delimiter = pattern.Late(`\[/?[A-Z][A-Z0-9 _-]*\]|</?[A-Za-z][\w-]*>|\*{3,}|={3,}|-{3,}|#{3,}|` + "`{3,}")

// verdictLetter is a verdict of a pairwise judge. It sets nothing apart, but an
// answer has no use for it; [a, b] in an answer is a list.
var verdictLetter = pattern.Late(`\[\s*\[\s*[A-C]\s*\]\s*\]`)

// A delimiterPattern finds what a reader may take for one of the template's
// delimiters, in a text that lookAlikes has made plain.
type delimiterPattern struct {
	re        *regexp.Regexp
	bracketed bool
}

func delimiterPatterns(text string) []delimiterPattern {
	var patterns []delimiterPattern
	seen := map[string]bool{}
	text = placeholder().ReplaceAllString(text, "")
	if verdictLetter().MatchString(text) {
		patterns = append(patterns, delimiterPattern{verdictLetter(), true})
	}
	for _, d := range delimiter().FindAllString(doubleBrackets().ReplaceAllString(text, ""), -1) {
		p := delimiterPattern{bracketed: d[0] == '[' || d[0] == '<'}
		source := regexp.QuoteMeta(d[:3]) + regexp.QuoteMeta(d[:1]) + "*"
		if p.bracketed {
			source = tagPattern(d)
		}
		if !seen[source] {
			seen[source] = true
			p.re = regexp.MustCompile(source)
			patterns = append(patterns, p)
		}
	}
	return patterns
}

// tagPattern matches a tag however it is spaced and cased, and whatever stands
// between its bracket and its word: a judge reads [end  data] as [END DATA]. A
// closing tag need not be closed itself.
func tagPattern(tag string) string {
	open, end := regexp.QuoteMeta(tag[:1]), regexp.QuoteMeta(tag[len(tag)-1:])
	words := strings.FieldsFunc(strings.Trim(tag, "[]<>/"), func(r rune) bool { return strings.ContainsRune(" _-", r) })
	for i, w := range words {
		words[i] = strings.Join(strings.Split(w, ""), hidden+"*")
	}
	word := strings.Join(words, `[\s`+hidden+`_-]*`) + `\b`
	within := `[^` + open + end + `]`
	odd := `[^\p{L}\p{N}` + open + end + `]*`
	tail := `(?:` + odd + `|\s[\w-]+\s*=` + within + `*)` + end
	return `(?i)` + open + `(?:` + odd + `/` + odd + word + `(?:` + tail + `)?|` + odd + word + `(?:` + tail + `|` +
		within + `{0,80}` + end + `))`
}

// hidden stands for each invisible character of a text.
const hidden = "\u200b"

// alike are characters that pass for those of a tag.
var alike = func() map[rune]rune {
	m := map[rune]rune{}
	for plain, others := range map[rune]string{
		'<': "‹«〈⟨《˂❮❬≺ᐸ", '>': "›»〉⟩》˃❯❭≻ᐳ", '[': "【〔〖⟦❲", ']': "】〕〗⟧❳", '/': "⁄∕╱⧸", '_': "‿", '-': "‐‑‒–—−",
		'a': "аα", 'c': "сϲ", 'd': "ԁ", 'e': "е", 'h': "һ", 'i': "іι", 'j': "ј", 'n': "ո", 'o': "оο", 'p': "рρ",
		'q': "ԛ",
		's': "ѕ", 't': "т", 'u': "υ", 'v': "ν", 'w': "ѡԝ", 'x': "хχ", 'y': "у",
		'A': "АΑ", 'B': "ВΒ", 'C': "С", 'D': "Ꭰ", 'E': "ЕΕ", 'H': "НΗ", 'I': "ІΙ", 'K': "КΚ", 'M': "МΜ", 'N': "Ν",
		'O': "ОΟ",
		'P': "РΡ", 'Q': "Ԛ", 'S': "Ѕ", 'T': "ТΤ", 'W': "Ԝ", 'X': "ХΧ", 'Y': "ΥҮ", 'Z': "Ζ",
	} {
		for _, r := range others {
			m[r] = plain
		}
	}
	return m
}()

// lookAlikes writes a text in plain characters, one for each of its own.
func lookAlikes(text string) string {
	if normalize.IsASCII(text) {
		return strings.ReplaceAll(text, `\`, "/")
	}
	return strings.Map(func(r rune) rune {
		if r == '\\' {
			return '/'
		}
		if r < utf8.RuneSelf {
			return r
		}
		if plain, ok := alike[r]; ok {
			return plain
		}
		if unicode.IsLetter(r) && r < 0x1D00 { // other forms of plain letters come later, but for ª and º
			return r
		}
		if unicode.In(r, unicode.Cf, unicode.Mn, unicode.Me) {
			return []rune(hidden)[0]
		}
		if plain := []rune(norm.NFKC.String(string(r))); len(plain) == 1 {
			r = plain[0]
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, text)
}

// defuse breaks what may be taken for the template's delimiters in a text:
// brackets become round, rules are spaced out. A person still reads the same.
func (t *Template) defuse(text string) string {
	plain := lookAlikes(text)
	for _, p := range t.delimiters {
		hits := p.re.FindAllStringIndex(plain, -1)
		if hits == nil {
			continue
		}
		var b strings.Builder
		runes, at, done := []rune(text), 0, 0 // at counts runes, done bytes of plain
		for _, hit := range hits {
			from := at + utf8.RuneCountInString(plain[done:hit[0]])
			to := from + utf8.RuneCountInString(plain[hit[0]:hit[1]])
			b.WriteString(string(runes[at:from]))
			b.WriteString(p.broken(runes[from:to], plain[hit[0]:hit[1]]))
			at, done = to, hit[1]
		}
		b.WriteString(string(runes[at:]))
		text = b.String()
		plain = lookAlikes(text)
	}
	return text
}

// broken is a hit that is no delimiter any more.
func (p delimiterPattern) broken(hit []rune, plain string) string {
	if !p.bracketed {
		return strings.Join(strings.Split(string(hit), ""), " ")
	}
	hit = slices.Clone(hit)
	hit[0] = '('
	if strings.HasSuffix(plain, ">") || strings.HasSuffix(plain, "]") {
		hit[len(hit)-1] = ')'
	}
	return string(hit)
}
