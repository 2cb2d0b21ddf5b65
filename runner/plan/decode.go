package plan

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"nightshift/internal/words"
)

// A decoder fills structs from YAML nodes, strictly, and goes on after a
// mistake so that all are found. It is our own because positions, near
// matches, number texts and the order of params must survive.
type decoder struct {
	report
	meant   []string // paths that a misspelt key stands for
	visited int      // nodes seen, those behind aliases each time
	depth   int
	bomb    bool
}

// Limits on the size of a plan with its aliases expanded. A plan with a hundred tool definitions
// has some thousand nodes.
const (
	maxNodes = 200_000
	maxDepth = 100
)

// A nodeDecoder reads itself from a node.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node, path string)
}

var (
	rawType  = reflect.TypeFor[json.RawMessage]()
	restType = reflect.TypeFor[Params]()
)

// decode fills v, which must be settable, from n. A null leaves v as it is.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	n, ok := d.enter(n, path)
	if !ok {
		return
	}
	defer d.leave()
	d.source.nodes[path] = n
	if isNull(n) && v.Type() != restType {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch target := v.Addr().Interface().(type) {
	case nodeDecoder:
		target.decodeNode(d, n, path)
		return
	case encoding.TextUnmarshaler:
		d.text(n, target, path)
		return
	}
	d.kind(n, v, path)
}

func (d *decoder) kind(n *yaml.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		if v.Type() == rawType {
			d.raw(n, v, path)
			return
		}
		d.list(n, v, path)
	case reflect.String:
		if s, ok := d.scalar(n, path, "a text"); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		d.boolean(n, v, path)
	case reflect.Int, reflect.Int64:
		d.integer(n, v, path)
	case reflect.Uint64:
		d.unsigned(n, v, path)
	case reflect.Float64:
		d.float(n, v, path)
	default:
		panic("plan: no decoder for " + v.Type().String())
	}
}

// enter resolves an alias and counts the node; ok is false when there is no
// sense in going on.
func (d *decoder) enter(n *yaml.Node, path string) (resolved *yaml.Node, ok bool) {
	d.visited++
	if d.bomb || d.visited > maxNodes || d.depth >= maxDepth {
		if !d.bomb {
			d.node(n, path, "", "the plan expands to more than %d values or %d levels; are its aliases right?",
				maxNodes, maxDepth)
		}
		d.bomb = true
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.depth++
	return n, true
}

func (d *decoder) leave() { d.depth-- }

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// wrong adds "want X, this is Y".
func (d *decoder) wrong(n *yaml.Node, path, want string) {
	d.node(n, path, "", "%s must be %s; this is %s", label(path), want, describe(n))
}

// label is the last part of a path, for messages.
func label(path string) string {
	if path == "" {
		return "the plan"
	}
	return path
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Value == "" {
		return "empty"
	}
	return fmt.Sprintf("%q", redact(words.Shorten(n.Value, 40)))
}

// scalar is the text of a scalar as it was written: 1.0 stays "1.0".
func (d *decoder) scalar(n *yaml.Node, path, want string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.wrong(n, path, want)
		return "", false
	}
	return n.Value, true
}

func (d *decoder) text(n *yaml.Node, target encoding.TextUnmarshaler, path string) {
	s, ok := d.scalar(n, path, "a single value")
	if !ok {
		return
	}
	if err := target.UnmarshalText([]byte(s)); err != nil {
		d.node(n, path, "", "%s: %v", label(path), err)
	}
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.scalar(n, path, "true or false")
	if !ok {
		return
	}
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		v.SetBool(true)
	case "false", "no", "off":
		v.SetBool(false)
	default:
		d.wrong(n, path, "true or false")
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.scalar(n, path, "a whole number")
	if !ok {
		return
	}
	i, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(s, 64) // 5e7 is how people write 50 million
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			d.wrong(n, path, "a whole number")
			return
		}
		i = int64(f)
	}
	if v.OverflowInt(i) {
		d.wrong(n, path, "a smaller number")
		return
	}
	v.SetInt(i)
}

func (d *decoder) unsigned(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.scalar(n, path, "a whole number")
	if !ok {
		return
	}
	u, err := strconv.ParseUint(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil {
		d.wrong(n, path, "a whole number, not below zero")
		return
	}
	v.SetUint(u)
}

func (d *decoder) float(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.scalar(n, path, "a number")
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		d.wrong(n, path, "a number")
		return
	}
	v.SetFloat(f)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.node(n, path, "write each entry on a line of its own, after \"- \"",
			"%s must be a list; this is %s", label(path), describe(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.decode(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	pairs, ok := d.pairs(n, path)
	if !ok {
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(pairs))
	for _, p := range pairs {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(p.value, value, path+"."+p.key)
		out.SetMapIndex(reflect.ValueOf(p.key), value)
	}
	v.Set(out)
}

func (d *decoder) raw(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "a mapping")
		return
	}
	if b, ok := d.toJSON(n, path); ok {
		v.SetBytes(b)
	}
}

// structure fills a struct; keys that it does not know are mistakes, unless
// the struct has a field for the rest.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	pairs, ok := d.pairs(n, path)
	if !ok {
		return
	}
	fields, rest := fieldsOf(v.Type())
	var others []pair
	for _, p := range pairs {
		if i := slices.IndexFunc(fields, func(f field) bool { return f.name == p.key }); i >= 0 {
			d.decode(p.value, v.FieldByIndex(fields[i].index), join(path, p.key))
			continue
		}
		if rest < 0 && !(path == "" && strings.HasPrefix(p.key, "x-")) {
			d.unknown(p, path, fields)
			continue
		}
		others = append(others, p)
	}
	if rest >= 0 {
		v.Field(rest).Set(reflect.ValueOf(d.params(others, path)))
	}
}

// unknown says which key is meant, or where the key belongs.
func (d *decoder) unknown(p pair, path string, fields []field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	hint := suggest(p.key, names)
	if n := words.Near(p.key, names); n != "" {
		d.meant = append(d.meant, join(path, n))
	}
	if home := elsewhere(p.key); home != "" && words.Near(p.key, names) == "" {
		hint = home
	}
	where := ""
	if path != "" {
		where = " in " + path
	}
	d.node(p.node, join(path, p.key), hint, "unknown key %q%s", redact(words.Shorten(p.key, 60)), where)
}

// elsewhere tells where keys belong that people look for in another place.
func elsewhere(key string) string {
	switch strings.ToLower(key) {
	case "max_tokens", "temperature", "top_p", "top_k", "stop", "seed", "tools", "thinking",
		"reasoning_effort", "max_completion_tokens", "response_format":
		return "request parameters belong into models[].params"
	case "api_key", "apikey", "key", "token", "secret", "password":
		return "keys do not belong in a plan: name the variable that holds it, auth: {env: NAME}"
	case "concurrency", "rpm", "tpm", "workers", "threads", "requests_per_minute", "tokens_per_minute":
		return "limits belong into endpoints.NAME.limits"
	case "stop_when", "smallest_difference", "precision", "baseline", "alpha", "along", "average":
		return key + " belongs under compare:"
	case "prompt", "system", "target", "path", "fields", "category", "cluster", "filter", "sample", "offset", "limit",
		"on_bad_row":
		return key + " belongs under dataset:"
	case "base_url", "auth", "protocol", "timeouts", "routes", "limits":
		return key + " belongs under endpoints: NAME:"
	case "usd":
		return "a budget is written budget: {usd: 20}"
	case "price", "cost":
		return "a price belongs to its model: models[].price"
	case "provider", "providers":
		return "an endpoint is named by models[].endpoint"
	}
	return ""
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// A field is a struct field that a plan can set.
type field struct {
	name  string
	index []int // as in reflect.Value.FieldByIndex
}

// fieldsOf lists the fields by their yaml tags; rest is the index of the
// field that takes unknown keys, -1 without one. Those of an embedded struct are
// among them.
func fieldsOf(t reflect.Type) (fields []field, rest int) {
	rest = -1
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		switch {
		case option == "rest":
			rest = i
		case option == "inline":
			inner, _ := fieldsOf(t.Field(i).Type)
			for _, f := range inner {
				fields = append(fields, field{f.name, append([]int{i}, f.index...)})
			}
		case name != "":
			fields = append(fields, field{name, []int{i}})
		}
	}
	return fields, rest
}

// A pair is a key and its value; node is where the key stands.
type pair struct {
	key   string
	node  *yaml.Node
	value *yaml.Node
}

// pairs lists a mapping's pairs in the order of the file, merge keys expanded.
// A key that is written twice is a mistake.
func (d *decoder) pairs(n *yaml.Node, path string) (pairs []pair, ok bool) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "a mapping of names to values")
		return nil, false
	}
	var merged []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			d.node(key, path, "", "a key must be a text; this is %s", describe(key))
			continue
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, d.merge(value, path)...)
			continue
		}
		if line, twice := seen[key.Value]; twice {
			d.node(key, join(path, key.Value)+" (again)", "",
				"key %q appears twice; the first is on line %d", redact(key.Value), line)
			continue
		}
		seen[key.Value] = key.Line
		pairs = append(pairs, pair{key.Value, key, value})
	}
	for _, p := range merged {
		if _, own := seen[p.key]; !own {
			seen[p.key] = p.node.Line
			pairs = append(pairs, p)
		}
	}
	return pairs, true
}

// merge expands `<<: *name` and `<<: [*a, *b]`.
func (d *decoder) merge(n *yaml.Node, path string) []pair {
	n, ok := d.enter(n, path)
	if !ok {
		return nil
	}
	defer d.leave()
	switch n.Kind {
	case yaml.MappingNode:
		pairs, _ := d.pairs(n, path)
		return pairs
	case yaml.SequenceNode:
		var all []pair
		for _, item := range n.Content {
			all = append(all, d.merge(item, path)...)
		}
		return all
	}
	d.node(n, path, "", "<< takes an alias of a mapping, such as *defaults")
	return nil
}
