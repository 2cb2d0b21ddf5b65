// Package algebra says whether two formulae are equal: numbers, fractions and
// expressions, and the intervals, sets, tuples, matrices and equations that are made
// of them.
//
// Rational expressions are compared by evaluating both at points modulo a prime, both
// of which are drawn from a hash of the formulae (J. Schwartz 1980, R. Zippel 1979):
// whoever writes one of them cannot know the prime. Others, with roots, powers or
// functions, are compared in floating point at positive points.
package algebra

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"strings"

	"nightshift/internal/pattern"
)

// Equal reports whether two formulae are equal; ok is false when one of them cannot
// be read. Numbers may differ by relTol of the larger one.
func Equal(answer, target string, relTol float64) (equal, ok bool) {
	a, b := split(answer), split(target)
	if a.unit != "" && b.unit != "" && a.unit != b.unit || b.percent && !a.percent {
		return false, true
	}
	x, errX := parse(a.formula)
	y, errY := parse(b.formula)
	if errX != nil || errY != nil {
		return false, false
	}
	c := newComparison(a.formula, b.formula, relTol)
	return c.same(x, y), true
}

// A quantity is a formula with what may follow it.
type quantity struct {
	formula, unit string
	percent       bool
}

var (
	textUnit = pattern.Late(`\s*\\(?:text|mathrm|mbox|textrm` +
		`|operatorname)\s*\{([^{}]*[A-Za-z]{2}[^{}]*)\}(?:\^\{?([23])\}?)?\s*$`)
	wordUnit = pattern.Late(`(?i)([0-9}\)])\s*\b((?:square|cubic|sq\.?|cu\.?)? ?(?:mm|cm|dm|km|m|inch(?:es)?` +
		`|in|f(?:oo|ee)?t|yards?|miles?|` +
		`met(?:er|re)s?|centimet(?:er|re)s?|kilomet(?:er|re)s?|units?|dollars?|cents?|euros?|degrees?|percent|hours?` +
		`|minutes?|seconds?|` +
		`days?|weeks?|years?|kg|grams?|pounds?|lit(?:er|re)s?|mph|km/h|people|students?|ways|points?` +
		`|items?))(?:\^\{?([23])\}?|([²³]))?$`)
	percentage = pattern.Late(`\s*\\?%\s*$`)
)

// split takes a unit and a percent sign off a formula.
func split(text string) quantity {
	q := quantity{formula: strings.TrimSpace(text)}
	q.formula = strings.TrimSpace(strings.TrimRight(strings.Trim(q.formula, "$"), ".:;"))
	if m := textUnit().FindStringSubmatchIndex(q.formula); m != nil && m[0] > 0 {
		found := textUnit().FindStringSubmatch(q.formula)
		q.formula, q.unit = q.formula[:m[0]], found[1]+found[2]
	} else if m := wordUnit().FindStringSubmatchIndex(q.formula); m != nil {
		found := wordUnit().FindStringSubmatch(q.formula)
		q.formula, q.unit = q.formula[:m[3]], found[2]+found[3]+strings.NewReplacer("²", "2", "³", "3").Replace(found[4])
	}
	q.unit = plainUnit(q.unit)
	if q.unit == "percent" {
		q.unit, q.percent = "", true
	}
	if m := percentage().FindStringIndex(q.formula); m != nil {
		q.formula, q.percent = q.formula[:m[0]], true
	}
	return q
}

var sameUnit = map[string]string{"inches": "in", "inch": "in", "feet": "ft", "foot": "ft", "meter": "m", "metre": "m",
	"centimeter": "cm", "centimetre": "cm", "kilometer": "km", "kilometre": "km", "gram": "g", "sq": "square",
	"cu": "cubic"}

// plainUnit writes a unit in one of its ways: without plural and points.
func plainUnit(unit string) string {
	words := strings.Fields(strings.ToLower(strings.ReplaceAll(unit, ".", "")))
	for i, w := range words {
		if short := strings.TrimSuffix(w, "s"); len(w) > 2 && w != "inches" {
			w = short
		}
		if other := sameUnit[w]; other != "" {
			w = other
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

// A comparison evaluates at points that it draws.
type comparison struct {
	seed   [32]byte
	prime  uint64
	relTol float64
	steps  int // what is left of evaluation
}

// steps bounds the work of one comparison, points bounds where it evaluates.
const (
	mostSteps = 50_000
	points    = 4
)

func newComparison(a, b string, relTol float64) *comparison {
	h := sha256.New()
	h.Write([]byte(a + "\x00" + b))
	c := &comparison{relTol: relTol, steps: mostSteps}
	h.Sum(c.seed[:0])
	n := binary.LittleEndian.Uint64(c.seed[:8])>>3 | 1<<60 | 1
	for !new(big.Int).SetUint64(n).ProbablyPrime(8) {
		n += 2
	}
	c.prime = n
	return c
}

// draw is the value of a variable at a point.
func (c *comparison) draw(name string, point int) uint64 {
	sum := sha256.Sum256(append(c.seed[:len(c.seed):len(c.seed)], name+string(rune('0'+point))...))
	return binary.LittleEndian.Uint64(sum[:8])
}

// same compares what is written: kind by kind, and expressions by value.
func (c *comparison) same(a, b *node) bool {
	a, b = withoutName(a, b), withoutName(b, a)
	if c.steps -= 1; c.steps < 0 {
		return false
	}
	if x, y := asInterval(a), asInterval(b); x != nil && y != nil {
		a, b = x, y
	}
	switch {
	case a.op == "rel" && b.op == "rel":
		return c.sameRelation(a, b)
	case a.op == "union" && b.op == "union", a.op == "set" && b.op == "set":
		return c.sameMembers(a.args, b.args)
	case a.op == "set" && b.op == "list" && b.name == "", a.op == "list" && a.name == "" && b.op == "set",
		a.op == "list" && b.op == "list" && a.name == "" && b.name == "":
		return c.sameMembers(a.args, b.args)
	case a.op == "set" && len(a.args) == 1 && isValue(b):
		return c.same(a.args[0], b)
	case b.op == "set" && len(b.args) == 1 && isValue(a):
		return c.same(a, b.args[0])
	case a.op == "list" && b.op == "list":
		return sameBrackets(a.name, b.name) && c.each(a.args, b.args)
	case !isValue(a) || !isValue(b):
		return false
	}
	return c.sameValue(a, b)
}

func isValue(n *node) bool {
	switch n.op {
	case "rel", "list", "set", "union":
		return false
	}
	return true
}

// sameBrackets: a tuple may stand without its brackets.
func sameBrackets(a, b string) bool {
	return a == b || a == "" && b == "()" || a == "()" && b == ""
}

// withoutName is the right side of x = 5 where the other is no equation, and the
// set of x ∈ S.
func withoutName(n, other *node) *node {
	for n.op == "rel" && (other.op != "rel" && n.name == "=" || n.name == "∈") && n.args[0].op == "var" {
		n = n.args[1]
	}
	return n
}

// asInterval writes x > 5 and 1 < x ≤ 3 as intervals; nil for what is none.
func asInterval(n *node) *node {
	if n.op == "list" && len(n.args) == 2 && (n.name == "()" || n.name == "(]" || n.name == "[)" || n.name == "[]") {
		return n
	}
	if n.op != "rel" || strings.ContainsAny(n.name, "=∈") {
		return nil
	}
	signs := []rune(n.name)
	infinite := &node{op: "const", name: "∞"}
	up := func(r rune) bool { return r == '<' || r == '≤' }
	mark := func(r rune, strict, closed string) string {
		if r == '<' || r == '>' {
			return strict
		}
		return closed
	}
	switch {
	case len(signs) == 1 && n.args[0].op == "var" && up(signs[0]):
		return &node{op: "list", name: "(" + mark(signs[0], ")", "]"),
			args: []*node{{op: "neg", args: []*node{infinite}}, n.args[1]}}
	case len(signs) == 1 && n.args[0].op == "var":
		return &node{op: "list", name: mark(signs[0], "(", "[") + ")", args: []*node{n.args[1], infinite}}
	case len(signs) == 1 && n.args[1].op == "var":
		turned := map[rune]string{'<': ">", '>': "<", '≤': "≥", '≥': "≤"}[signs[0]]
		return asInterval(&node{op: "rel", name: turned, args: []*node{n.args[1], n.args[0]}})
	case len(signs) == 2 && n.args[1].op == "var" && up(signs[0]) && up(signs[1]):
		return &node{op: "list", name: mark(signs[0], "(", "[") + mark(signs[1], ")", "]"),
			args: []*node{n.args[0], n.args[2]}}
	case len(signs) == 2 && n.args[1].op == "var" && !up(signs[0]) && !up(signs[1]):
		return &node{op: "list", name: mark(signs[1], "(", "[") + mark(signs[0], ")", "]"),
			args: []*node{n.args[2], n.args[0]}}
	}
	return nil
}

// mostMembers bounds sets: each member is compared with each.
const mostMembers = 50

func (c *comparison) sameMembers(a, b []*node) bool {
	if len(a) > mostMembers || len(b) > mostMembers {
		return false
	}
	covers := func(x, y []*node) bool {
		for _, m := range x {
			found := false
			for _, n := range y {
				if found = c.same(m, n); found {
					break
				}
			}
			if !found {
				return false
			}
		}
		return true
	}
	return covers(a, b) && covers(b, a)
}

func (c *comparison) each(a, b []*node) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !c.same(a[i], b[i]) {
			return false
		}
	}
	return true
}

// sameRelation compares equations up to a factor: y = 2x and 2x − y = 0. Other
// relations must have equal sides.
func (c *comparison) sameRelation(a, b *node) bool {
	turned := strings.NewReplacer("<", ">", ">", "<", "≤", "≥", "≥", "≤").Replace(b.name)
	if len(a.args) != len(b.args) {
		return false
	}
	if a.name == b.name && c.each(a.args, b.args) {
		return true
	}
	if len(a.args) != 2 {
		return false
	}
	if a.name == turned && c.same(a.args[0], b.args[1]) && c.same(a.args[1], b.args[0]) {
		return true
	}
	if a.name != "=" || b.name != "=" || !isValue(a.args[0]) || !isValue(a.args[1]) || !isValue(b.args[0]) ||
		!isValue(b.args[1]) {
		return false
	}
	f := &node{op: "+", args: []*node{a.args[0], {op: "neg", args: []*node{a.args[1]}}}}
	g := &node{op: "+", args: []*node{b.args[0], {op: "neg", args: []*node{b.args[1]}}}}
	return c.proportional(f, g)
}

// proportional reports whether f/g is one number other than 0.
func (c *comparison) proportional(f, g *node) bool {
	var first [2]uint64
	for point := range points {
		x, okX := c.mod(f, point)
		y, okY := c.mod(g, point)
		if !okX || !okY || x == 0 || y == 0 {
			return false
		}
		if point == 0 {
			first = [2]uint64{x, y}
		} else if c.times(x, first[1]) != c.times(y, first[0]) {
			return false
		}
	}
	return true
}

// sameValue compares two expressions.
func (c *comparison) sameValue(a, b *node) bool {
	if ia, ib := infinity(a), infinity(b); ia != 0 || ib != 0 {
		return ia == ib
	}
	agreed := 0
	for point := range points {
		x, okX := c.mod(a, point)
		y, okY := c.mod(b, point)
		if !okX || !okY {
			break
		}
		if x != y {
			return c.relTol > 0 && c.near(a, b, c.relTol)
		}
		agreed++
	}
	return agreed == points || c.near(a, b, math.Max(1e-9, c.relTol))
}

// infinity is the sign of ∞ or −∞; 0 for anything else.
func infinity(n *node) int {
	switch {
	case n.op == "const" && n.name == "∞":
		return 1
	case n.op == "neg":
		return -infinity(n.args[0])
	}
	return 0
}

func (c *comparison) times(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	_, rest := bits.Div64(hi, lo, c.prime)
	return rest
}

func (c *comparison) toPower(a, n uint64) uint64 {
	r := uint64(1)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			r = c.times(r, a)
		}
		a = c.times(a, a)
	}
	return r
}

// mod is the value of a rational expression at a point; ok is false for an
// expression that is none, or has no value there.
func (c *comparison) mod(n *node, point int) (v uint64, ok bool) {
	if c.steps--; c.steps < 0 {
		return 0, false
	}
	args := make([]uint64, len(n.args))
	for i, a := range n.args {
		if n.op == "^" && i == 1 {
			break
		}
		if args[i], ok = c.mod(a, point); !ok {
			return 0, false
		}
	}
	switch n.op {
	case "num":
		p := new(big.Int).SetUint64(c.prime)
		over := new(big.Int).Mod(n.num.Num(), p).Uint64()
		return c.over(over, new(big.Int).Mod(n.num.Denom(), p).Uint64())
	case "var":
		return c.draw(n.name, point) % c.prime, true
	case "+":
		return (args[0] + args[1]) % c.prime, true
	case "neg":
		return (c.prime - args[0]) % c.prime, true
	case "*":
		return c.times(args[0], args[1]), true
	case "/":
		return c.over(args[0], args[1])
	case "^":
		e, whole := exponent(n.args[1])
		switch {
		case !whole || args[0] == 0 && e <= 0:
			return 0, false
		case e < 0:
			return c.over(1, c.toPower(args[0], uint64(-e)))
		}
		return c.toPower(args[0], uint64(e)), true
	}
	return 0, false
}

// over divides; nothing is divided by 0.
func (c *comparison) over(a, b uint64) (uint64, bool) {
	switch b {
	case 0:
		return 0, false
	case 1:
		return a, true
	}
	return c.times(a, c.toPower(b, c.prime-2)), true
}

// exponent is the value of a whole number.
func exponent(n *node) (e int64, whole bool) {
	switch n.op {
	case "neg":
		e, whole = exponent(n.args[0])
		return -e, whole
	case "num":
		if n.num.IsInt() && n.num.Num().IsInt64() {
			return n.num.Num().Int64(), true
		}
	}
	return 0, false
}
