package scorers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"nightshift/internal/words"
)

// A Spec names a scorer and its parameters, as a plan does.
type Spec struct {
	Type   string         // one of [Types]
	Name   string         // names the scores; empty means the type
	Params map[string]any // by parameter name; what is absent has its default
}

// Average is what the average over several datasets is called among the scores of a
// run. No scorer of such a run has this name.
const Average = "average"

// A Kind says what a scorer needs besides the answer.
type Kind string

const (
	Pure      Kind = "pure"      // nothing: use [New]
	OfCorpus  Kind = "corpus"    // nothing, but gives a statistic of all answers: use [New]
	Judged    Kind = "judge"     // a model's opinion: use [NewGrader] or [NewPairJudge]
	Embedded  Kind = "embedding" // vectors from an endpoint: use [NewEmbedder]
	OfCommand Kind = "command"   // a program of the user's: use [NewCommand]
)

// A TypeInfo describes one type of scorer.
type TypeInfo struct {
	Type    string      `json:"type"`
	Kind    Kind        `json:"kind"`
	Doc     string      `json:"doc"`
	Version string      `json:"version"`
	Params  []paramInfo `json:"params"`
	Guide
}

// A paramInfo describes one parameter.
type paramInfo struct {
	Name     string          `json:"name"`
	Type     string          `json:"type"` // string, number, bool, list, object, …
	Default  json.RawMessage `json:"default"`
	Required bool            `json:"required,omitempty"`
	Doc      string          `json:"doc"`
}

// Types lists every type of scorer by name.
func Types() []TypeInfo {
	list := make([]TypeInfo, 0, len(registry))
	for _, name := range slices.Sorted(maps.Keys(registry)) {
		list = append(list, registry[name].info)
	}
	return list
}

// Lookup finds a type of scorer; the error of an unknown one names the
// nearest.
func Lookup(name string) (TypeInfo, error) {
	k, ok := registry[name]
	if !ok {
		return TypeInfo{}, fmt.Errorf("unknown scorer %q%s", name,
			suggestion(name, slices.Collect(maps.Keys(registry))))
	}
	return k.info, nil
}

// Check reports what is wrong with a spec of any kind, without building
// anything that calls out.
func Check(spec Spec) error {
	_, err := build(spec)
	return err
}

// New builds a scorer of kind [Pure] or [OfCorpus].
func New(spec Spec) (Scorer, error) { return buildAs[Scorer](spec) }

// an entry of the registry builds one type.
type entry struct {
	info  TypeInfo
	build func(base base, params map[string]any) (any, error)
	// read checks parameters without building anything; elsewhere are the names of
	// those that are given in another place.
	read func(params map[string]any, elsewhere []string) error
}

var registry = map[string]entry{}

// base is what all scorers have in common.
type base struct{ name, kind, version, params string }

func (b base) Name() string    { return b.name }
func (b base) Type() string    { return b.kind }
func (b base) Version() string { return b.version }
func (b base) Params() string  { return b.params }

func build(spec Spec) (any, error) {
	if _, err := Lookup(spec.Type); err != nil {
		return nil, err
	}
	e := registry[spec.Type]
	b := base{name: spec.Name, kind: spec.Type, version: e.info.Version}
	if b.name == "" {
		b.name = spec.Type
	}
	var built any
	var err error
	if fields := rowFields(e.info, spec.Params); len(fields) > 0 {
		built, err = newFromRow(b, e, spec, fields)
	} else {
		built, err = e.build(b, spec.Params)
	}
	if err != nil {
		return nil, fmt.Errorf("scorer %s: %w", b.name, err)
	}
	return built, nil
}

// register adds a type. A check method of P checks what no row can change. P is a
// struct of parameters whose fields carry json names and doc texts; defaults are the
// parameters before the plan's are written over them.
func register[P, S any](name string, kind Kind, version, doc string, defaults P, make func(base, P) (S, error)) {
	info := TypeInfo{Type: name, Kind: kind, Doc: doc, Version: version, Params: describe(defaults),
		Guide: guides[name]}
	build := func(b base, params map[string]any) (any, error) {
		p, err := decode(defaults, info, params, nil)
		if err != nil {
			return nil, err
		}
		written, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		b.params = string(written)
		return make(b, p)
	}
	read := func(params map[string]any, elsewhere []string) error {
		p, err := decode(defaults, info, params, elsewhere)
		if c, ok := any(p).(interface{ check() error }); ok && err == nil {
			return c.check()
		}
		return err
	}
	registry[name] = entry{info, build, read}
}

// describe reads the parameters off a struct.
func describe(defaults any) []paramInfo {
	v := reflect.ValueOf(defaults)
	var list []paramInfo
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, _ := json.Marshal(v.Field(i).Interface())
		list = append(list, paramInfo{
			Name: name, Type: typeName(field), Default: value,
			Required: field.Tag.Get("required") == "true", Doc: field.Tag.Get("doc"),
		})
	}
	return list
}

func typeName(f reflect.StructField) string {
	if t := f.Tag.Get("type"); t != "" {
		return t
	}
	switch kind := f.Type.Kind(); kind {
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "object"
	case reflect.Int, reflect.Float64:
		return "number"
	case reflect.Pointer:
		return "number"
	default:
		return kind.String()
	}
}

// decode writes params over the defaults. Unknown names are errors, and so are
// required ones that are missing and not given elsewhere.
func decode[P any](defaults P, info TypeInfo, params map[string]any, elsewhere []string) (P, error) {
	names := make([]string, len(info.Params))
	for i, p := range info.Params {
		names[i] = p.Name
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(params)) {
		if !slices.Contains(names, key) {
			errs = append(errs, fmt.Errorf("unknown parameter %q%s", key, suggestion(key, names)))
		}
	}
	for _, p := range info.Params {
		if _, given := params[p.Name]; p.Required && !given && !slices.Contains(elsewhere, p.Name) {
			errs = append(errs, fmt.Errorf("parameter %q is missing: %s", p.Name, p.Doc))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return defaults, err
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return defaults, err
	}
	// Reading into a copy: maps and slices of the defaults are everybody's.
	var p P
	written, err := json.Marshal(defaults)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(written, &p); err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&p); err != nil {
		return p, readable(err)
	}
	return p, nil
}

// readable says which parameter is of the wrong type.
func readable(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("parameter %q: want %s, have a %s", wrong.Field, wrong.Type, wrong.Value)
	}
	return err
}

// oneOf reports a word that is not among those allowed.
func oneOf(param, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is not one of %s%s", param, value, strings.Join(quoted(allowed), ", "),
		suggestion(value, allowed))
}

func quoted(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = fmt.Sprintf("%q", w)
	}
	return out
}

// suggestion names the known word nearest to one that is not known, when it is
// near enough to have been meant.
func suggestion(word string, known []string) string {
	if near := words.Near(word, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// buildAs builds a scorer as the type that its kind has.
func buildAs[S any](spec Spec) (s S, err error) {
	built, err := build(spec)
	if err != nil {
		return s, err
	}
	s, ok := built.(S)
	if !ok {
		return s, fmt.Errorf("scorer %s is of kind %q and needs more than the answer", spec.Type,
			registry[spec.Type].info.Kind)
	}
	return s, nil
}
