// Package numbers finds numbers in running text and compares them exactly.
package numbers

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"nightshift/reports/scorers/internal/normalize"
)

// A Decimal is an exact number: ±digits·10^exp. digits has neither leading nor
// trailing zeros and is empty for zero, so equal numbers are equal structs.
type Decimal struct {
	negative bool
	digits   string
	exp      int64
}

// Parse reads a whole text as a number: optional sign (ASCII or U+2212),
// digits with optional thousands commas (also in the Indian way: 12,34,567),
// optional fraction, optional exponent.
// Hexadecimal, infinities and percentages are not numbers.
func Parse(s string) (Decimal, bool) {
	negative := false
	if rest, sign := CutSign(s); sign != 0 {
		negative, s = sign == '-', rest
	}
	mantissa, exponent, hasExponent := s, "", false
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent, hasExponent = s[:i], s[i+1:], true
	}
	whole, fraction, point := strings.Cut(mantissa, ".")
	whole, ok := thousands(whole)
	if !ok || !AllDigits(fraction) || whole == "" && fraction == "" || point && fraction == "" {
		return Decimal{}, false
	}
	exp := int64(0)
	if hasExponent {
		if exp, ok = parseExponent(exponent); !ok {
			return Decimal{}, false
		}
	}
	return NewDecimal(negative, whole+fraction, exp-int64(len(fraction))), true
}

func CutSign(s string) (rest string, sign rune) {
	r, size := utf8.DecodeRuneInString(s)
	switch r {
	case '-', '\u2212':
		return s[size:], '-'
	case '+':
		return s[size:], '+'
	}
	return s, 0
}

// parseExponent reads a signed exponent that any real number could have.
func parseExponent(s string) (int64, bool) {
	s, sign := CutSign(s)
	if s == "" || len(s) > 15 || !AllDigits(s) {
		return 0, false
	}
	n, _ := strconv.ParseInt(s, 10, 64)
	if sign == '-' {
		n = -n
	}
	return n, true
}

// thousands removes commas that group digits: by three or, in the Indian way,
// the last three and by two before them. Others are refused.
func thousands(s string) (string, bool) {
	if !strings.Contains(s, ",") {
		return s, AllDigits(s)
	}
	groups := strings.Split(s, ",")
	last := len(groups) - 1
	size := 3
	if last > 1 && len(groups[1]) == 2 {
		size = 2
	}
	for i, g := range groups {
		right := len(g) == size
		switch i {
		case 0:
			right = 0 < len(g) && len(g) <= size
		case last:
			right = len(g) == 3
		}
		if !right || !AllDigits(g) {
			return "", false
		}
	}
	return strings.Join(groups, ""), true
}

func AllDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func NewDecimal(negative bool, digits string, exp int64) Decimal {
	digits = strings.TrimLeft(digits, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return Decimal{}
	}
	return Decimal{negative, short, exp + int64(len(digits)-len(short))}
}

// wide is the number of decimal places beyond which tolerances are not
// computed: the numbers are equal or they are not.
const wide = 5000

// Computable reports whether d has an exponent that can be computed with.
func (d Decimal) Computable() bool { return d.exp < wide && d.exp > -wide }

// rational returns d as a fraction; ok is false when that would be huge.
func (d Decimal) rational() (r *big.Rat, ok bool) {
	if d.exp > wide || d.exp < -wide || len(d.digits) > wide {
		return nil, false
	}
	n := new(big.Int)
	if d.digits != "" {
		n.SetString(d.digits, 10)
	}
	if d.negative {
		n.Neg(n)
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(max(d.exp, -d.exp)), nil)
	if d.exp < 0 {
		return new(big.Rat).SetFrac(n, power), true
	}
	return new(big.Rat).SetInt(n.Mul(n, power)), true
}

// Float is the nearest float64, possibly infinite.
func (d Decimal) Float() float64 {
	f, _ := strconv.ParseFloat(d.String(), 64)
	return f
}

func (d Decimal) String() string {
	digits := d.digits
	if digits == "" {
		return "0"
	}
	switch places := -d.exp; {
	case d.exp > 0 && d.exp <= 21:
		digits += strings.Repeat("0", int(d.exp))
	case places > 0 && places < int64(len(digits)):
		digits = digits[:len(digits)-int(places)] + "." + digits[len(digits)-int(places):]
	case places > 0 && places <= 21:
		digits = "0." + strings.Repeat("0", int(places)-len(digits)) + digits
	case d.exp != 0:
		digits += "e" + strconv.FormatInt(d.exp, 10)
	}
	if d.negative {
		return "-" + digits
	}
	return digits
}

// A Tolerance says how far apart two numbers may be and still be equal:
// |a-b| <= max(abs, rel·max(|a|,|b|)). The zero value is exact equality.
type Tolerance struct{ Abs, rel *big.Rat }

// ParseTolerance reads the parameters abs_tol and rel_tol.
func ParseTolerance(abs, rel json.Number) (t Tolerance, err error) {
	for _, p := range []struct {
		name string
		text json.Number
		to   **big.Rat
	}{{"abs_tol", abs, &t.Abs}, {"rel_tol", rel, &t.rel}} {
		d, ok := Parse(p.text.String())
		if !ok || d.negative {
			return t, fmt.Errorf("%s: want a number of 0 or more, have %q", p.name, p.text)
		}
		if r, ok := d.rational(); ok && d.digits != "" {
			*p.to = r
		}
	}
	return t, nil
}

func (t Tolerance) Equal(a, b Decimal) bool {
	if a == b {
		return true
	}
	if t.Abs == nil && t.rel == nil {
		return false
	}
	x, okX := a.rational()
	y, okY := b.rational()
	if !okX || !okY {
		return false
	}
	return t.near(x, y)
}

// near compares fractions; it may change them.
func (t Tolerance) near(x, y *big.Rat) bool {
	apart := new(big.Rat).Sub(x, y)
	if apart.Sign() == 0 {
		return true
	}
	apart.Abs(apart)
	if t.Abs != nil && apart.Cmp(t.Abs) <= 0 {
		return true
	}
	if t.rel == nil {
		return false
	}
	larger := x.Abs(x)
	if y.Abs(y).Cmp(larger) > 0 {
		larger = y
	}
	return apart.Cmp(larger.Mul(larger, t.rel)) <= 0
}

// marks are what people put on numbers without changing them: currency signs
// and Markdown emphasis.
const marks = "$€£¥*_"

// Token reads a token of text as a number after stripping marks and the
// punctuation that ends a sentence. % is not stripped.
func Token(token string) (Decimal, bool) {
	if token == "" || !strings.ContainsAny(token, "0123456789") {
		return Decimal{}, false
	}
	if strings.ContainsAny(token, marks) {
		token = strings.Map(func(r rune) rune {
			if strings.ContainsRune(marks, r) {
				return -1
			}
			return r
		}, strings.ReplaceAll(token, `\$`, "$"))
	}
	token = strings.TrimSuffix(token, ",")
	return Parse(strings.TrimSuffix(token, "."))
}

// A quantity is an exact number: a decimal or, where that has no end, a
// fraction.
type quantity struct {
	Decimal
	ratio *big.Rat // nil for a decimal
}

// longFraction bounds the digits of a fraction's parts.
const longFraction = 30

// over is n divided by d; ok is false for a division by zero and for parts of
// absurd length.
func (n Decimal) over(d Decimal) (q quantity, ok bool) {
	for _, part := range []Decimal{n, d} {
		if len(part.digits) > longFraction || part.exp > longFraction || part.exp < -longFraction {
			return q, false
		}
	}
	x, _ := n.rational()
	y, _ := d.rational()
	if y.Sign() == 0 {
		return q, false
	}
	return exactly(x.Quo(x, y)), true
}

func exactly(r *big.Rat) quantity {
	places, exact := r.FloatPrec()
	if !exact {
		return quantity{ratio: r}
	}
	d, _ := Parse(r.FloatString(places))
	return quantity{Decimal: d}
}

// rational is the number as a fraction of its own; ok is false when that would
// be huge.
func (q quantity) rational() (*big.Rat, bool) {
	if q.ratio != nil {
		return new(big.Rat).Set(q.ratio), true
	}
	return q.Decimal.rational()
}

func (q quantity) negated() quantity {
	if q.ratio != nil {
		return quantity{ratio: new(big.Rat).Neg(q.ratio)}
	}
	q.negative = !q.negative && q.digits != ""
	return q
}

// String is equal for equal numbers.
func (q quantity) String() string {
	if q.ratio != nil {
		return q.ratio.RatString()
	}
	return q.Decimal.String()
}

func (q quantity) equal(p quantity, t Tolerance) bool {
	if q.ratio == nil && p.ratio == nil {
		return t.Equal(q.Decimal, p.Decimal)
	}
	x, okX := q.rational()
	y, okY := p.rational()
	return okX && okY && t.near(x, y)
}

// A Found number stands in a text.
type Found struct {
	Value   quantity
	Percent bool
	Text    string // as it was written, without marks around it
}

// Answers reports whether f is the number that is wanted. A wanted percentage
// is met by a percentage only; a bare number also by the same number with a
// percent sign, since questions that ask for a percentage want 18 for 18 %.
// 0.6 is not 60 %.
func (f Found) Answers(want Found, t Tolerance) bool {
	return (f.Percent || !want.Percent) && f.Value.equal(want.Value, t)
}

// First and lastNumber find a number anywhere in running text, be it
// "=18", "$1,234.50.", "5kg", "3/4" or "1.2 × 10^6". Digits inside names (H2O,
// x_1), hexadecimal, dotted chains (1.2.3) and powers (2^10, m^2) are not
// numbers.
func First(s string) (Found, bool) {
	s = Plain(s)
	for i := 0; i < len(s); {
		span, ok := scanNumber(s, i)
		if ok {
			return span.read(s)
		}
		i = span.next
	}
	return Found{}, false
}

func Last(s string) (Found, bool) {
	s = Plain(s)
	var last numberSpan
	any := false
	for i := 0; i < len(s); {
		span, ok := scanNumber(s, i)
		if ok {
			last, any = span, true
		}
		i = span.next
	}
	if !any {
		return Found{}, false
	}
	return last.read(s)
}

// Whole reads a text that is nothing but a number, with marks and the
// point that ends a sentence.
func Whole(text string) (Found, bool) {
	f, after, ok := Leading(text)
	return f, ok && strings.Trim(after, ` %\.,`+marks) == ""
}

// Leading reads a text that begins with a number, a sign and marks aside,
// and returns what follows.
func Leading(text string) (f Found, after string, ok bool) {
	s := strings.TrimSpace(Plain(text))
	n, ok := scanNumber(s, 0)
	if !ok {
		return f, "", false
	}
	before := strings.Trim(s[:n.start], ` \`+marks)
	if before != "" && before != "-" && before != "+" && !slices.Contains(currencies, before) {
		return f, "", false
	}
	f, ok = n.read(s)
	return f, s[n.end:], ok
}

var currencies = []string{"USD", "EUR", "GBP"}

// A numberSpan is where a number stands: s[start:end] holds digits, commas,
// point, exponent and fraction; the sign may stand further left.
type numberSpan struct{ start, end, next int }

var groupMarks = strings.NewReplacer("_", "", "'", ",")

func (n numberSpan) read(s string) (Found, bool) {
	text := groupMarks.Replace(s[n.start:n.end])
	q, ok := readQuantity(text)
	if minusBefore(s, n.start, n.end) {
		text = "-" + text
		q = q.negated()
	}
	percent := percentAfter(s, n.end)
	if percent {
		text += "%"
	}
	return Found{q, percent, text}, ok
}

// readQuantity reads "3", "3/4" or "2 3/4".
func readQuantity(text string) (q quantity, ok bool) {
	over, under, isFraction := strings.Cut(text, "/")
	if !isFraction {
		q.Decimal, ok = Parse(text)
		return q, ok
	}
	whole, over, isMixed := strings.Cut(over, " ")
	if !isMixed {
		whole, over = "0", whole
	}
	w, _ := Parse(whole)
	n, _ := Parse(over)
	d, _ := Parse(under)
	if q, ok = n.over(d); !ok || !isMixed {
		return q, ok
	}
	part, _ := q.rational()
	all, ok := w.rational()
	if !ok {
		return q, false
	}
	return exactly(all.Add(all, part)), true
}

// scanNumber looks for a number at or after i. When there is none, ok is false
// and next is where to go on.
func scanNumber(s string, i int) (n numberSpan, ok bool) {
	for i < len(s) && !startsNumber(s, i) {
		i++
	}
	if i == len(s) {
		return numberSpan{next: i}, false
	}
	if insideName(s, i) || isHex(s, i) {
		return numberSpan{next: skipName(s, i)}, false
	}
	end, plain := numberEnd(s, i)
	if !plain || isExponent(s, i) {
		return numberSpan{next: end}, false
	}
	if after, ok := powerEnd(s, end); ok {
		return numberSpan{next: after}, false
	}
	end = fractionEnd(s, i, end)
	return numberSpan{start: i, end: end, next: end}, true
}

// isExponent reports a number right after ^.
func isExponent(s string, i int) bool {
	if i == 0 || strings.IndexByte("^{-+", s[i-1]) < 0 {
		return false
	}
	head := strings.TrimSuffix(strings.TrimRight(s[:i], "-+"), "{")
	return strings.HasSuffix(head, "^")
}

// powerEnd is the end of the exponent of a number that ends at i.
func powerEnd(s string, i int) (end int, ok bool) {
	rest, ok := strings.CutPrefix(s[i:], "^")
	if !ok {
		if rest, ok = strings.CutPrefix(s[i:], "**"); !ok || !DigitAt(rest, 0) {
			return i, false
		}
	}
	rest = strings.TrimLeft(rest, "{-+")
	return digitsEnd(s, len(s)-len(rest)), true
}

// fractionEnd goes on from the number s[i:end] to the end of the fraction that
// it is the first part of: 3/4, or 2 3/4. Chains like 1/2/2024 are none.
func fractionEnd(s string, i, end int) int {
	if after, ok := underEnd(s, end); ok && (i == 0 || s[i-1] != '/') {
		return after
	}
	if end-i > 9 || !AllDigits(s[i:end]) || end+1 >= len(s) || s[end] != ' ' || !DigitAt(s, end+1) {
		return end
	}
	over := digitsEnd(s, end+1)
	after, ok := underEnd(s, over)
	if !ok || !properFraction(s[end+1:over], s[over+1:after]) {
		return end
	}
	return after
}

// underEnd is the end of "/4" at i, when no further / follows.
func underEnd(s string, i int) (end int, ok bool) {
	if i >= len(s) || s[i] != '/' || !DigitAt(s, i+1) {
		return i, false
	}
	end, plain := numberEnd(s, i+1)
	chain := end < len(s) && (s[end] == '^' || s[end] == '/' && DigitAt(s, end+1))
	zero := strings.Trim(s[i+1:end], "0.,_") == ""
	if !plain || chain || zero || len(s[i+1:end]) > longFraction {
		return i, false
	}
	return end, true
}

func properFraction(over, under string) bool {
	return len(under) <= 3 && AllDigits(over) && AllDigits(under) &&
		(len(over) < len(under) || len(over) == len(under) && over < under)
}

func IsDigit(c byte) bool { return '0' <= c && c <= '9' }

func DigitAt(s string, i int) bool { return 0 <= i && i < len(s) && IsDigit(s[i]) }

// startsNumber: a digit, or a point before one.
func startsNumber(s string, i int) bool {
	return IsDigit(s[i]) || s[i] == '.' && DigitAt(s, i+1)
}

// insideName reports whether the digit at i continues a word like H2O or x_1.
// Scripts without letter case run words and numbers together, so there a
// letter before a digit means nothing.
func insideName(s string, i int) bool {
	head := strings.TrimRight(s[:i], "_")
	if head == "" {
		return false
	}
	r, _ := utf8.DecodeLastRuneInString(head)
	if r == '.' || IsDigit(byte(r)) && r < utf8.RuneSelf {
		return len(head) == i && r == '.' && len(head) > 1 && IsDigit(head[len(head)-2])
	}
	if !unicode.IsUpper(r) && !unicode.IsLower(r) {
		return false
	}
	for _, code := range currencies {
		if strings.HasSuffix(head, code) {
			return false
		}
	}
	return true
}

// isHex reports 0x followed by a hexadecimal digit.
func isHex(s string, i int) bool {
	return s[i] == '0' && i+2 < len(s) && (s[i+1] == 'x' || s[i+1] == 'X') &&
		strings.IndexByte("0123456789abcdefABCDEF", s[i+2]) >= 0
}

func skipName(s string, i int) int {
	i++
	for i < len(s) && (normalize.IsASCIIWord(rune(s[i])) || s[i] == '_') {
		i++
	}
	return i
}

// numberEnd finds the end of the number at i. plain is false for chains like
// 1.2.3, which are versions, dates or addresses.
func numberEnd(s string, i int) (end int, plain bool) {
	end = wholeEnd(s, i)
	if end+1 < len(s) && s[end] == '.' && IsDigit(s[end+1]) {
		end = digitsEnd(s, end+1)
		if end+1 < len(s) && s[end] == '.' && IsDigit(s[end+1]) {
			for end+1 < len(s) && s[end] == '.' && IsDigit(s[end+1]) {
				end = digitsEnd(s, end+1)
			}
			return end, false
		}
	}
	return exponentEnd(s, end), true
}

func digitsEnd(s string, i int) int {
	for DigitAt(s, i) || i < len(s) && s[i] == '_' && DigitAt(s, i+1) {
		i++
	}
	return i
}

// wholeEnd takes digits, and groups of three after commas or apostrophes; also
// the Indian way, where groups of two come before the last one.
func wholeEnd(s string, i int) int {
	first := digitsEnd(s, i)
	if first == i || first-i > 3 || first == len(s) || s[first] != ',' && s[first] != '\'' {
		return first
	}
	end, mark := first, s[first]
	for groupOf(3, s, end, mark) {
		end += 4
	}
	if end > first || first-i > 2 || mark != ',' {
		return end
	}
	for groupOf(2, s, end, mark) {
		end += 3
	}
	if end > first && groupOf(3, s, end, mark) {
		return end + 4
	}
	return first
}

// groupOf reports a mark and just n digits at i.
func groupOf(n int, s string, i int, mark byte) bool {
	return i < len(s) && s[i] == mark && DigitAt(s, i+1) && digitsEnd(s, i+1) == i+1+n
}

func exponentEnd(s string, i int) int {
	if i >= len(s) || s[i] != 'e' && s[i] != 'E' {
		return i
	}
	rest, _ := CutSign(s[i+1:])
	start := len(s) - len(rest)
	end := start
	for DigitAt(s, end) {
		end++
	}
	if end == start || end-start > 15 {
		return i
	}
	return end
}

// minusBefore reports whether the number s[i:end] is negative: a minus right
// before it, or before its currency sign, that is not an operator. Scripts
// without letter case are written without spaces, so a letter of theirs before
// the minus means nothing, unless it is the unit of both ends of a range
// (5月-6月).
func minusBefore(s string, i, end int) bool {
	if i == 0 || s[i-1] < utf8.RuneSelf && strings.IndexByte("-$\\*", s[i-1]) < 0 {
		return false
	}
	head := strings.TrimRight(s[:i], "$€£¥\\*")
	rest, minus := strings.CutSuffix(head, "-")
	if !minus {
		return false
	}
	r, size := utf8.DecodeLastRuneInString(rest)
	if unicode.IsLetter(r) && !unicode.IsUpper(r) && !unicode.IsLower(r) {
		unit := rest[len(rest)-size:]
		return !DigitAt(rest, len(rest)-size-1) || !strings.HasPrefix(s[end:], unit)
	}
	return rest == "" || !normalize.IsWord(r) && !strings.ContainsRune(")]}）】%.", r)
}

func percentAfter(s string, i int) bool {
	if i == len(s) || strings.IndexByte(" \\*%p", s[i]) < 0 {
		return false
	}
	rest := strings.TrimLeft(s[i:], " \\*")
	if strings.HasPrefix(rest, "%") {
		return true
	}
	for _, word := range []string{"percent", "per cent"} {
		if after, ok := strings.CutPrefix(rest, word); ok {
			r, _ := utf8.DecodeRuneInString(after)
			return !unicode.IsLetter(r)
		}
	}
	return false
}

// FloatToken reads a token as the finite float that other tools' float()
// would, without hexadecimal, infinities and underscores.
func FloatToken(s string) (float64, bool) {
	if strings.ContainsAny(s, ",\u2212") {
		return 0, false
	}
	d, ok := Parse(strings.TrimSuffix(s, "."))
	if !ok {
		return 0, false
	}
	f := d.Float()
	return f, !math.IsInf(f, 0)
}

func IsFloat(s string) bool {
	_, ok := FloatToken(s)
	return ok
}

func FormatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
