package shape

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/builtins"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/pattern"
	"nightshift/internal/words"

	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
)

// maxRendered is the longest text that a template may make.
const maxRendered = 64 << 20

// A template is a compiled Jinja template. It is safe for concurrent use.
type template struct {
	what   string // what it makes, for messages: "prompt", "system prompt", …
	source string
	t      *exec.Template
}

// environment is what all templates share: Jinja's own filters, tests and
// control structures, less what reads files or rolls dice.
var environment = sync.OnceValue(func() *exec.Environment {
	structures := map[string]parser.ControlStructureParser{}
	for _, name := range []string{"autoescape", "filter", "for", "if", "macro", "raw", "set", "with", "do",
		"break", "continue", "call", "block"} {
		if c, ok := controls.All.Get(name); ok {
			structures[name] = c
		}
	}
	filters := exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters)
	for name, f := range ownFilters {
		_ = filters.Register(name, f) // Replace needs one that is there
		must(filters.Replace(name, f))
	}
	for _, name := range overElements {
		f, _ := filters.Get(name)
		must(filters.Replace(name, func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
			return f(e, elementsOf(e, in, nil), params)
		}))
	}
	must(filters.Replace("random", func(*exec.Evaluator, *exec.Value, *exec.VarArgs) *exec.Value {
		return exec.AsValue(errors.New("random is not there: a prompt depends on its row alone"))
	}))
	globals := exec.EmptyContext()
	for _, name := range []string{"cycler", "dict", "joiner", "namespace"} {
		if f, ok := builtins.GlobalFunctions.Get(name); ok {
			globals.Set(name, f)
		}
	}
	globals.Set("range", rangeOf)
	return &exec.Environment{Context: globals, Filters: filters, Tests: builtins.Tests,
		ControlStructures: exec.NewControlStructureSet(structures), Methods: builtins.Methods}
})

func must(err error) {
	if err != nil {
		panic(err) // a filter of that name is built in
	}
}

// rangeOf replaces the built-in, which leaves a goroutine behind when its
// values are not all used.
func rangeOf(_ *exec.Evaluator, args *exec.VarArgs) ([]int, error) {
	start, stop, step := 0, 0, 1
	for _, a := range args.Args {
		if !a.IsInteger() {
			return nil, errors.New("range takes whole numbers")
		}
	}
	switch a := args.Args; len(a) {
	case 1:
		stop = a[0].Integer()
	case 2:
		start, stop = a[0].Integer(), a[1].Integer()
	case 3:
		start, stop, step = a[0].Integer(), a[1].Integer(), a[2].Integer()
	default:
		return nil, errors.New("range takes one to three numbers")
	}
	if step == 0 {
		return nil, errors.New("range: the step is 0")
	}
	const most = 1_000_000
	var out []int
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if out = append(out, i); len(out) > most {
			return nil, errors.New("range: more than a million numbers")
		}
	}
	return out, nil
}

// oneTemplate is a loader that knows a single text, once. Templates cannot
// reach any other.
type oneTemplate struct{ source string }

func (o *oneTemplate) Read(string) (io.Reader, error)         { return strings.NewReader(o.source), nil }
func (o *oneTemplate) Resolve(string) (string, error)         { return "", errNoFiles }
func (o *oneTemplate) Inherit(string) (loaders.Loader, error) { return nil, errNoFiles }

var errNoFiles = errors.New("templates read no files")

// compile checks a template's syntax. An empty source gives nil.
func compile(what, source string) (t *template, err error) {
	if source == "" {
		return nil, nil
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("the %s template cannot be read: %v", what, r)
		}
	}()
	compiled, err := exec.NewTemplate("template", strict(), &oneTemplate{source}, environment())
	if err != nil {
		return nil, fmt.Errorf("the %s template: %s", what, readable(err))
	}
	throughOwnValues(reflect.ValueOf(compiled.Root()), map[any]bool{})
	return &template{what: what, source: source, t: compiled}, nil
}

// strict is the configuration of all templates: names have to be there.
func strict() *config.Config {
	c := config.New()
	c.StrictUndefined = true
	return c
}

// filterStart makes a template of a condition.
const filterStart = "{% if "

var (
	spacedName = pattern.Late(`\{\{-?\s*(?:row\.)?([\pL_][\pL\d_]*(?:[ -]+[\pL_][\pL\d_]*)+)\s*-?\}\}`)
	assignment = pattern.Late(`[^=!<>]=[^=]`)
)

// syntaxHint says what may be meant by a template that cannot be read.
func syntaxHint(source string) string {
	if found := spacedName().FindStringSubmatch(source); found != nil {
		return "a field of such a name is written {{ row['" + found[1] + "'] }}"
	}
	if strings.HasPrefix(source, filterStart) && assignment().MatchString(source) {
		return "a comparison is written with ==, such as label == \"bug\""
	}
	return ""
}

var undefinedName = pattern.Late(
	`(?:evaluate name "([^"]+)"|attribute '([^']+)' not found|item '+([^']+)'+ not found)`)

// readable shortens the library's chains of errors to their end, which says
// what happened.
func readable(err error) string {
	s := err.Error()
	if i := strings.Index(s, "': "); strings.HasPrefix(s, "failed to parse template") && i >= 0 {
		s = s[strings.LastIndex(s, "': ")+3:]
	}
	return strings.TrimPrefix(ownFilterCalls().ReplaceAllString(s, "$1"), "unable to execute template: ")
}

// ownFilterCalls are traces of the filters that compile adds, in errors.
var ownFilterCalls = pattern.Late(
	`filtered_expression\(([^()]*)\)|filtered_expression|unable to evaluate filter &\{<Token[^>]*>  (?:member|` +
		`receiver|elements|pairs) \[\] map\[\]\}: ` +
		`|invalid call to (?:filter ' (?:member|receiver|elements|pairs)'|function 'nightshift/[^']*'): `)

// render makes the text for one row.
func (t *template) render(data *exec.Context) (text string, c problem.Reason) {
	defer func() {
		if r := recover(); r != nil { // some operations of the library panic on odd values
			text, c = "", problem.Refuse(fmt.Sprintf("the %s template fails: %v", t.what, r))
		}
	}()
	var out limited
	if err := t.t.Execute(&out, data); err != nil {
		return "", t.explain(err, data)
	}
	if !utf8.Valid(out.Bytes()) {
		return "", problem.Refuse("the "+t.what+" template cuts a character in two",
			"use a filter such as truncate instead of an index")
	}
	return out.String(), problem.Reason{}
}

// explain says which names are missing, where that is the reason.
func (t *template) explain(err error, data *exec.Context) problem.Reason {
	if errors.Is(err, errTooLong) {
		return problem.Refuse("the "+t.what+" grows beyond "+words.Bytes(maxRendered), "does the template loop?")
	}
	c := problem.Refuse("the " + t.what + " template fails: " + readable(err))
	if name := t.missing(err); name != "" {
		names, line := t.allMissing(data)
		if len(names) == 0 {
			names = []string{name}
		}
		c = problem.Refuse("the " + t.what + " template names " + listed(names) + ", which the row does not have")
		c.Line = line
	}
	c.Template = t.what
	return c
}

// allMissing are the names that expressions of the template need and the row lacks,
// each once, and the line of the first. It looks no further than a control structure
// that fails: what follows may need it.
func (t *template) allMissing(data *exec.Context) (names []string, line int) {
	defer func() { _ = recover() }() // as in render; then what was found has to do
	shared := environment()
	r := exec.NewRenderer(&exec.Environment{Tests: shared.Tests, Filters: shared.Filters,
		ControlStructures: shared.ControlStructures, Methods: shared.Methods,
		Context: shared.Context.Inherit().Update(data)}, &limited{}, strict(), &oneTemplate{}, t.t)
	for _, n := range t.t.Root().Nodes {
		err := nodes.Walk(r, n)
		if err == nil {
			continue
		}
		name := t.missing(err)
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
			line = cmp.Or(line, n.Position().Line)
		}
		if _, output := n.(*nodes.Output); !output {
			break
		}
	}
	return names, line
}

// missing is the name that an error says is not there; empty when it is of another
// kind. Where the template has a single path that ends in the name, it is the path.
func (t *template) missing(err error) string {
	found := undefinedName().FindAllStringSubmatch(err.Error(), -1)
	if found == nil {
		return ""
	}
	last := found[len(found)-1]
	name := last[1] + last[2] + last[3]
	if last[1] != "" {
		return name
	}
	end := regexp.QuoteMeta(name)
	path := regexp.MustCompile(`[\pL_][\pL\d_]*(?:\.[\pL\d_]+|\[[^\[\]]*\])*?` +
		`(?:\.` + end + `\b|\[(?:'` + end + `'|"` + end + `"|` + end + `)\])`)
	paths := path.FindAllString(t.source, -1)
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) != 1 {
		return name
	}
	if ofRow, yes := strings.CutPrefix(paths[0], "row"); yes && (ofRow[0] == '.' || ofRow[0] == '[') {
		return name
	}
	return paths[0]
}

// listed are names as people write a list of them.
func listed(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = words.Quote(n)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " and " + quoted[last]
}

var errTooLong = errors.New("too long")

// limited is a buffer that refuses to grow beyond maxRendered.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxRendered {
		return 0, errTooLong
	}
	return l.Buffer.Write(p)
}

func (l *limited) WriteString(s string) (int, error) {
	if l.Len()+len(s) > maxRendered {
		return 0, errTooLong
	}
	return l.Buffer.WriteString(s)
}

// names reports whether the template may use a variable: its name then stands
// in the source.
func (t *template) names(name string) bool {
	return t != nil && strings.Contains(t.source, name)
}

// toJSON writes a value as Python's json.dumps(value, ensure_ascii=False)
// does, numbers as the row has them and keys in order, as in Jinja.
func toJSON(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	indent := ""
	if v, ok := params.KwArgs["indent"]; ok && v.IsInteger() {
		indent = strings.Repeat(" ", max(0, min(v.Integer(), 16)))
	} else if len(params.Args) > 0 && params.Args[0].IsInteger() {
		indent = strings.Repeat(" ", max(0, min(params.Args[0].Integer(), 16)))
	}
	return exec.AsValue(string(appendJSON(nil, in, indent, "\n")))
}

func appendJSON(out []byte, v *exec.Value, indent, newline string) []byte {
	switch {
	case v.IsNil():
		return append(out, "null"...)
	case v.IsBool():
		return strconv.AppendBool(out, v.Bool())
	case v.IsNumber():
		return append(out, v.String()...)
	case v.IsString():
		if n, ok := v.Interface().(number); ok {
			return append(out, n...)
		}
		return rowjson.AppendQuoted(out, v.String())
	case v.IsList() || v.IsDict():
		return appendNested(out, v, indent, newline)
	}
	return rowjson.AppendQuoted(out, v.String())
}

func appendNested(out []byte, v *exec.Value, indent, newline string) []byte {
	open, end, separator, inner := byte('['), byte(']'), ", ", ""
	if v.IsDict() {
		open, end = '{', '}'
	}
	if indent != "" {
		inner = newline + indent
		separator = "," + inner
	}
	out = append(out, open)
	next := inner
	member := func(item *exec.Value) {
		out = appendJSON(out, item, indent, newline+indent)
		next = separator
	}
	if v.IsDict() {
		pairs := slices.Clone(pairsOf(v))
		slices.SortStableFunc(pairs, func(a, b *exec.Pair) int {
			return strings.Compare(a.Key.String(),
				b.Key.String())
		})
		for _, p := range pairs {
			out = append(rowjson.AppendQuoted(append(out, next...), p.Key.String()), ": "...)
			member(p.Value)
		}
	} else {
		for i := range v.Len() {
			out = append(out, next...)
			member(v.Index(i))
		}
	}
	if v.Len() > 0 && indent != "" {
		out = append(out, newline...)
	}
	return append(out, end)
}
