package scorers

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nightshift/reports/scorers/internal/jsonvalue"
	"nightshift/reports/scorers/internal/numbers"
)

type jsonValidParams struct {
	ContainerOnly bool `json:"container_only" doc:"only objects and arrays will do"`
}

type jsonValid struct {
	base
	p jsonValidParams
}

func newJSONValid(b base, p jsonValidParams) (*jsonValid, error) { return &jsonValid{b, p}, nil }

func (s *jsonValid) Score(a Answer, _ *Target) Result {
	v, err := jsonvalue.Parse(a.Text)
	if err != nil {
		return scored(0).because("not JSON: %v", err)
	}
	if s.p.ContainerOnly && !jsonvalue.IsContainer(v) {
		return scored(0).because("neither object nor array")
	}
	return scored(1)
}

type jsonSchemaParams struct {
	Schema  json.RawMessage `json:"schema" type:"object" required:"true" doc:"JSON Schema, draft 2020-12; references to other documents are refused"`
	Extract string          `json:"extract" doc:"where the JSON is: none (the whole answer), fenced (the first code block), first (the first object or array, which must parse) or auto (the whole answer, else the block, else the first)"`
}

type jsonSchema struct {
	base
	extract string
	schema  *jsonschema.Schema
}

// noDocuments refuses to load schemas from files and the net: a plan must not
// read what it does not name.
type noDocuments struct{}

func (noDocuments) Load(url string) (any, error) {
	return nil, errors.New("references to other documents are refused")
}

func newJSONSchema(b base, p jsonSchemaParams) (*jsonSchema, error) {
	if err := oneOf("extract", p.Extract, jsonvalue.ExtractRules...); err != nil {
		return nil, err
	}
	v, err := jsonvalue.Parse(string(p.Schema))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if s, ok := v.(string); ok { // a schema written as text
		if v, err = jsonvalue.Parse(s); err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noDocuments{})
	const at = "plan:///schema.json"
	if err := c.AddResource(at, v); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	schema, err := c.Compile(at)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return &jsonSchema{b, p.Extract, schema}, nil
}

func (s *jsonSchema) Score(a Answer, _ *Target) Result {
	v, why := jsonvalue.Extract(a.Text, s.extract)
	if why != "" {
		if s.extract != "none" {
			return noAnswer(why)
		}
		return scored(0).because("%s", why)
	}
	if !readableNumbers(v) {
		return scored(0).because("a number is out of any range")
	}
	if err := s.schema.Validate(v); err != nil {
		return scored(0).because("%s", firstViolation(err))
	}
	return scored(1)
}

// readableNumbers reports whether all numbers have exponents that can be
// computed with; the validator turns them into fractions.
func readableNumbers(v any) bool {
	if n, ok := v.(json.Number); ok {
		if !strings.ContainsAny(n.String(), "eE") {
			return true
		}
		d, ok := numbers.Parse(n.String())
		return ok && d.Computable()
	}
	switch v := v.(type) {
	case map[string]any:
		for _, c := range v {
			if !readableNumbers(c) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(c any) bool { return !readableNumbers(c) })
	}
	return true
}

// firstViolation is the first leaf of a validation error, without the name of
// our schema document.
func firstViolation(err error) string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return err.Error()
	}
	for len(v.Causes) > 0 {
		v = slices.MinFunc(v.Causes, func(a, b *jsonschema.ValidationError) int {
			return slices.Compare(a.InstanceLocation, b.InstanceLocation)
		})
	}
	at := ""
	for _, step := range v.InstanceLocation {
		at += "/" + step
	}
	return fmt.Sprintf("at %q: %s", at, v.ErrorKind.LocalizedString(printer))
}

type jsonEqualParams struct {
	IgnoreFields []string    `json:"ignore_fields" doc:"paths to leave out (a.b.0.c, * for any step)"`
	Fields       []string    `json:"fields" doc:"compare these paths only; the score is the share that match"`
	AbsTol       json.Number `json:"abs_tol" type:"number" doc:"numbers are equal when no further apart than this"`
	Extract      string      `json:"extract" doc:"where the JSON is: none (the whole answer), fenced (the first code block), first (the first object or array, which must parse) or auto (the whole answer, else the block, else the first)"`
	Compat       string      `json:"compat" doc:"openai_evals: null equals nothing, a missing key is null, true equals 1"`
}

type jsonEqual struct {
	base
	p              jsonEqualParams
	ignore, fields []jsonvalue.Path
	equality       jsonvalue.Equality
}

func newJSONEqual(b base, p jsonEqualParams) (*jsonEqual, error) {
	s := &jsonEqual{base: b, p: p, equality: jsonvalue.Equality{NeverNull: p.Compat == "openai_evals"}}
	for _, f := range p.IgnoreFields {
		s.ignore = append(s.ignore, jsonvalue.ParsePath(f))
	}
	for _, f := range p.Fields {
		s.fields = append(s.fields, jsonvalue.ParsePath(f))
	}
	abs, err := absTolerance(p.AbsTol)
	s.equality.Tol.Abs = abs
	return s, errors.Join(err,
		oneOf("extract", p.Extract, jsonvalue.ExtractRules...),
		oneOf("compat", p.Compat, "", "openai_evals"))
}

func (s *jsonEqual) Score(a Answer, target *Target) Result {
	targets, err := jsonTargets(target)
	if err != nil {
		return unscored("%v", err)
	}
	v, why := jsonvalue.Extract(a.Text, s.p.Extract)
	if why != "" {
		return noAnswer(why)
	}
	var top Result
	for i, t := range targets {
		if r := s.one(v, t); i == 0 || r.beats(top) {
			top = r
		}
	}
	return top.sameAs(jsonvalue.Canonical(s.compared(v)))
}

// compared is the part of a value that decides; fields to ignore have been
// dropped.
func (s *jsonEqual) compared(v any) any {
	if len(s.fields) == 0 {
		return v
	}
	parts := make([]any, len(s.fields))
	for i, p := range s.fields {
		parts[i], _ = p.At(v)
	}
	return parts
}

func (s *jsonEqual) one(v, target any) Result {
	for _, p := range s.ignore {
		p.Drop(v)
		p.Drop(target)
	}
	if len(s.fields) == 0 {
		return verdict(s.equality.Equal(v, target))
	}
	same := 0
	var differ []string
	for i, p := range s.fields {
		x, inX := p.At(v)
		y, inY := p.At(target)
		if inX == inY && (!inX || s.equality.Equal(x, y)) {
			same++
		} else {
			differ = append(differ, s.p.Fields[i])
		}
	}
	r := scored(float64(same) / float64(len(s.fields)))
	if len(differ) > 0 {
		r = r.because("differ: %v", differ)
	}
	return r
}

type jsonSimilarityParams struct {
	Extract string `json:"extract" doc:"where the JSON is: none (the whole answer), fenced (the first code block), first (the first object or array, which must parse) or auto (the whole answer, else the block, else the first)"`
}

type jsonSimilarity struct {
	base
	extract string
}

func newJSONSimilarity(b base, p jsonSimilarityParams) (*jsonSimilarity, error) {
	return &jsonSimilarity{b, p.Extract}, oneOf("extract", p.Extract, jsonvalue.ExtractRules...)
}

func (s *jsonSimilarity) Score(a Answer, target *Target) Result {
	targets, err := jsonTargets(target)
	if err != nil {
		return unscored("%v", err)
	}
	v, why := jsonvalue.Extract(a.Text, s.extract)
	if why != "" {
		return noAnswer(why)
	}
	top := 0.0
	for _, t := range targets {
		top = max(top, similarity(v, t))
	}
	return scored(top)
}

// similarity of two JSON values, after the JSON difference of Braintrust's
// autoevals: objects by the mean over all keys, arrays over aligned members,
// texts by edit distance, numbers by relative difference. Values of different
// kinds are compared as texts.
func similarity(a, b any) float64 {
	if a == nil || b == nil {
		if a == nil && b == nil {
			return 1
		}
		return 0
	}
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			return objectSimilarity(x, y)
		}
	case []any:
		if y, ok := b.([]any); ok {
			return arraySimilarity(x, y)
		}
	case string:
		if y, ok := b.(string); ok {
			return levenshteinRatio(x, y)
		}
	case bool:
		if y, ok := b.(bool); ok {
			return *verdict(x == y).Value
		}
	case json.Number:
		if y, ok := b.(json.Number); ok {
			return numberSimilarity(x, y)
		}
	}
	return levenshteinRatio(jsonvalue.Canonical(a), jsonvalue.Canonical(b))
}

func objectSimilarity(x, y map[string]any) float64 {
	keys := map[string]bool{}
	for k := range x {
		keys[k] = true
	}
	for k := range y {
		keys[k] = true
	}
	if len(keys) == 0 {
		return 1
	}
	sum := 0.0
	for _, k := range slices.Sorted(maps.Keys(keys)) { // in order: sums must not depend on chance
		sum += similarity(x[k], y[k])
	}
	return sum / float64(len(keys))
}

func arraySimilarity(x, y []any) float64 {
	if len(x) == 0 && len(y) == 0 {
		return 1
	}
	sum := 0.0
	for i := range min(len(x), len(y)) {
		sum += similarity(x[i], y[i])
	}
	return sum / float64(max(len(x), len(y)))
}

func numberSimilarity(x, y json.Number) float64 {
	a, okA := numbers.Parse(x.String())
	b, okB := numbers.Parse(y.String())
	if a == b && okA && okB {
		return 1
	}
	f, g := a.Float(), b.Float()
	if abs(f)+abs(g) == 0 || abs(f)+abs(g) > maxFloat {
		return 0
	}
	return 1 - abs(f-g)/(abs(f)+abs(g))
}

// jsonTargets reads a target as JSON values: one, or several where the target
// is a list of texts that are JSON objects or arrays themselves.
func jsonTargets(target *Target) ([]any, error) {
	if target == nil {
		return nil, errors.New(missingTarget)
	}
	if several := jsonTexts(target.Texts); several != nil {
		return several, nil
	}
	v, err := jsonvalue.Parse(target.Text)
	if err != nil {
		return nil, errors.New("the row's target is not JSON: " + err.Error())
	}
	if s, ok := v.(string); ok {
		if inner, err := jsonvalue.Parse(s); err == nil {
			v = inner
		}
	}
	return []any{v}, nil
}

// jsonTexts parses a list whose members are all texts of objects or arrays;
// nil for any other.
func jsonTexts(list []string) []any {
	var out []any
	for _, s := range list {
		v, err := jsonvalue.Parse(s)
		if err != nil || !jsonvalue.IsContainer(v) {
			return nil
		}
		out = append(out, v)
	}
	return out
}

// absTolerance is the tolerance as a fraction, or nil for 0.
func absTolerance(text json.Number) (*big.Rat, error) {
	t, err := numbers.ParseTolerance(text, "0")
	return t.Abs, err
}

func init() {
	register("json_valid", Pure, "1", "the whole answer is JSON", jsonValidParams{}, newJSONValid)
	register("json_schema", Pure, "2", "the answer is JSON that a schema accepts", jsonSchemaParams{Extract: "none"},
		newJSONSchema)
	register("json_equal", Pure, "2", "the answer is JSON equal to the target, by value",
		jsonEqualParams{IgnoreFields: []string{}, Fields: []string{}, AbsTol: "0", Extract: "none"}, newJSONEqual)
	register("json_similarity", Pure, "2", "the answer is JSON that resembles the target",
		jsonSimilarityParams{Extract: "none"}, newJSONSimilarity)
}
