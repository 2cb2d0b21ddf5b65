package scorers

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/normalize"
	"nightshift/reports/scorers/internal/numbers"
)

// printer words the messages of the schema validator.
var printer = message.NewPrinter(language.English)

const maxFloat = math.MaxFloat64

func abs(f float64) float64 { return math.Abs(f) }

type levenshteinParams struct {
	IgnoreCase bool `json:"ignore_case" doc:"compare case-folded"`
}

type levenshtein struct {
	base
	p levenshteinParams
}

func newLevenshtein(b base, p levenshteinParams) (*levenshtein, error) {
	return &levenshtein{b, p}, nil
}

func (s *levenshtein) Score(a Answer, target *Target) Result {
	targets, err := targetTexts(target) // two empty texts are alike
	if err != nil {
		return unscored("%v", err)
	}
	text := a.Text
	if s.p.IgnoreCase {
		text = normalize.Fold(text)
	}
	return best(targets, func(t string) Result {
		if s.p.IgnoreCase {
			t = normalize.Fold(t)
		}
		return scored(levenshteinRatio(text, t))
	})
}

// levenshteinRatio is 1 - distance / longer length, in code points; 1 for two
// empty texts.
func levenshteinRatio(a, b string) float64 {
	if a == b {
		return 1
	}
	x, y := []rune(a), []rune(b)
	return 1 - float64(distance(x, y))/float64(max(len(x), len(y)))
}

// distance is the least number of insertions, deletions and substitutions (V.
// Levenshtein, 1966).
func distance(a, b []rune) int {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range b {
			cost := diagonal
			if r != s {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

type rougeParams struct {
	Variant string `json:"variant" doc:"1, 2, … for n-grams, or L for the longest common subsequence"`
	Measure string `json:"measure" doc:"f, precision or recall"`
}

type rouge struct {
	base
	n       int // 0 for L
	measure string
}

func newRouge(b base, p rougeParams) (*rouge, error) {
	s := &rouge{base: b, measure: p.Measure}
	if p.Variant != "L" && p.Variant != "l" {
		n, err := strconv.Atoi(p.Variant)
		if err != nil || n < 1 || n > 9 {
			return nil, fmt.Errorf("variant: want 1 to 9 or L, have %q", p.Variant)
		}
		s.n = n
	}
	return s, oneOf("measure", p.Measure, "f", "precision", "recall")
}

func (s *rouge) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	prediction := rougeTokens(a.Text)
	return best(targets, func(t string) Result {
		return scored(s.one(prediction, rougeTokens(t)))
	})
}

// one compares token lists (C.-Y. Lin, "ROUGE", 2004).
func (s *rouge) one(prediction, target []string) float64 {
	p, t, shared := len(prediction), len(target), 0
	if s.n == 0 {
		shared = commonSubsequence(prediction, target)
	} else {
		x, y := nGrams(prediction, s.n), nGrams(target, s.n)
		p, t, shared = len(x), len(y), multisetOverlap(x, y)
	}
	if shared == 0 {
		return 0
	}
	switch s.measure {
	case "precision":
		return float64(shared) / float64(p)
	case "recall":
		return float64(shared) / float64(t)
	}
	return fMeasure(shared, p, t)
}

// rougeTokens lower-cases and splits on anything outside a-z and 0-9.
func rougeTokens(s string) []string {
	return strings.FieldsFunc(normalize.Lower(s), func(r rune) bool {
		return r >= utf8.RuneSelf || !normalize.IsASCIIWord(r)
	})
}

// nGrams joins each run of n tokens. The separator occurs in no token.
func nGrams(tokens []string, n int) []string {
	if len(tokens) < n {
		return nil
	}
	grams := make([]string, len(tokens)-n+1)
	for i := range grams {
		grams[i] = strings.Join(tokens[i:i+n], " ")
	}
	return grams
}

func commonSubsequence(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			longest := max(row[j], row[j+1])
			if x == y {
				longest = diagonal + 1
			}
			diagonal, row[j+1] = row[j+1], longest
		}
	}
	return row[len(b)]
}

type chrfParams struct {
	CharOrder  int     `json:"char_order" doc:"longest n-gram of characters"`
	WordOrder  int     `json:"word_order" doc:"longest n-gram of words; 2 makes it chrF++"`
	Beta       float64 `json:"beta" doc:"how much more recall counts than precision"`
	Whitespace bool    `json:"whitespace" doc:"white space counts as characters"`
	Lowercase  bool    `json:"lowercase" doc:"compare in lower case"`
}

type chrf struct {
	base
	p chrfParams
}

func newChrf(b base, p chrfParams) (*chrf, error) {
	if p.CharOrder < 1 || p.CharOrder > 12 || p.WordOrder < 0 || p.WordOrder > 12 || !(p.Beta > 0) {
		return nil, fmt.Errorf("want char_order 1 to 12, word_order 0 to 12 and a beta above 0")
	}
	return &chrf{b, p}, nil
}

func (s *chrf) Score(a Answer, target *Target) Result {
	counts, ok := s.Counts(a, target)
	if !ok {
		_, bad := texts(target)
		return *bad
	}
	r := scored(s.Statistic(counts))
	list := writtenCounts(counts)
	r.Counts = &list
	return r
}

// Counts returns, for each n-gram order, how many n-grams the answer has, how
// many the best target has, and how many they share.
func (s *chrf) Counts(a Answer, target *Target) (counts []float64, ok bool) {
	targets, bad := texts(target)
	if bad != nil {
		return nil, false
	}
	top := -1.0
	for _, t := range targets {
		c := s.counts(a.Text, t)
		if f := s.Statistic(c); f > top {
			top, counts = f, c
		}
	}
	return counts, true
}

// Statistic is the F-beta of mean precision and mean recall over the orders
// that both sides have (M. Popović, "chrF", 2015; as sacreBLEU computes it),
// in 0..1.
func (s *chrf) Statistic(sums []float64) float64 {
	precision, recall, orders := 0.0, 0.0, 0.0
	for i := 0; i+2 < len(sums); i += 3 {
		have, want, shared := sums[i], sums[i+1], sums[i+2]
		if have > 0 && want > 0 {
			precision += shared / have
			recall += shared / want
			orders++
		}
	}
	if precision+recall == 0 {
		return 0
	}
	precision, recall = precision/orders, recall/orders
	square := s.p.Beta * s.p.Beta
	return (1 + square) * precision * recall / (square*precision + recall)
}

func (s *chrf) counts(prediction, target string) []float64 {
	if s.p.Lowercase {
		prediction, target = normalize.Lower(prediction), normalize.Lower(target)
	}
	counts := make([]float64, 0, 3*(s.p.CharOrder+s.p.WordOrder))
	x, y := s.characters(prediction), s.characters(target)
	for n := 1; n <= s.p.CharOrder; n++ {
		counts = append(counts, tally(runGrams(x, n), runGrams(y, n))...)
	}
	if s.p.WordOrder > 0 {
		v, w := chrfWords(prediction), chrfWords(target)
		for n := 1; n <= s.p.WordOrder; n++ {
			counts = append(counts, tally(nGrams(v, n), nGrams(w, n))...)
		}
	}
	return counts
}

func (s *chrf) characters(text string) []rune {
	if s.p.Whitespace {
		return []rune(text)
	}
	return []rune(strings.Join(strings.Fields(text), ""))
}

func runGrams(runes []rune, n int) []string {
	if len(runes) < n {
		return nil
	}
	grams := make([]string, len(runes)-n+1)
	for i := range grams {
		grams[i] = string(runes[i : i+n])
	}
	return grams
}

// tally counts n-grams. An order that the target lacks does not count the
// answer's n-grams either, or a corpus would be marked down for short targets.
func tally(have, want []string) []float64 {
	if len(want) == 0 {
		return []float64{0, 0, 0}
	}
	return []float64{float64(len(have)), float64(len(want)), float64(multisetOverlap(have, want))}
}

// chrfWords splits one punctuation mark off the end, or else the start, of
// each word.
func chrfWords(text string) []string {
	var words []string
	for w := range strings.FieldsSeq(text) {
		last, size := utf8.DecodeLastRuneInString(w)
		first, head := utf8.DecodeRuneInString(w)
		switch {
		case len(w) == size || unicode.IsSpace(last):
			words = append(words, w)
		case normalize.IsPunct(last):
			words = append(words, w[:len(w)-size], w[len(w)-size:])
		case normalize.IsPunct(first):
			words = append(words, w[:head], w[head:])
		default:
			words = append(words, w)
		}
	}
	return words
}

type bleuParams struct {
	Lowercase bool   `json:"lowercase" doc:"compare in lower case"`
	Tokenize  string `json:"tokenize" doc:"13a (as mteval), char or none"`
	Smooth    string `json:"smooth" doc:"exp (as mteval) or none"`
}

// bleu is BLEU over a corpus. There is no BLEU of one answer.
type bleu struct {
	base
	p bleuParams
}

const bleuOrder = 4

func newBLEU(b base, p bleuParams) (*bleu, error) {
	if err := oneOf("tokenize", p.Tokenize, "13a", "char", "none"); err != nil {
		return nil, err
	}
	return &bleu{b, p}, oneOf("smooth", p.Smooth, "exp", "none")
}

func (s *bleu) Score(a Answer, target *Target) Result {
	counts, ok := s.Counts(a, target)
	if !ok {
		_, bad := texts(target)
		return *bad
	}
	r := Result{Status: "scored"}
	return r.extracted(writtenCounts(counts)).because("counts for the corpus BLEU")
}

// writtenCounts is a JSON list.
func writtenCounts(counts []float64) string {
	shown := make([]string, len(counts))
	for i, c := range counts {
		shown[i] = numbers.FormatFloat(c)
	}
	return "[" + strings.Join(shown, ",") + "]"
}

// Counts returns the length of the answer, that of the nearest target, and for
// n = 1 to 4 the n-grams shared with the targets, then all n-grams.
func (s *bleu) Counts(a Answer, target *Target) (counts []float64, ok bool) {
	targets, bad := texts(target)
	if bad != nil {
		return nil, false
	}
	have := s.tokens(a.Text)
	wants := make([][]string, len(targets))
	for i, t := range targets {
		wants[i] = s.tokens(t)
	}
	counts = make([]float64, 2+2*bleuOrder)
	counts[0], counts[1] = float64(len(have)), float64(nearestLength(len(have), wants))
	for n := 1; n <= bleuOrder; n++ {
		grams := nGrams(have, n)
		counts[1+n] = float64(clipped(grams, wants, n))
		counts[1+bleuOrder+n] = float64(len(grams))
	}
	return counts, true
}

func nearestLength(have int, wants [][]string) int {
	nearest := len(wants[0])
	for _, w := range wants[1:] {
		a, b := abs(float64(len(w)-have)), abs(float64(nearest-have))
		if a < b || a == b && len(w) < nearest {
			nearest = len(w)
		}
	}
	return nearest
}

// clipped counts n-grams that occur in some target, each at most as often as
// the target that has it most.
func clipped(grams []string, wants [][]string, n int) int {
	most := map[string]int{}
	for _, want := range wants {
		seen := map[string]int{}
		for _, g := range nGrams(want, n) {
			seen[g]++
			most[g] = max(most[g], seen[g])
		}
	}
	shared := 0
	for _, g := range grams {
		if most[g] > 0 {
			most[g]--
			shared++
		}
	}
	return shared
}

// Statistic is BLEU (K. Papineni et al., 2002) in 0..1, with the smoothing of
// mteval-v13a for orders without a match; as sacreBLEU computes it.
func (s *bleu) Statistic(sums []float64) float64 {
	if len(sums) != 2+2*bleuOrder {
		return math.NaN()
	}
	have, want := sums[0], sums[1]
	shared, total := sums[2:2+bleuOrder], sums[2+bleuOrder:]
	if slices.Max(shared) == 0 {
		return 0
	}
	logs, halving := 0.0, 1.0
	for n := range bleuOrder {
		precision := 0.0
		switch {
		case total[n] == 0:
			return 0
		case shared[n] > 0:
			precision = shared[n] / total[n]
		case s.p.Smooth == "exp":
			halving *= 2
			precision = 1 / (halving * total[n])
		default:
			return 0
		}
		logs += math.Log(precision)
	}
	brevity := 0.0
	if have < want {
		brevity = 1 - want/have
	}
	return math.Exp(brevity + logs/bleuOrder)
}

func (s *bleu) tokens(text string) []string {
	if s.p.Lowercase {
		text = normalize.Lower(text)
	}
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	switch s.p.Tokenize {
	case "char":
		return strings.Split(strings.Join(strings.Fields(text), ""), "")
	case "none":
		return strings.Fields(text)
	}
	return tokens13a(text)
}

var (
	pointAfterOther  = pattern.Late(`([^0-9])([.,])`)
	pointBeforeOther = pattern.Late(`([.,])([^0-9])`)
	dashAfterDigit   = pattern.Late(`([0-9])(-)`)
)

var entities = strings.NewReplacer("&quot;", `"`, "&amp;", "&", "&lt;", "<", "&gt;", ">")

// tokens13a splits as mteval-v13a.pl does: marks and symbols apart from words,
// points and commas apart unless inside a number, a dash apart after a digit.
func tokens13a(text string) []string {
	text = strings.ReplaceAll(text, "<skipped>", "")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "-\n", ""), "\n", " ")
	text = " " + entities.Replace(text) + " "
	var b strings.Builder
	for _, r := range text {
		if splits13a(r) {
			b.WriteString(" " + string(r) + " ")
		} else {
			b.WriteRune(r)
		}
	}
	text = pointAfterOther().ReplaceAllString(b.String(), "$1 $2 ")
	text = pointBeforeOther().ReplaceAllString(text, " $1 $2")
	return strings.Fields(dashAfterDigit().ReplaceAllString(text, "$1 $2 "))
}

func splits13a(r rune) bool {
	return r >= '{' && r <= '~' || r >= '[' && r <= '`' || r >= ' ' && r <= '&' ||
		r >= '(' && r <= '+' || r >= ':' && r <= '@' || r == '/'
}

func init() {
	register("levenshtein", Pure, "2", "1 - edit distance / length of the longer text", levenshteinParams{},
		newLevenshtein)
	register("rouge", Pure, "2", "n-grams or the longest common subsequence shared with the target, no stemming",
		rougeParams{Variant: "L", Measure: "f"}, newRouge)
	register("chrf", Pure, "2", "character n-grams shared with the target, as sacreBLEU, in 0..1",
		chrfParams{CharOrder: 6, Beta: 2}, newChrf)
	register("bleu", OfCorpus, "2", "BLEU of the whole set of answers, as sacreBLEU, in 0..1",
		bleuParams{Tokenize: "13a", Smooth: "exp"}, newBLEU)
}
