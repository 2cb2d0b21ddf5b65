package shape

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"nightshift/datasets/internal/rowjson"

	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// A number that a template prints as it was written. To arithmetic it is text.
type number string

func (n number) String() string { return string(n) }

// goValue turns a JSON value into what templates work on: text, int, float,
// bool, nil, lists and dicts. A number that would print differently from how
// it is written stays as written.
func goValue(v rowjson.Value) any {
	switch v.Kind {
	case rowjson.String:
		return v.Text()
	case rowjson.Bool:
		return v.Raw[0] == 't'
	case rowjson.Number:
		return goNumber(string(v.Raw))
	case rowjson.Array:
		list := []any{}
		for _, e := range rowjson.Elements(v.Raw) {
			list = append(list, goValue(e))
		}
		return list
	case rowjson.Object:
		var pairs []*exec.Pair
		for key, e := range rowjson.Members(v.Raw) {
			pairs = append(pairs, pair(key, e))
		}
		return dictOf(pairs)
	}
	return nil
}

func goNumber(s string) any {
	if n, err := strconv.Atoi(s); err == nil && strconv.Itoa(n) == s {
		return n
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && exec.AsValue(f).String() == s {
		return f
	}
	return number(s)
}

func pair(key []byte, v rowjson.Value) *exec.Pair {
	return &exec.Pair{Key: exec.AsValue(string(rowjson.Unescape(key))), Value: exec.AsValue(goValue(v))}
}

// dictOf is a dict that keeps the order of the row, whose keys all differ. An
// empty one is a map: the library takes every Dict for true.
func dictOf(pairs []*exec.Pair) any {
	if len(pairs) == 0 {
		return map[string]any{}
	}
	return &exec.Dict{Pairs: pairs}
}

// pairsOf are the members of a dict, in its order.
func pairsOf(v *exec.Value) (pairs []*exec.Pair) {
	if d, ok := v.Interface().(*exec.Dict); ok {
		return d.Pairs
	}
	for _, key := range v.Keys() {
		item, _ := v.GetItem(key.Interface())
		pairs = append(pairs, &exec.Pair{Key: key, Value: item})
	}
	return pairs
}

// A tuple is a key with its value, printed as Python does.
type tuple []any

func (t tuple) String() string {
	s := exec.AsValue([]any(t)).String()
	return "(" + s[1:len(s)-1] + ")"
}

func tuplesOf(pairs []*exec.Pair) []any {
	list := make([]any, 0, len(pairs))
	for _, p := range pairs {
		list = append(list, tuple{p.Key.Interface(), p.Value.Interface()})
	}
	return list
}

// The library indexes texts by bytes and walks over them so; its dicts do not
// find their keys by attribute, and their methods sort. So the syntax tree is
// changed: whatever is indexed, asked for an attribute, or walked over by a
// loop goes through one of these filters first. Their names cannot be written
// in a template.
const (
	asMember   = " member"   // for x[…] and x.name
	asReceiver = " receiver" // for x.name(…)
	asElements = " elements" // for y in x
	asPairs    = " pairs"    // for k, v in x
)

// throughOwnValues puts these filters into a syntax tree. Some structures hide
// their expressions in unexported fields, so it walks by reflection.
func throughOwnValues(v reflect.Value, seen map[any]bool) {
	switch v.Kind() {
	case reflect.Interface:
		throughOwnValues(v.Elem(), seen)
	case reflect.Slice:
		for i := range v.Len() {
			throughOwnValues(v.Index(i), seen)
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			throughOwnValues(entries.Value(), seen)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() == reflect.TypeFor[controls.SetControlStructure]() && v.Type().Field(i).Name == "target" {
				continue // it is assigned to
			}
			throughOwnValues(v.Field(i), seen)
		}
	case reflect.Pointer:
		if v.IsNil() || v.Type() == reflect.TypeFor[*tokens.Token]() || seen[v.Pointer()] {
			return
		}
		seen[v.Pointer()] = true
		throughOwnValues(v.Elem(), seen)
		filterOperand(v)
	}
}

// filterOperand changes one node. The pointer may come from an unexported
// field, which an interface cannot hold.
func filterOperand(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[*nodes.GetItem]():
		n := (*nodes.GetItem)(v.UnsafePointer())
		n.Node = filtered(n.Node, asMember)
	case reflect.TypeFor[*nodes.GetAttribute]():
		n := (*nodes.GetAttribute)(v.UnsafePointer())
		n.Node = filtered(n.Node, asMember)
	case reflect.TypeFor[*nodes.Call]():
		n := (*nodes.Call)(v.UnsafePointer())
		if method, ok := n.Func.(*nodes.GetAttribute); ok {
			method.Node = filtered(method.Node, asReceiver)
		}
	case reflect.TypeFor[*controls.ForControlStructure]():
		n := (*controls.ForControlStructure)(v.UnsafePointer())
		if n.Value == "" {
			n.ObjectEvaluator = filtered(n.ObjectEvaluator, asElements)
		} else {
			n.ObjectEvaluator = filtered(n.ObjectEvaluator, asPairs)
		}
	}
}

// filtered is an expression behind a filter, in place of one of ours that it
// is behind already.
func filtered(n nodes.Expression, filter string) nodes.Expression {
	call := &nodes.FilterCall{Token: n.Position(), Name: filter}
	if f, ok := n.(*nodes.FilteredExpression); ok && len(f.Filters) == 1 && strings.HasPrefix(f.Filters[0].Name, " ") {
		n = f.Expression
	}
	return &nodes.FilteredExpression{Expression: n, Filters: []*nodes.FilterCall{call}}
}

// ownFilters replace filters of the library or add to them.
var ownFilters = map[string]exec.FilterFunction{
	"tojson":   toJSON,
	"items":    itemsOf,
	"dictsort": sortedItems,
	"reverse":  reversed,
	asMember: func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
		if in.IsNil() || in.IsError() {
			return in
		}
		return exec.AsValue(member{in})
	},
	asReceiver: func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
		if in.IsNil() || in.IsError() {
			return in
		}
		return exec.AsValue(receiver{member{in}})
	},
	asElements: elementsOf,
	asPairs: func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
		if in.IsDict() {
			return exec.AsValue(tuplesOf(pairsOf(in)))
		}
		return elementsOf(e, in, params)
	},
}

// overElements are the library's filters that walk over what they are given.
var overElements = []string{"batch", "first", "groupby", "join", "last", "list", "map", "max", "min", "reject",
	"rejectattr",
	"select", "selectattr", "slice", "sort", "unique"}

// elementsOf makes lists of texts (their characters) and dicts (their keys),
// and leaves all else.
func elementsOf(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	list := []any{}
	switch {
	case in.IsError():
		return in
	case in.IsString():
		for _, c := range in.String() {
			list = append(list, string(c))
		}
	case in.IsDict():
		for _, p := range pairsOf(in) {
			list = append(list, p.Key.Interface())
		}
	default:
		return in
	}
	return exec.AsValue(list)
}

func itemsOf(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	switch {
	case in.IsError() || in.IsList():
		return in
	case in.IsNil():
		return exec.AsValue([]any{})
	case !in.IsDict():
		return exec.AsValue(errors.New("items is for objects"))
	}
	return exec.AsValue(tuplesOf(pairsOf(in)))
}

// sortedItems is dictsort(case_sensitive=false, by='key', reverse=false).
func sortedItems(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	var caseSensitive, backwards bool
	var by string
	err := params.Take(
		exec.KeywordArgument("case_sensitive", exec.AsValue(false), exec.BoolArgument(&caseSensitive)),
		exec.KeywordArgument("by", exec.AsValue("key"), exec.StringArgument(&by)),
		exec.KeywordArgument("reverse", exec.AsValue(false), exec.BoolArgument(&backwards)))
	switch {
	case in.IsError():
		return in
	case err != nil:
		return exec.AsValue(exec.ErrInvalidCall(err))
	case !in.IsDict() || by != "key" && by != "value":
		return exec.AsValue(errors.New("dictsort is for objects, by key or by value"))
	}
	of := func(p *exec.Pair) *exec.Value {
		if by == "value" {
			return p.Value
		}
		return p.Key
	}
	pairs := slices.Clone(pairsOf(in))
	slices.SortStableFunc(pairs, func(a, b *exec.Pair) int {
		if backwards {
			a, b = b, a
		}
		return compareValues(of(a), of(b), caseSensitive)
	})
	return exec.AsValue(tuplesOf(pairs))
}

func compareValues(a, b *exec.Value, caseSensitive bool) int {
	if a.IsNumber() && b.IsNumber() {
		return cmp.Compare(a.Float(), b.Float())
	}
	if caseSensitive {
		return strings.Compare(a.String(), b.String())
	}
	return strings.Compare(strings.ToLower(a.String()), strings.ToLower(b.String()))
}

func reversed(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	all := elementsOf(e, in, params)
	if !all.IsList() {
		return all
	}
	var list []any
	var text strings.Builder
	for i := all.Len() - 1; i >= 0; i-- {
		list = append(list, all.Index(i).Interface())
		text.WriteString(all.Index(i).String())
	}
	if in.IsString() {
		return exec.AsValue(text.String())
	}
	return exec.AsValue(list)
}

// A member looks up attributes and items as Jinja does: texts by characters,
// lists from their end too, dicts by their keys alone.
type member struct{ of *exec.Value }

func (m member) GetAttribute(name string) (*exec.Value, bool) {
	if m.of.IsDict() {
		return m.of.GetItem(name)
	}
	return m.of.GetAttribute(name)
}

func (m member) GetItem(key any) (*exec.Value, bool) {
	i, byNumber := key.(int)
	if !byNumber || !m.of.IsString() && !m.of.IsList() {
		return m.of.GetItem(key)
	}
	if i < 0 {
		i += m.of.Len()
	}
	if i < 0 || i >= m.of.Len() {
		return exec.AsValue(nil), false
	}
	return m.of.Index(i), true
}

func (m member) String() string { return m.of.String() }

// A receiver is a member that is asked for a method.
type receiver struct{ member }

func (r receiver) GetAttribute(name string) (*exec.Value, bool) {
	d, ok := r.of.Interface().(*exec.Dict)
	if method, known := dictMethods[name]; ok && known {
		return exec.AsValue(func(args *exec.VarArgs) (any, error) { return method(d, args) }), true
	}
	return r.member.GetAttribute(name)
}

// dictMethods are those of Python's dict.
var dictMethods = map[string]func(*exec.Dict, *exec.VarArgs) (any, error){
	"keys": func(d *exec.Dict, _ *exec.VarArgs) (any, error) {
		return elementsOf(nil, exec.AsValue(d), nil).Interface(), nil
	},
	"items": func(d *exec.Dict, _ *exec.VarArgs) (any, error) { return tuplesOf(d.Pairs), nil },
	"values": func(d *exec.Dict, _ *exec.VarArgs) (any, error) {
		list := []any{}
		for _, p := range d.Pairs {
			list = append(list, p.Value.Interface())
		}
		return list, nil
	},
	"copy": func(d *exec.Dict, _ *exec.VarArgs) (any, error) { return &exec.Dict{Pairs: slices.Clone(d.Pairs)}, nil },
	"get": func(d *exec.Dict, args *exec.VarArgs) (any, error) {
		_, v, err := entry(d, args)
		return v, err
	},
	"pop": func(d *exec.Dict, args *exec.VarArgs) (any, error) {
		i, v, err := entry(d, args)
		if i >= 0 {
			d.Pairs = slices.Delete(slices.Clone(d.Pairs), i, i+1)
		}
		return v, err
	},
	"setdefault": func(d *exec.Dict, args *exec.VarArgs) (any, error) {
		i, v, err := entry(d, args)
		if i < 0 && err == nil {
			put(d, args.Args[0], exec.AsValue(v))
		}
		return v, err
	},
	"update": func(d *exec.Dict, args *exec.VarArgs) (any, error) {
		for _, other := range args.Args {
			for _, p := range pairsOf(other) {
				put(d, p.Key, p.Value)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(args.KwArgs)) {
			put(d, exec.AsValue(key), args.KwArgs[key])
		}
		return nil, nil
	},
}

// entry is where the key of a call stands, or -1, and its value, or the call's
// other argument.
func entry(d *exec.Dict, args *exec.VarArgs) (int, any, error) {
	if len(args.Args) < 1 || len(args.Args) > 2 {
		return -1, nil, fmt.Errorf("a key and at most one default are wanted, not %d arguments", len(args.Args))
	}
	i := slices.IndexFunc(d.Pairs, func(p *exec.Pair) bool { return p.Key.EqualValueTo(args.Args[0]) })
	switch {
	case i >= 0:
		return i, d.Pairs[i].Value.Interface(), nil
	case len(args.Args) == 2:
		return i, args.Args[1].Interface(), nil
	}
	return i, nil, nil
}

func put(d *exec.Dict, key, v *exec.Value) {
	i := slices.IndexFunc(d.Pairs, func(p *exec.Pair) bool { return p.Key.EqualValueTo(key) })
	if i < 0 {
		d.Pairs = append(slices.Clip(d.Pairs), &exec.Pair{Key: key, Value: v})
		return
	}
	d.Pairs = slices.Clone(d.Pairs)
	d.Pairs[i] = &exec.Pair{Key: key, Value: v}
}
