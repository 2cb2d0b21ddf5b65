package simulator

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// A solution is what a rule makes of a question.
type solution struct {
	answer string
	others []string // plausible wrong answers; empty lets them be made up
	reason string   // a sentence on the way to it; may be empty
}

// A rule answers one kind of question.
type rule struct {
	cue   []string // one of these words must be in the question
	solve func(q *query) (solution, bool)
}

// rules are tried in order; the special ones come first.
var rules = []rule{
	{[]string{"json"}, solveJSON},
	{[]string{"extract", "pull out", "find the email", "what is the email"}, solveExtract},
	{[]string{"classify", "sentiment", "category", "label", "spam", "positive or negative", "topic", "urgent or", "formal or", "which department", "route this"}, solveLabel},
	{[]string{"language"}, solveLanguage},
	{[]string{"letter", "vowel", "how many words", "characters", "consonant"}, solveLetters},
	{[]string{"revers", "backward", "uppercase", "upper case", "capital letters", "lowercase", "lower case", "alphabetical", "acronym", "initials",
		"last word", "first word", "longest", "shortest", "ascending", "descending", "smallest to largest", "largest to smallest", "without the vowels", "concatenat"}, solveWords},
	{[]string{"comes next", "sequence", "next number", "next term", "continues"}, solveSequence},
	{[]string{"day"}, solveWeekday},
	{[]string{"month"}, solveMonth},
	{[]string{"capital"}, solveCapital},
	{[]string{"opposite", "antonym"}, solveOpposite},
	{[]string{"plural"}, solveTable("plural of", plurals)},
	{[]string{"past tense"}, solveTable("past tense of", pasts)},
	{[]string{"symbol"}, solveSymbol},
	{[]string{"roman"}, solveRoman},
	{[]string{"mix"}, solveMix},
	{[]string{"true or false", "yes or no", "is ", "are ", "does ", "do ", "can "}, solveJudgement},
	{[]string{"convert", "how many", "express", "in total", "how much"}, solveUnits},
	{[]string{"largest", "greatest", "biggest", "smallest", "least", "average", "mean of", "median"}, solveExtremes},
	{nil, solveArithmetic},
	{[]string{"how many", "how much", "how long", "how far", "how old", "what is the total", "what was the total"}, solveStory},
}

// longestQuestion is the longest text that the rules look at, in bytes: what
// is longer is no simple question, and reading it again and again costs time.
const longestQuestion = 8 << 10

// solve answers a question, or reports that no rule understands it.
func solve(q *query) (solution, bool) {
	if len(q.text) > longestQuestion {
		return solution{}, false
	}
	for _, r := range rules {
		if len(r.cue) > 0 && !q.has(r.cue...) {
			continue
		}
		if s, ok := r.solve(q); ok {
			return q.choose(s), true
		}
	}
	return solution{}, false
}

// choose turns an answer into the letter of its option, where there are any.
func (q *query) choose(s solution) solution {
	if len(q.options) == 0 {
		return s
	}
	letters := solution{reason: s.reason}
	for _, o := range q.options {
		if sameAnswer(o.text, s.answer) {
			letters.answer = o.letter
		} else {
			letters.others = append(letters.others, o.letter)
		}
	}
	if letters.answer == "" {
		return s
	}
	return letters
}

func sameAnswer(a, b string) bool {
	clean := func(s string) string { return strings.Trim(strings.ToLower(strings.ReplaceAll(s, ",", "")), " .$") }
	return clean(a) == clean(b)
}

func solveTable(phrase string, table map[string]string) func(*query) (solution, bool) {
	return func(q *query) (solution, bool) {
		word, ok := q.after(phrase+" the verb", phrase+" the word", phrase+" the noun", phrase)
		if !ok {
			return solution{}, false
		}
		word = strings.ToLower(word)
		answer, ok := table[word]
		return solution{answer: answer, others: []string{word + "s", word + "ed", word + "es"}}, ok
	}
}

func solveOpposite(q *query) (solution, bool) {
	word, ok := q.after("opposite of the word", "opposite of", "antonym of the word", "antonym of", "antonym for")
	if len(q.quoted) > 0 {
		word, ok = q.quoted[0], true
	}
	answer, known := opposites[strings.ToLower(word)]
	return solution{answer: answer, others: []string{"not " + word, "un" + word, opposites["big"], opposites["late"]}}, ok && known
}

func solveCapital(q *query) (solution, bool) {
	for _, country := range countries {
		capital := capitals[country]
		if strings.Contains(q.lower, "capital of "+country) || strings.Contains(q.lower, "capital of the "+country) ||
			strings.Contains(q.lower, country+"'s capital") || strings.Contains(q.lower, country+"’s capital") {
			others := []string{capitals["austria"], capitals["peru"], capitals["kenya"]}
			if city := bigCities[country]; city != "" {
				others = []string{city}
			}
			return solution{answer: capital, others: others, reason: "The seat of government is in " + capital + "."}, true
		}
	}
	for _, country := range countries {
		capital := capitals[country]
		if strings.Contains(q.text, capital) && q.has("which country", "what country") {
			name := titled(country)
			return solution{answer: name, others: []string{"Austria", "Peru", "Kenya", "Norway"}}, true
		}
	}
	return solution{}, false
}

func titled(s string) string {
	parts := strings.Fields(s)
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, " ")
}

func solveSymbol(q *query) (solution, bool) {
	others := []string{"Xx", "Fr", "Ar", "Ti", "Sr"}
	for _, name := range elements {
		symbol := symbols[name]
		if strings.Contains(q.lower, " "+name) {
			return solution{answer: symbol, others: others}, true
		}
	}
	for _, name := range elements {
		symbol := symbols[name]
		if slices.Contains(q.quoted, symbol) && q.has("element") {
			return solution{answer: name, others: []string{"argon", "titanium", "radium"}}, true
		}
	}
	return solution{}, false
}

func solveMix(q *query) (solution, bool) {
	for _, m := range mixes {
		if q.has(m.a) && q.has(m.b) {
			return solution{answer: m.result, others: []string{"brown", "turquoise", "violet"}}, true
		}
	}
	return solution{}, false
}

func solveRoman(q *query) (solution, bool) {
	for _, w := range words(q.text) {
		if n := fromRoman(w); n > 0 && (len(w) > 1 || q.has("numeral "+strings.ToLower(w))) {
			return solution{answer: strconv.Itoa(n)}, true
		}
	}
	if f := figures(q.lower); len(f) > 0 && f[0].value >= 1 && f[0].value < 4000 {
		n := int(f[0].value)
		return solution{answer: toRoman(n), others: []string{toRoman(n + 1), toRoman(n + 10), toRoman(max(1, n-1))}}, true
	}
	return solution{}, false
}

var romans = []struct {
	value int
	text  string
}{{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"}}

func toRoman(n int) string {
	var b strings.Builder
	for _, r := range romans {
		for ; n >= r.value; n -= r.value {
			b.WriteString(r.text)
		}
	}
	return b.String()
}

func fromRoman(s string) int {
	n, rest := 0, s
	for _, r := range romans {
		for strings.HasPrefix(rest, r.text) {
			n += r.value
			rest = rest[len(r.text):]
		}
	}
	if rest != "" || toRoman(n) != s {
		return 0
	}
	return n
}

// solveWeekday counts days: "in 10 days", "3 days after", "the day before".
func solveWeekday(q *query) (solution, bool) {
	return cycle(q, weekdays, "day")
}

func solveMonth(q *query) (solution, bool) {
	if s, ok := cycle(q, months, "month"); ok {
		return s, true
	}
	return solution{}, false
}

// cycle steps through a list of names that starts again at its end.
func cycle(q *query, names []string, unit string) (solution, bool) {
	at := -1
	for i, n := range names {
		if strings.Contains(q.text, n) {
			at = i
		}
	}
	if at < 0 || !q.has("what "+unit, "which "+unit, unit+" comes", unit+" of the week", unit+" is it", unit+" was") {
		return solution{}, false
	}
	steps := 1
	for _, f := range figures(q.lower) {
		steps = int(f.value)
		if strings.HasPrefix(strings.TrimSpace(q.lower[f.end:]), "week") {
			steps *= 7
		}
	}
	switch {
	case q.has("day after tomorrow"), q.has("day before yesterday"):
		steps = 2
	}
	if q.has("before", "ago", "earlier", "yesterday", "precedes", "previous") {
		steps = -steps
	}
	n := len(names)
	to := ((at+steps)%n + n) % n
	return solution{
		answer: names[to],
		others: []string{names[(to+1)%n], names[(to+n-1)%n], names[at]},
		reason: "Counting on from " + names[at] + " leads there.",
	}, true
}

// solveUnits converts: "Convert 5 kilometers to meters", "How many minutes
// are in 3 hours?".
func solveUnits(q *query) (solution, bool) {
	type found struct {
		kind   string
		factor float64
		amount float64 // 0 when none stands before it
	}
	var have []found
	at := 0
	numbers := figures(q.lower)
	for _, w := range words(q.lower) {
		at += strings.Index(q.lower[at:], w)
		name := strings.ReplaceAll(strings.TrimSuffix(w, "s"), "metre", "meter")
		name = strings.ReplaceAll(name, "litre", "liter")
		if u, ok := units[name]; ok {
			f := found{kind: u.kind, factor: u.factor}
			for _, n := range numbers {
				if n.end+1 == at {
					f.amount = n.value
				}
			}
			if f.amount == 0 && (strings.HasSuffix(q.lower[:at], " a ") || strings.HasSuffix(q.lower[:at], "one ")) {
				f.amount = 1
			}
			have = append(have, f)
		}
		at += len(w)
	}
	if len(have) != 2 || have[0].kind != have[1].kind || have[0].factor == have[1].factor || (have[0].amount == 0) == (have[1].amount == 0) {
		return solution{}, false
	}
	from, to := have[0], have[1]
	if from.amount == 0 {
		from, to = to, from
	}
	v := math.Round(from.amount*from.factor/to.factor*1e6) / 1e6
	return solution{
		answer: number(v), others: []string{number(v * 10), number(v / 10), number(v + from.amount)},
		reason: "Each of the larger units holds a fixed number of the smaller ones.",
	}, presentable(v)
}

func solveExtremes(q *query) (solution, bool) {
	var values []float64
	for _, f := range figures(q.lower) {
		values = append(values, f.value)
	}
	if len(values) < 3 || q.has("how many", "how much") {
		return solution{}, false
	}
	slices.Sort(values)
	n := len(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	var v float64
	switch {
	case q.has("second largest", "second-largest", "second biggest"):
		v = values[n-2]
	case q.has("second smallest", "second-smallest"):
		v = values[1]
	case q.has("largest", "greatest", "biggest"):
		v = values[n-1]
	case q.has("smallest", "least"):
		v = values[0]
	case q.has("median"):
		v = (values[(n-1)/2] + values[n/2]) / 2
	default:
		v = math.Round(sum/float64(n)*100) / 100
	}
	return solution{answer: number(v), others: []string{number(values[n/2]), number(values[0]), number(values[n-1]), number(v + 1)}}, presentable(sum)
}

// solveSequence continues arithmetic, geometric, square and summing series.
func solveSequence(q *query) (solution, bool) {
	var v []float64
	for _, f := range figures(q.lower) {
		v = append(v, f.value)
	}
	if len(v) < 3 {
		return solution{}, false
	}
	n := len(v)
	next, ok := 0.0, false
	check := func(f func(i int) float64, from int) {
		if ok {
			return
		}
		for i := from; i < n; i++ {
			if math.Abs(f(i)-v[i]) > 1e-9 {
				return
			}
		}
		next, ok = f(n), true
	}
	check(func(i int) float64 { return v[i-1] + v[1] - v[0] }, 1)
	if v[0] != 0 {
		check(func(i int) float64 { return v[i-1] * v[1] / v[0] }, 1)
	}
	check(func(i int) float64 { return v[i-1] + v[i-2] }, 2)
	root := math.Round(math.Sqrt(v[0]))
	check(func(i int) float64 { return (root + float64(i)) * (root + float64(i)) }, 0)
	step := (v[2] - v[1]) - (v[1] - v[0])
	if n > 3 { // any three numbers have a constant second difference
		check(func(i int) float64 { return v[i-1] + (v[i-1] - v[i-2]) + step }, 2)
	}
	return solution{answer: number(next), reason: "The step from one term to the next shows the rule."}, ok && presentable(next)
}
