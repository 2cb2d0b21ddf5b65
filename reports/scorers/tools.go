package scorers

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nightshift"
	"nightshift/reports/scorers/internal/jsonvalue"
	"nightshift/reports/scorers/internal/normalize"
)

// A call is a tool call with its arguments parsed.
type call struct {
	name string
	args any
	key  string // equal for equal calls
}

// madeCalls reads the model's calls. Arguments that are not JSON equal only
// the same words.
func madeCalls(calls []nightshift.ToolCall) []call {
	out := make([]call, len(calls))
	for i, c := range calls {
		text := strings.TrimSpace(c.Arguments)
		if text == "" {
			text = "{}"
		}
		args, err := jsonvalue.Parse(text)
		if err != nil {
			out[i] = call{c.Name, nil, c.Name + " broken " + c.Arguments}
			continue
		}
		out[i] = newCall(c.Name, args)
	}
	return out
}

func newCall(name string, args any) call {
	return call{name, args, name + " " + jsonvalue.Canonical(args)}
}

// wantedCalls reads a target: a JSON list of calls, one call, a list of names,
// or names between commas. A call is {name, args} or {name, arguments}, or as
// it stands in a request or an answer: {function: {name, arguments}},
// {name, input}.
func wantedCalls(target *Target) ([]call, error) {
	if target == nil {
		return nil, errors.New(missingTarget)
	}
	v, err := jsonvalue.Parse(target.Text)
	if err != nil {
		return namedCalls(target.Text)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]call, len(list))
	for i, e := range list {
		if out[i], err = wantedCall(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// namedCalls reads names between commas.
func namedCalls(text string) ([]call, error) {
	var out []call
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name == "" || strings.ContainsAny(name, "{}[]\"") {
			return nil, fmt.Errorf("the row's target is neither a list of tool calls nor of names: %q", shorten(text))
		}
		out = append(out, newCall(name, map[string]any{}))
	}
	return out, nil
}

func wantedCall(v any) (call, error) {
	if name, ok := v.(string); ok {
		return newCall(name, map[string]any{}), nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return call{}, fmt.Errorf("a tool call in the row's target is neither an object nor a name")
	}
	if inner, ok := m["function"].(map[string]any); ok {
		m = inner
	}
	name, ok := m["name"].(string)
	if !ok {
		return call{}, fmt.Errorf("a tool call in the row's target has no name")
	}
	for _, key := range []string{"args", "arguments", "input"} {
		args, there := m[key]
		if !there {
			continue
		}
		if text, ok := args.(string); ok {
			parsed, err := jsonvalue.Parse(text)
			if err != nil {
				return call{}, fmt.Errorf("the arguments of %s in the row's target are not JSON: %w", name, err)
			}
			args = parsed
		}
		return newCall(name, args), nil
	}
	return newCall(name, map[string]any{}), nil
}

type toolsParams struct {
	Threshold float64 `json:"threshold" doc:"below this the explanation says so; the value is the F1 either way"`
}

// toolsF1 compares calls by a key.
type toolsF1 struct {
	base
	threshold float64
	key       func(call) string
	f1        func(made, wanted []string) float64
}

func newToolNames(b base, p toolsParams) (*toolsF1, error) {
	return &toolsF1{b, p.Threshold, func(c call) string { return c.name }, setF1}, nil
}

func newToolCalls(b base, p toolsParams) (*toolsF1, error) {
	return &toolsF1{b, p.Threshold, func(c call) string { return c.key }, multisetF1}, nil
}

func (s *toolsF1) Score(a Answer, target *Target) Result {
	want, err := wantedCalls(target)
	if err != nil {
		return unscored("%v", err)
	}
	made := s.keys(madeCalls(a.ToolCalls))
	f := s.f1(made, s.keys(want))
	if len(made) == 0 && len(want) == 0 {
		f = 1 // no tool was to be called, and none was
	}
	slices.Sort(made)
	r := scored(f).extracted(strings.Join(made, ", ")).sameAs(strings.Join(made, ", "))
	if f < s.threshold {
		r = r.because("F1 is below %v", s.threshold)
	}
	return r
}

func (s *toolsF1) keys(calls []call) []string {
	keys := make([]string, len(calls))
	for i, c := range calls {
		keys[i] = s.key(c)
	}
	return keys
}

type toolASTParams struct {
	Functions json.RawMessage `json:"functions" type:"list" required:"true" doc:"the tools' descriptions: name and parameters (properties, required), as in a request or as the Berkeley leaderboard writes them"`
}

// toolAST checks calls as the Berkeley Function Calling Leaderboard does.
type toolAST struct {
	base
	functions map[string]function
}

type function struct {
	properties map[string]any
	required   []string
}

func newToolAST(b base, p toolASTParams) (*toolAST, error) {
	v, err := jsonvalue.Parse(string(p.Functions))
	if err != nil {
		return nil, fmt.Errorf("functions: %w", err)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	s := &toolAST{b, map[string]function{}}
	for _, e := range list {
		name, f, err := readFunction(e)
		if err != nil {
			return nil, fmt.Errorf("functions: %w", err)
		}
		s.functions[name] = f
	}
	if len(s.functions) == 0 {
		return nil, errors.New("functions: the list is empty")
	}
	return s, nil
}

func readFunction(v any) (name string, f function, err error) {
	m, _ := v.(map[string]any)
	if inner, ok := m["function"].(map[string]any); ok {
		m = inner
	}
	name, _ = m["name"].(string)
	if name == "" {
		return "", f, errors.New("a function has no name")
	}
	parameters, _ := m["parameters"].(map[string]any)
	if parameters == nil {
		parameters, _ = m["input_schema"].(map[string]any)
	}
	f.properties, _ = parameters["properties"].(map[string]any)
	required, _ := parameters["required"].([]any)
	for _, r := range required {
		if word, ok := r.(string); ok {
			f.required = append(f.required, word)
		}
	}
	return name, f, nil
}

func (s *toolAST) Score(a Answer, target *Target) Result {
	want, err := wantedCalls(target)
	if err != nil {
		return unscored("%v", err)
	}
	for _, w := range want {
		if _, known := s.functions[w.name]; !known {
			return unscored("the row's target calls %s, which is none of the functions", w.name)
		}
		if _, ok := w.args.(map[string]any); !ok {
			return unscored("the arguments of %s in the row's target are not an object", w.name)
		}
	}
	made := madeCalls(a.ToolCalls)
	if len(made) != len(want) {
		return scored(0).because("%d calls, want %d", len(made), len(want))
	}
	return s.matchAll(made, want)
}

// matchAll gives each wanted call one that was made, in any order.
func (s *toolAST) matchAll(made, want []call) Result {
	used := make([]bool, len(made))
	for _, w := range want {
		why, hit := "", false
		for i, m := range made {
			if used[i] {
				continue
			}
			if why = s.mismatch(m, w); why == "" {
				used[i], hit = true, true
				break
			}
		}
		if !hit {
			return scored(0).because("%s", why)
		}
	}
	return scored(1)
}

// mismatch says in what a call differs from what is allowed; empty when in
// nothing.
func (s *toolAST) mismatch(made, want call) string {
	if made.name != want.name {
		return fmt.Sprintf("called %s, want %s", made.name, want.name)
	}
	args, ok := made.args.(map[string]any)
	if !ok {
		return "the arguments are not an object"
	}
	f, allowed := s.functions[want.name], want.args.(map[string]any)
	for _, name := range f.required {
		if _, there := args[name]; !there {
			return fmt.Sprintf("%s: the required argument %s is missing", made.name, name)
		}
	}
	for name, value := range args {
		values, expected := allowed[name].([]any)
		property, declared := f.properties[name].(map[string]any)
		if !expected || !declared {
			return fmt.Sprintf("%s: the argument %s is not expected", made.name, name)
		}
		if !allows(property, value, values) {
			return fmt.Sprintf("%s: %s is %s, want one of %s", made.name, name, jsonvalue.Canonical(value),
				jsonvalue.Canonical(values))
		}
	}
	for name, values := range allowed {
		if _, there := args[name]; !there && !optional(values) {
			return fmt.Sprintf("%s: the argument %s is missing", made.name, name)
		}
	}
	return ""
}

// optional: an empty text among the allowed values means that the argument may
// be left out.
func optional(values any) bool {
	list, _ := values.([]any)
	for _, v := range list {
		if v == "" {
			return true
		}
	}
	return false
}

// allows checks type and value of one argument. A value of another type than
// declared passes when the target allows that very type (a variable's name
// where a number is declared).
func allows(property map[string]any, value any, values []any) bool {
	declared, _ := property["type"].(string)
	if !ofType(declared, value) {
		return sameKindAllowed(value, values) && oneEqual(value, values)
	}
	switch v := value.(type) {
	case map[string]any:
		return objectAllowed(v, values)
	case []any:
		return listAllowed(property, v, values)
	}
	return oneEqual(value, values)
}

func ofType(declared string, v any) bool {
	switch v := v.(type) {
	case string:
		return declared == "string" || declared == "any" || declared == ""
	case bool:
		return declared == "boolean" || declared == ""
	case json.Number:
		integer := kindOf(v) != "float"
		return declared == "float" || declared == "number" || declared == "" || declared == "integer" && integer
	case []any:
		return declared == "array" || declared == "tuple" || declared == ""
	case map[string]any:
		return declared == "dict" || declared == "object" || declared == ""
	}
	return false
}

// sameKindAllowed reports whether the first allowed value that is not the mark
// of an optional argument is of the same JSON type.
func sameKindAllowed(value any, values []any) bool {
	for _, v := range values {
		if v != "" {
			return kindOf(v) == kindOf(value)
		}
	}
	return false
}

// kindOf names a JSON type, integers apart from other numbers.
func kindOf(v any) string {
	if n, ok := v.(json.Number); ok && strings.ContainsAny(n.String(), ".eE") {
		return "float"
	}
	return fmt.Sprintf("%T", v)
}

func oneEqual(value any, values []any) bool {
	for _, v := range values {
		if (jsonvalue.Equality{}).Equal(plain(value), plain(v)) {
			return true
		}
	}
	return false
}

var loose = strings.NewReplacer(" ", "", ",", "", ".", "", "/", "", "-", "", "_", "", "*", "", "^", "", "'", `"`)

// plain standardises texts, also inside lists: lower case, without spaces and
// ,./-_*^.
func plain(v any) any {
	switch v := v.(type) {
	case string:
		return normalize.Lower(loose.Replace(v))
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	}
	return v
}

// objectAllowed checks an object against objects whose members are lists of
// allowed values.
func objectAllowed(value map[string]any, values []any) bool {
	for _, v := range values {
		if allowed, ok := v.(map[string]any); ok && membersAllowed(value, allowed) {
			return true
		}
	}
	return false
}

func membersAllowed(value, allowed map[string]any) bool {
	for key, v := range value {
		list, ok := allowed[key].([]any)
		if !ok || !oneEqual(v, list) {
			return false
		}
	}
	for key, list := range allowed {
		if _, there := value[key]; !there && !optional(list) {
			return false
		}
	}
	return true
}

// listAllowed checks a list against the allowed lists; lists of objects go
// member by member.
func listAllowed(property map[string]any, value []any, values []any) bool {
	items, _ := property["items"].(map[string]any)
	of, _ := items["type"].(string)
	for _, v := range value {
		if of != "" && !ofType(of, v) {
			return false
		}
	}
	if of != "dict" && of != "object" {
		return oneEqual(value, values)
	}
	for _, v := range values {
		if allowed, ok := v.([]any); ok && eachAllowed(value, allowed) {
			return true
		}
	}
	return false
}

func eachAllowed(value, allowed []any) bool {
	if len(value) != len(allowed) {
		return false
	}
	for i := range value {
		v, ok := value[i].(map[string]any)
		if !ok || !objectAllowed(v, allowed[i:i+1]) {
			return false
		}
	}
	return true
}

func init() {
	register("tool_names_f1", Pure, "1", "the names of the called tools, as a set, against the expected ones",
		toolsParams{Threshold: 1}, newToolNames)
	register("tool_calls_f1", Pure, "2", "tool calls with their arguments against the expected ones; a call that is "+
		"wanted twice must be made twice", toolsParams{Threshold: 1}, newToolCalls)
	register("tool_ast", Pure, "1", "tool calls with typed arguments against lists of allowed values", toolASTParams{},
		newToolAST)
}
