package algebra

import (
	"errors"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"

	"nightshift/internal/pattern"
)

// A node is an expression, or what is made of several.
type node struct {
	op   string // num, var, const, +, *, /, ^, neg, fn, list, set, union, rel
	name string // of a variable, constant, function or relation; the brackets of a list
	num  *big.Rat
	args []*node
}

// Bounds on what is read: formulae are short, and whatever is longer is compared
// as a text.
const (
	longest = 2000
	deepest = 60
)

var errSyntax = errors.New("not a formula that can be read")

// A parser reads a formula in LaTeX or as it is typed.
type parser struct {
	rest  string
	depth int // of nesting
	inner int // brackets that are open
}

var plainer = strings.NewReplacer(
	`\\`, `\\`, `\left`, "", `\right`, "", `\displaystyle`, "", `\limits`, "", `\dfrac`, `\frac`, `\tfrac`,
	`\frac`, `\cfrac`, `\frac`,
	`\!`, "", `\,`, " ", `\;`, " ", `\:`, " ", `\ `, " ", `\quad`, " ", `\qquad`, " ", "~", " ", `\$`, "", "$", "",
	`\(`, "", `\)`, "", `\cdot`, "*", `\times`, "*", "·", "*", "×", "*", "⋅", "*", `\div`, "/", "÷", "/", "−", "-",
	"–", "-", `\leq`, "≤", `\le`, "≤", "<=", "≤", `\geq`, "≥", `\ge`, "≥", ">=", "≥", `\lt`, "<", `\gt`, ">",
	`\pi`, "π", `\infty`, "∞", `\cup`, "∪", `\in`, "∈", `\pm`, "±", `\{`, "⦃", `\}`, "⦄", "²", "^{2}", "³", "^{3}",
	`\lbrace`, "⦃", `\rbrace`, "⦄", `\mid`, "|", `\vert`, "|", `\lvert`, "|", `\rvert`, "|", "**", "^", "√", `\sqrt`,
	`^{\circ}`, "", `^\circ`, "", "°", "", `\degree`, "", `{,}`, ",", `\ldots`, "…", `\%`, "%")

// parse reads a whole text.
func parse(text string) (*node, error) {
	if len(text) > longest || !utf8.ValidString(text) {
		return nil, errSyntax
	}
	p := &parser{rest: plainer.Replace(text)}
	n, err := p.relation()
	if err == nil && p.peek() != "" {
		err = errSyntax
	}
	return n, err
}

// peek is the next character or command; empty at the end.
func (p *parser) peek() string {
	p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
	if p.rest == "" {
		return ""
	}
	if p.rest[0] == '\\' {
		end := 1
		for end < len(p.rest) && unicode.IsLetter(rune(p.rest[end])) && p.rest[end] < utf8.RuneSelf {
			end++
		}
		if end == 1 {
			end = min(2, len(p.rest))
		}
		return p.rest[:end]
	}
	_, size := utf8.DecodeRuneInString(p.rest)
	return p.rest[:size]
}

func (p *parser) take(token string) bool {
	if token == "" || p.peek() != token {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

func (p *parser) takeAny(tokens ...string) string {
	for _, t := range tokens {
		if p.take(t) {
			return t
		}
	}
	return ""
}

// relation reads equations and inequalities, also in chains: 1 < x ≤ 3.
func (p *parser) relation() (*node, error) {
	if p.depth++; p.depth > deepest {
		return nil, errSyntax
	}
	defer func() { p.depth-- }()
	first, err := p.commas()
	if err != nil {
		return nil, err
	}
	n := &node{op: "rel", args: []*node{first}}
	for {
		sign := p.takeAny("=", "<", ">", "≤", "≥", "∈")
		if sign == "" {
			break
		}
		next, err := p.commas()
		if err != nil {
			return nil, err
		}
		n.name += sign
		n.args = append(n.args, next)
	}
	if n.name == "" {
		return first, nil
	}
	return n, nil
}

// commas reads a list without brackets: 1, 2 and 3.
func (p *parser) commas() (*node, error) {
	first, err := p.union()
	if err != nil || p.inner > 0 {
		return first, err
	}
	list := &node{op: "list", args: []*node{first}}
	for p.take(",") || p.takeWord("and") || p.takeWord("or") {
		p.takeWord("and")
		p.takeWord("or")
		next, err := p.union()
		if err != nil {
			return nil, err
		}
		// x = 1, x = 2 names the variable each time
		if p.peek() == "=" && next.op == "var" {
			p.take("=")
			if next, err = p.union(); err != nil {
				return nil, err
			}
		}
		list.args = append(list.args, next)
	}
	if len(list.args) == 1 {
		return first, nil
	}
	return list, nil
}

func (p *parser) takeWord(word string) bool {
	p.peek()
	after, ok := strings.CutPrefix(p.rest, word)
	if r, _ := utf8.DecodeRuneInString(after); !ok || unicode.IsLetter(r) {
		return false
	}
	p.rest = after
	return true
}

func (p *parser) union() (*node, error) { return p.chain(p.sum, "union", "∪") }

// chain reads operands with one operator between them.
func (p *parser) chain(operand func() (*node, error), op, sign string) (*node, error) {
	first, err := operand()
	if err != nil {
		return nil, err
	}
	n := &node{op: op, args: []*node{first}}
	for p.take(sign) {
		next, err := operand()
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, next)
	}
	if len(n.args) == 1 {
		return first, nil
	}
	return n, nil
}

func (p *parser) sum() (*node, error) {
	var left *node
	for {
		sign := p.takeAny("+", "-", "±")
		if sign == "" && left != nil {
			return left, nil
		}
		term, err := p.product()
		if err != nil {
			return nil, err
		}
		switch {
		case sign == "-":
			term = &node{op: "neg", args: []*node{term}}
		case sign == "±":
			if left == nil {
				left = number(0)
			}
			minus := &node{op: "neg", args: []*node{term}}
			return &node{op: "list", args: []*node{{op: "+", args: []*node{left, term}},
				{op: "+", args: []*node{left, minus}}}}, nil
		}
		if left == nil {
			left = term
		} else {
			left = &node{op: "+", args: []*node{left, term}}
		}
	}
}

func number(n int64) *node { return &node{op: "num", num: new(big.Rat).SetInt64(n)} }

func (p *parser) product() (*node, error) {
	left, err := p.signed()
	for err == nil {
		op := p.takeAny("*", "/")
		if op == "" {
			if !p.startsFactor() {
				return left, nil
			}
			op = "*"
			if left.op == "num" && p.startsMixed() { // 2\frac{3}{4}, 2 3/4
				op = "+"
			}
		}
		var right *node
		if op == "+" {
			right, err = p.fraction()
		} else {
			right, err = p.signed()
		}
		left = &node{op: op, args: []*node{left, right}}
	}
	return nil, err
}

var (
	mixedLatex = pattern.Late(`^\\frac ?(?:\{\d+\} ?\{\d+\}|\d{2})`)
	mixedPlain = pattern.Late(`^\d+/\d+`)
)

// startsMixed reports whether a fraction of whole numbers follows, which makes a
// mixed number of the whole number before it.
func (p *parser) startsMixed() bool {
	p.peek()
	return mixedLatex().MatchString(p.rest) || mixedPlain().MatchString(p.rest)
}

// fraction reads the fraction of a mixed number.
func (p *parser) fraction() (*node, error) {
	over, err := p.power()
	if err != nil || over.op == "/" || !p.take("/") {
		return over, err
	}
	under, err := p.power()
	return &node{op: "/", args: []*node{over, under}}, err
}

func (p *parser) signed() (*node, error) {
	if p.depth++; p.depth > deepest {
		return nil, errSyntax
	}
	defer func() { p.depth-- }()
	switch p.takeAny("-", "+") {
	case "-":
		n, err := p.signed()
		return &node{op: "neg", args: []*node{n}}, err
	case "+":
		return p.signed()
	}
	return p.power()
}

func (p *parser) startsFactor() bool {
	t := p.peek()
	switch t {
	case "", "+", "-", "*", "/", ",", ")", "]", "}", "⦄", "=", "<", ">", "≤", "≥", "∈", "∪", "±", "|", "&", `\\`,
		`\end`, "^", "_", "!",
		"%", "…":
		return false
	}
	return !strings.HasPrefix(p.rest, "and ") && !strings.HasPrefix(p.rest, "or ")
}

func (p *parser) power() (*node, error) {
	base, err := p.atom()
	for err == nil && p.take("!") {
		base = &node{op: "fn", name: "factorial", args: []*node{base}}
	}
	if err != nil || !p.take("^") {
		return base, err
	}
	exponent, err := p.script()
	return &node{op: "^", args: []*node{base, exponent}}, err
}

// script reads what stands up or down: one character, or a group.
func (p *parser) script() (*node, error) {
	if p.peek() == "{" {
		return p.group("{", "}")
	}
	if t := p.peek(); len(t) == 1 && '0' <= t[0] && t[0] <= '9' && strings.HasPrefix(p.rest, t) {
		end := 1
		for end < len(p.rest) && '0' <= p.rest[end] && p.rest[end] <= '9' {
			end++
		}
		digits := p.rest[:end]
		p.rest = p.rest[end:]
		n, _ := new(big.Rat).SetString(digits)
		return &node{op: "num", num: n}, nil
	}
	return p.signed()
}

func (p *parser) group(open, end string) (*node, error) {
	if !p.take(open) {
		return nil, errSyntax
	}
	p.inner++
	n, err := p.union()
	p.inner--
	if err == nil && !p.take(end) {
		err = errSyntax
	}
	return n, err
}

var functions = map[string]bool{"sin": true, "cos": true, "tan": true, "cot": true, "sec": true, "csc": true,
	"arcsin": true,
	"arccos": true, "arctan": true, "sinh": true, "cosh": true, "tanh": true, "ln": true, "log": true, "exp": true,
	"sqrt": true, "abs": true}

var (
	numeral = pattern.Late(`^(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)`)
	word    = pattern.Late(`^[A-Za-z]+`)
	textual = pattern.Late(`^\\(?:text|mathrm|mathbf|textbf|mbox|mathit|operatorname|mathbb)$`)
	greek   = pattern.Late(`^\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|nu|rho|sigma|tau|phi` +
		`|varphi|omega)$`)
	matrices = pattern.Late(`^\{([pbvB]?matrix|array)\}(?:\{[lcr|]*\})?`)
)

func (p *parser) atom() (*node, error) {
	if p.depth++; p.depth > deepest {
		return nil, errSyntax
	}
	defer func() { p.depth-- }()
	token := p.peek()
	switch token {
	case "(", "[":
		return p.brackets(token)
	case "⦃":
		return p.braces()
	case "{":
		return p.group("{", "}")
	case "|":
		inner, err := p.group("|", "|")
		return &node{op: "fn", name: "abs", args: []*node{inner}}, err
	case "π", "∞":
		p.take(token)
		return &node{op: "const", name: token}, nil
	case `\frac`:
		p.take(token)
		over, err := p.argument()
		if err != nil {
			return nil, err
		}
		under, err := p.argument()
		return &node{op: "/", args: []*node{over, under}}, err
	case `\binom`:
		p.take(token)
		n, err := p.argument()
		if err != nil {
			return nil, err
		}
		k, err := p.argument()
		return &node{op: "fn", name: "binom", args: []*node{n, k}}, err
	case `\begin`:
		return p.matrix()
	}
	if m := numeral().FindString(p.rest); m != "" {
		return p.number(m)
	}
	return p.named(token)
}

// number reads digits; inside brackets a comma parts numbers.
func (p *parser) number(digits string) (*node, error) {
	if i := strings.IndexByte(digits, ','); i >= 0 && p.inner > 0 {
		digits = digits[:i]
	}
	p.rest = p.rest[len(digits):]
	if p.take("_") { // a number in another base is a name
		base, err := p.script()
		if err != nil || base.op != "num" {
			return nil, errSyntax
		}
		return &node{op: "var", name: digits + "_" + base.num.RatString()}, nil
	}
	n, ok := new(big.Rat).SetString(strings.ReplaceAll(digits, ",", ""))
	if !ok {
		return nil, errSyntax
	}
	return &node{op: "num", num: n}, nil
}

// named reads functions, constants and variables, which are single letters. A word
// is none of these.
func (p *parser) named(token string) (*node, error) {
	name := word().FindString(p.rest)
	switch {
	case strings.HasPrefix(token, `\`):
		name = token[1:]
		p.take(token)
		switch {
		case functions[name]:
			return p.function(name)
		case textual().MatchString(token):
			return p.textual()
		case greek().MatchString(token):
			return p.subscript(name)
		}
		return nil, errSyntax
	case functions[name]:
		p.rest = p.rest[len(name):]
		return p.function(name)
	case len(name) == 0 || len(name) > 2:
		return nil, errSyntax
	}
	p.rest = p.rest[1:]
	switch name[:1] {
	case "e", "i":
		return &node{op: "const", name: name[:1]}, nil
	}
	return p.subscript(name[:1])
}

// textual reads a text that is a letter or a number; other texts are no formulae.
func (p *parser) textual() (*node, error) {
	inner, after, ok := strings.Cut(p.rest, "}")
	inner, opens := strings.CutPrefix(inner, "{")
	inner = strings.Trim(strings.TrimSpace(inner), "()")
	if !ok || !opens || len(inner) != 1 || !unicode.IsLetter(rune(inner[0])) && !unicode.IsDigit(rune(inner[0])) {
		return nil, errSyntax
	}
	p.rest = inner + " " + after
	return p.atom()
}

func (p *parser) subscript(name string) (*node, error) {
	if p.take("_") {
		sub := p.peek()
		if sub == "{" {
			inner, after, ok := strings.Cut(p.rest[1:], "}")
			if !ok {
				return nil, errSyntax
			}
			sub, p.rest = strings.TrimSpace(inner), after
		} else {
			p.take(sub)
		}
		name += "_" + sub
	}
	return &node{op: "var", name: name}, nil
}

// argument is a group, or one digit or letter: \frac12.
func (p *parser) argument() (*node, error) {
	if t := p.peek(); len(t) == 1 && '0' <= t[0] && t[0] <= '9' {
		p.take(t)
		return number(int64(t[0] - '0')), nil
	}
	if p.peek() == "{" {
		return p.group("{", "}")
	}
	return p.atom()
}

func (p *parser) function(name string) (*node, error) {
	n := &node{op: "fn", name: name}
	if name == "sqrt" {
		root := number(2)
		if p.peek() == "[" {
			var err error
			if root, err = p.group("[", "]"); err != nil {
				return nil, err
			}
		}
		inner, err := p.argument()
		exponent := &node{op: "/", args: []*node{number(1), root}}
		return &node{op: "^", args: []*node{inner, exponent}}, err
	}
	if name == "log" && p.take("_") {
		base, err := p.script()
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, base)
	}
	var power *node
	if p.take("^") { // \sin^2 x
		var err error
		if power, err = p.script(); err != nil {
			return nil, err
		}
	}
	inner, err := p.operand()
	if n.args = append(n.args, inner); power != nil {
		return &node{op: "^", args: []*node{n, power}}, err
	}
	return n, err
}

// operand is what a function is of: a bracket, or the factors that follow.
func (p *parser) operand() (*node, error) {
	if t := p.peek(); t == "(" || t == "{" || t == "[" {
		return p.atom()
	}
	left, err := p.power()
	for err == nil && p.startsFactor() && !strings.HasPrefix(p.peek(), `\`) && p.peek() != "(" &&
		!functions[word().FindString(p.rest)] {
		var right *node
		right, err = p.power()
		left = &node{op: "*", args: []*node{left, right}}
	}
	return left, err
}

// brackets reads a value in brackets, a tuple or an interval.
func (p *parser) brackets(open string) (*node, error) {
	p.take(open)
	p.inner++
	defer func() { p.inner-- }()
	n := &node{op: "list", name: open}
	for {
		e, err := p.union()
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, e)
		if !p.take(",") {
			break
		}
	}
	end := p.takeAny(")", "]")
	if end == "" {
		return nil, errSyntax
	}
	if len(n.args) == 1 && open+end == "()" || len(n.args) == 1 && open+end == "[]" {
		return n.args[0], nil
	}
	n.name += end
	return n, nil
}

func (p *parser) braces() (*node, error) {
	p.take("⦃")
	p.inner++
	defer func() { p.inner-- }()
	n := &node{op: "set"}
	for p.peek() != "⦄" {
		e, err := p.union()
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, e)
		if !p.take(",") {
			break
		}
	}
	if !p.take("⦄") {
		return nil, errSyntax
	}
	return n, nil
}

// matrix reads rows of cells.
func (p *parser) matrix() (*node, error) {
	p.take(`\begin`)
	kind := matrices().FindStringSubmatch(p.rest)
	if kind == nil {
		return nil, errSyntax
	}
	p.rest = p.rest[len(kind[0]):]
	p.inner++
	defer func() { p.inner-- }()
	m := &node{op: "list", name: "matrix"}
	for {
		row := &node{op: "list", name: "row"}
		for {
			e, err := p.sum()
			if err != nil {
				return nil, err
			}
			row.args = append(row.args, e)
			if !p.take("&") {
				break
			}
		}
		m.args = append(m.args, row)
		if !p.take(`\\`) || p.peek() == `\end` {
			break
		}
	}
	end := "{" + kind[1] + "}"
	if !p.take(`\end`) || !strings.HasPrefix(p.rest, end) {
		return nil, errSyntax
	}
	p.rest = p.rest[len(end):]
	return m, nil
}
