package simulator

import (
	"math"
	"strconv"
	"strings"
)

// spoken are words that stand for operators.
var spoken = strings.NewReplacer(
	" multiplied by ", " * ", " times ", " * ", " plus ", " + ", " added to ", " + ", " minus ", " - ", " less ", " - ",
	" divided by ", " / ", " over ", " / ", "×", "*", "÷", "/", "−", "-", "–", "-", " x ", " * ", "^", "**",
)

// solveArithmetic evaluates what is written as an expression or in the words
// of arithmetic.
func solveArithmetic(q *query) (solution, bool) {
	if v, ok := namedOperation(q); ok {
		return numeric(v), presentable(v)
	}
	if q.has("how many", "how much", "each", "has ", "have ") && !q.has("how much is", "what is", "what's") {
		return solution{}, false
	}
	text := digitsFor(spoken.Replace(q.lower))
	best, value, found := 0, 0.0, false
	for i := 0; i < len(text); i++ {
		if !(isDigit(text[i]) || text[i] == '(' || text[i] == '-') || i > 0 && (isWord(text[i-1]) || text[i-1] == '.') {
			continue
		}
		p := parser{s: text[i:]}
		v, ok := p.sum()
		if ok && p.operators > 0 && p.good > best {
			best, value, found = p.good, v, true
		}
	}
	if !found || !presentable(value) {
		return solution{}, false
	}
	return numeric(value), true
}

// presentable reports whether a number can be an answer.
func presentable(v float64) bool { return math.Abs(v) < 1e15 } // NaN is not

func numeric(v float64) solution {
	return solution{answer: number(math.Round(v*100) / 100), reason: "Working it out in order gives the result."}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// digitsFor writes number words as digits.
func digitsFor(s string) string {
	figs := figures(s)
	for i := len(figs) - 1; i >= 0; i-- {
		f := figs[i]
		if s[f.start] > '9' || strings.Contains(s[f.start:f.end], ",") {
			s = s[:f.start] + number(f.value) + s[f.end:]
		}
	}
	return s
}

// A parser evaluates sums, products and powers. It stops where the
// expression does; good is how far it got with a whole expression.
type parser struct {
	s         string
	at        int
	good      int
	operators int
	depth     int
}

func (p *parser) skip() {
	for p.at < len(p.s) && p.s[p.at] == ' ' {
		p.at++
	}
}

func (p *parser) operator(ops ...string) string {
	p.skip()
	for _, op := range ops {
		if strings.HasPrefix(p.s[p.at:], op) && !(op == "*" && strings.HasPrefix(p.s[p.at:], "**")) {
			return op
		}
	}
	return ""
}

// chain evaluates operands joined by operators of one rank.
func (p *parser) chain(operand func() (float64, bool), apply func(op string, a, b float64) float64, ops ...string) (float64, bool) {
	v, ok := operand()
	for ok {
		before := p.at
		op := p.operator(ops...)
		if op == "" {
			return v, true
		}
		p.at += len(op)
		w, ok := operand()
		if !ok {
			p.at = before
			return v, true
		}
		p.operators++
		p.good = p.at
		v = apply(op, v, w)
	}
	return 0, false
}

func (p *parser) sum() (float64, bool) {
	return p.chain(p.product, func(op string, a, b float64) float64 {
		if op == "+" {
			return a + b
		}
		return a - b
	}, "+", "-")
}

func (p *parser) product() (float64, bool) {
	return p.chain(p.power, func(op string, a, b float64) float64 {
		if op == "*" {
			return a * b
		}
		return a / b
	}, "*", "/")
}

func (p *parser) power() (float64, bool) {
	return p.chain(p.atom, func(_ string, a, b float64) float64 { return math.Pow(a, b) }, "**")
}

func (p *parser) atom() (float64, bool) {
	p.skip()
	if p.at >= len(p.s) || p.depth > 20 {
		return 0, false
	}
	switch c := p.s[p.at]; {
	case c == '(':
		p.at++
		p.depth++
		v, ok := p.sum()
		p.depth--
		p.skip()
		if !ok || p.at >= len(p.s) || p.s[p.at] != ')' {
			return 0, false
		}
		p.at++
		p.good = p.at
		return v, true
	case c == '-':
		p.at++
		p.depth++
		v, ok := p.atom()
		p.depth--
		return -v, ok
	case isDigit(c):
		end := p.at
		for end < len(p.s) && (isDigit(p.s[end]) || numberDot(p.s, end)) {
			end++
		}
		v, err := strconv.ParseFloat(strings.ReplaceAll(p.s[p.at:end], ",", ""), 64)
		p.at = end
		return v, err == nil
	}
	return 0, false
}

// namedOperation knows operations by their names.
func namedOperation(q *query) (float64, bool) {
	var v []float64
	for _, f := range figures(q.lower) {
		v = append(v, f.value)
	}
	n := len(v)
	switch {
	case n >= 2 && q.has("sum of", "add together", "add up"):
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		return sum, true
	case n == 2 && q.has("difference between", "difference of"):
		return math.Abs(v[0] - v[1]), true
	case n >= 2 && q.has("product of"):
		product := 1.0
		for _, x := range v {
			product *= x
		}
		return product, true
	case n == 2 && q.has("remainder"):
		if v[1] == 0 {
			return 0, false
		}
		return math.Mod(v[0], v[1]), true
	case n == 2 && (strings.Contains(q.lower, "% of") || q.has("percent of")):
		return v[0] * v[1] / 100, true
	case n == 2 && q.has("to the power of"):
		return math.Pow(v[0], v[1]), true
	case n == 2 && q.has("subtract"):
		return v[1] - v[0], true
	case n == 2 && q.has("greatest common divisor", "greatest common factor", "gcd"):
		return gcd(v[0], v[1]), true
	case n == 2 && q.has("least common multiple", "lowest common multiple"):
		return v[0] * v[1] / gcd(v[0], v[1]), true
	case n == 1 && q.has("square root of"):
		return math.Sqrt(v[0]), true
	case n == 1 && q.has("square of", "squared"):
		return v[0] * v[0], true
	case n == 1 && q.has("cube of", "cubed"):
		return v[0] * v[0] * v[0], true
	case n == 1 && q.has("half of"):
		return v[0] / 2, true
	case n == 1 && q.has("double"):
		return v[0] * 2, true
	case n == 1 && q.has("triple"):
		return v[0] * 3, true
	case n == 2 && q.has("area") && q.has("rectangle", "wide", "long"):
		return v[0] * v[1], true
	case n == 2 && q.has("perimeter") && q.has("rectangle"):
		return 2 * (v[0] + v[1]), true
	case n == 1 && q.has("perimeter") && q.has("square"):
		return 4 * v[0], true
	}
	return 0, false
}

func gcd(a, b float64) float64 {
	for b >= 1 {
		a, b = b, math.Mod(a, b)
	}
	return a
}

// solveStory solves short word problems clause by clause: the first number is
// what there is, the verbs of the others say what happens to it.
func solveStory(q *query) (solution, bool) {
	clauses := storyClauses(q.lower)
	total, started, rate := 0.0, false, false
	for _, clause := range clauses {
		v, op, ok := clauseValue(clause, started)
		if !ok {
			continue
		}
		if !started {
			total, started, rate = v, true, op == '*'
			continue
		}
		if rate { // "each box holds 12": what comes next says how many boxes
			op, rate = '*', false
		}
		switch op {
		case '+':
			total += v
		case '-':
			total -= v
		case '*':
			total *= v
		case '/':
			total /= v
		}
	}
	if !started || !presentable(total) {
		return solution{}, false
	}
	return numeric(total), true
}

// clauseEnds mark where one thing of a story ends and the next begins.
var clauseEnds = strings.NewReplacer(". ", "|", "? ", "|", "; ", "|", ", and ", "|", ", then ", "|", " and then ", "|", " then ", "|",
	" but ", "|", ", ", "|", " and ", "|", " after ", "|", "\n", "|")

func storyClauses(lower string) []string {
	return strings.Split(clauseEnds.Replace(lower), "|")
}

var (
	multiplies = []string{"each", "every", "per ", "apiece", "a piece", "times as many", "times as much", "times as long", "times as old", "times as far"}
	divides    = []string{"equally", "shared", "shares", "split", "divide", "evenly", "rows of", "groups of", "packs of", "bags of", "teams of"}
	subtracts  = []string{"give", "gave", "eat", "ate", "lose", "lost", "sell", "sold", "spend", "spent", "use", "break", "broke", "leave", "left the", "drop",
		"lend", "lent", "donate", "remove", "take away", "took away", "get off", "got off", "fly away", "flew away", "drank", "drink", "pays", "paid", "younger", "fewer", "shorter", "melt", "burst", "borrow", "cheaper", "go home", "went home"}
)

// clauseValue reads the number of a clause and what it does to the total.
func clauseValue(clause string, started bool) (v float64, op byte, ok bool) {
	figs := figures(clause)
	switch {
	case strings.Contains(clause, "twice as"), strings.Contains(clause, "doubles"):
		return 2, '*', true
	case strings.Contains(clause, "half of") && started:
		return 2, '/', true
	case len(figs) == 0:
		return 0, 0, false
	}
	v = figs[0].value
	contains := func(list []string) bool {
		for _, w := range list {
			if strings.Contains(clause, w) {
				return true
			}
		}
		return false
	}
	if len(figs) >= 2 {
		switch {
		case contains(divides):
			v /= figs[1].value
		case contains(multiplies):
			v *= figs[1].value
		default:
			for _, f := range figs[1:] {
				v += f.value
			}
		}
		if contains(subtracts) {
			return v, '-', true
		}
		return v, '+', true
	}
	switch {
	case contains(divides):
		return v, '/', true
	case contains(subtracts):
		return v, '-', true
	case contains(multiplies):
		return v, '*', true
	}
	return v, '+', true
}

// solveJudgement answers with yes or no, true or false.
func solveJudgement(q *query) (solution, bool) {
	yes, ok := judged(q)
	if !ok {
		return solution{}, false
	}
	words := [2]string{"no", "yes"}
	if q.has("true or false", "true/false", "false or true") {
		words = [2]string{"false", "true"}
	}
	if yes {
		return solution{answer: words[1], others: words[:1]}, true
	}
	return solution{answer: words[0], others: words[1:]}, true
}

// verdictWords say what is asked for, and are no part of the statement.
var verdictWords = strings.NewReplacer("true or false:", "", "true or false?", "", "true or false", "", "yes or no:", "", "yes or no", "")

// judged decides a statement or a question that asks for yes or no.
func judged(q *query) (yes, ok bool) {
	text := strings.TrimSpace(verdictWords.Replace(q.lower))
	if !q.has("true or false", "yes or no") && !startsWithAny(text, []string{"is ", "are ", "does ", "do ", "can ", "has ", "could "}) {
		return false, false
	}
	figs := figures(text)
	if len(figs) > 0 && strings.Contains(text, "prime") {
		return isPrime(int(figs[0].value)), true
	}
	if len(figs) == 1 {
		switch {
		case strings.Contains(text, "even number"), strings.Contains(text, "even?"), strings.HasSuffix(strings.TrimRight(text, ".?! "), " even"):
			return int(figs[0].value)%2 == 0, true
		case strings.Contains(text, "odd"):
			return int(figs[0].value)%2 != 0, true
		}
	}
	if len(figs) == 2 {
		return compared(text, figs[0].value, figs[1].value)
	}
	if len(figs) == 3 {
		for _, sign := range []string{"+", "-", "*", "/", "times", "plus", "minus", "divided by"} {
			if strings.Contains(text[figs[0].end:figs[1].start], sign) {
				p := parser{s: digitsFor(spoken.Replace(text[figs[0].start:figs[1].end]))}
				v, ok := p.sum()
				yes, compares := compared(text[figs[1].end:], v, figs[2].value)
				return yes || !compares && v == figs[2].value, ok
			}
		}
	}
	for _, fact := range yesNo {
		all := true
		for _, w := range fact.words {
			all = all && strings.Contains(text, w)
		}
		if all {
			return fact.yes, true
		}
	}
	return false, false
}

func compared(text string, a, b float64) (yes, ok bool) {
	holds := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case holds("greater than", "larger than", "more than", "bigger than", "exceeds", ">"):
		return a > b, true
	case holds("less than", "smaller than", "fewer than", "below", "<"):
		return a < b, true
	case holds("divisible by", "multiple of"):
		return b != 0 && math.Mod(a, b) == 0, true
	case holds("factor of", "divides"):
		return a != 0 && math.Mod(b, a) == 0, true
	case holds("square root of"):
		return a*a == b, true
	case holds("square of"):
		return a == b*b, true
	case holds("equal"):
		return a == b, true
	}
	return false, false
}

func isPrime(n int) bool {
	if n > 1e9 {
		return false // a model would not know either
	}
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}
