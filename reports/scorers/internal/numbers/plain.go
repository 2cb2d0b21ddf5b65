package numbers

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/normalize"
)

// Plain writes the numbers of a text in ASCII, as scanNumber reads them:
// digits of other scripts, full-width signs, typographic and LaTeX thousands
// separators, fractions, and powers of ten. Other text stays much as it is.
func Plain(s string) string {
	if !normalize.IsASCII(s) {
		s = asciiNumbers(s)
	}
	if strings.Contains(s, `\`) || strings.Contains(s, "{,}") {
		s = latexNumbers(s)
	}
	if strings.Contains(s, "10^") || strings.Contains(s, "10**") {
		s = timesPower().ReplaceAllString(s, "${1}e${2}${3}")
		s = onlyPower().ReplaceAllString(s, "${1}1e${2}${3}")
	}
	return s
}

const exponent = `10(?:\^|\*\*)(?:\{([-+]?[0-9]{1,4})\}|([-+]?[0-9]{1,4}))`

var (
	timesPower = pattern.Late(`([0-9]) ?(?:×|[xX]|\*|·|⋅|\\times|\\cdot) ?` + exponent)
	onlyPower  = pattern.Late(`(^|[^0-9A-Za-z.,_^])` + exponent)
	fraction   = pattern.Late(`([0-9] ?)?\\[dt]?frac ?(?:\{(-?[0-9.,]+)\}|([0-9])) ?(?:\{([0-9.,]+)\}|([0-9]))`)
	separators = strings.NewReplacer(`{,}`, ",", `,\!`, ",", `\,`, ",", `\!`, "")
)

func latexNumbers(s string) string {
	s = separators.Replace(s)
	if !strings.Contains(s, "frac") {
		return s
	}
	return fraction().ReplaceAllStringFunc(s, func(match string) string {
		m := fraction().FindStringSubmatch(match)
		before := m[1]
		if before != "" && IsDigit(before[0]) { // 2\frac{3}{4} is a mixed number
			before = before[:1] + " "
		}
		return before + m[2] + m[3] + "/" + m[4] + m[5]
	})
}

// asciiNumbers replaces the characters beyond ASCII that numbers are written
// with.
func asciiNumbers(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	last, exponent := rune(0), false
	for i, r := range s {
		text := superscript[r]
		switch {
		case text == "":
			_, size := utf8.DecodeRuneInString(s[i:])
			text, exponent = asciiNumber(r, last, s[i+size:]), false
		case exponent:
		case '0' <= last && last <= '9':
			text, exponent = "^"+text, true
		default: // a raised digit after a letter is no number
			text = string(r)
		}
		b.WriteString(text)
		last, _ = utf8.DecodeLastRuneInString(text)
	}
	return b.String()
}

// asciiNumber is what stands for r after last and before rest.
func asciiNumber(r, last rune, rest string) string {
	afterDigit := '0' <= last && last <= '9'
	switch {
	case r < utf8.RuneSelf:
		return string(r)
	case unicode.Is(unicode.Nd, r):
		return string('0' + digitValue(r))
	case strings.ContainsRune("\u00a0\u2007\u2008\u2009\u202f\u205f\u066c", r):
		if afterDigit && threeDigits(rest) {
			return ","
		}
		return " "
	case r == '’':
		if afterDigit && threeDigits(rest) {
			return ","
		}
	case r == '，':
		// Between full-width digits only: elsewhere it parts clauses.
		if next, _ := utf8.DecodeRuneInString(rest); afterDigit && '０' <= next && next <= '９' && threeDigits(rest) {
			return ","
		}
	case strings.ContainsRune("−–‑﹣－", r):
		return "-"
	case r == '٫', r == '．':
		return "."
	case r == '⁄', r == '／':
		return "/"
	case r == '％', r == '٪':
		return "%"
	case r == '＋':
		return "+"
	case vulgarFraction[r] != "":
		if afterDigit { // 2½
			return " " + vulgarFraction[r]
		}
		return vulgarFraction[r]
	}
	return string(r)
}

// digitValue of a decimal digit of any script: Unicode lists them in tens.
func digitValue(r rune) rune {
	for _, t := range unicode.Nd.R16 {
		if lo, hi := rune(t.Lo), rune(t.Hi); lo <= r && r <= hi {
			return (r - lo) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if lo, hi := rune(t.Lo), rune(t.Hi); lo <= r && r <= hi {
			return (r - lo) % 10
		}
	}
	return 0
}

// threeDigits reports whether s begins with exactly three digits of any
// script.
func threeDigits(s string) bool {
	n := 0
	for _, r := range s {
		if !unicode.Is(unicode.Nd, r) {
			break
		}
		if n++; n > 3 {
			return false
		}
	}
	return n == 3
}

var vulgarFraction = map[rune]string{
	'½': "1/2", '⅓': "1/3", '⅔': "2/3", '¼': "1/4", '¾': "3/4", '⅕': "1/5", '⅖': "2/5", '⅗': "3/5", '⅘': "4/5",
	'⅙': "1/6", '⅚': "5/6", '⅐': "1/7", '⅛': "1/8", '⅜': "3/8", '⅝': "5/8", '⅞': "7/8", '⅑': "1/9", '⅒': "1/10",
}

var superscript = map[rune]string{
	'⁰': "0", '¹': "1", '²': "2", '³': "3", '⁴': "4", '⁵': "5", '⁶': "6", '⁷': "7", '⁸': "8", '⁹': "9", '⁻': "-",
	'⁺': "+",
}
