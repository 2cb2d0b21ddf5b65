// Package body makes request bodies: it sets fields in the text of a body
// that the user wrote, and derives from the finished text all that the rest
// of the program must know about it.
package body

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
)

// Invalid is the error for a request that no server could answer.
func Invalid(field, message, hint string) *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassInvalidRequest, Code: field, Message: message, Hint: hint}
}

// Params checks that each parameter is one JSON value, and that model, when
// it is among them, agrees with the request's. Of parameters with the same
// name the last one counts, in the place of the first.
func Params(params []nightshift.Param, model string) ([]nightshift.Param, error) {
	doc := rawjson.Borrow()
	defer doc.Return()
	out := make([]nightshift.Param, 0, len(params))
	for _, p := range params {
		v, err := doc.Scan(p.Value)
		if err != nil || doc.Loose {
			return nil, Invalid(p.Name, fmt.Sprintf("parameter %q is not valid JSON: %.80s", p.Name, p.Value), "")
		}
		if p.Name == "model" && model != "" {
			if !v.Is(model) {
				return nil, Invalid(
					"model", fmt.Sprintf("the parameters ask for model %.80s, the request for %q", p.Value, model),
					"name the model in one place only")
			}
			continue
		}
		if i := slices.IndexFunc(out, func(q nightshift.Param) bool { return q.Name == p.Name }); i >= 0 {
			out[i] = p
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// Has reports whether a parameter is among params.
func Has(params []nightshift.Param, name string) bool {
	return slices.ContainsFunc(params, func(p nightshift.Param) bool { return p.Name == name })
}

// Settings are the fields of the row's own body that a request sets, where
// model and stream stand in bodies.
func Settings(req nightshift.Request, params []nightshift.Param) (set []nightshift.Param) {
	if req.Model != "" {
		set = append(set, nightshift.Param{Name: "model", Value: rawjson.AppendString(nil, req.Model)})
	}
	set = append(set, params...)
	if req.Stream && !Has(params, "stream") {
		set = append(set, nightshift.Param{Name: "stream", Value: json.RawMessage("true")})
	}
	return set
}

// Estimate is about how many bytes a request's body will have.
func Estimate(req nightshift.Request) int {
	n := 192 + len(req.System) + len(req.System)/8
	for _, m := range req.Messages {
		n += 48 + len(m.Text) + len(m.Text)/8 + len(m.Raw)
	}
	for _, p := range req.Params {
		n += 8 + len(p.Name) + len(p.Value)
	}
	return n
}

// Append appends `,"name":value` for each parameter.
func Append(buf []byte, params []nightshift.Param) []byte {
	for _, p := range params {
		buf = append(buf, ',')
		buf = append(rawjson.AppendString(buf, p.Name), ':')
		buf = append(buf, p.Value...)
	}
	return buf
}

// Override returns the text of a body with the given fields set and those in
// drop taken out. A field that is there keeps its place; others go to the end,
// in order. Every other byte stays as it is.
func Override(raw json.RawMessage, set []nightshift.Param, drop ...string) ([]byte, error) {
	root, err := rawjson.Strict(raw)
	if err != nil {
		return nil, Invalid("body", "the request body of the row is "+err.Error(), "")
	}
	if root.Kind() != rawjson.Object {
		return nil, Invalid("body", "the request body of the row is "+root.Kind().String()+", not an object", "")
	}
	e := editor{raw: raw, out: make([]byte, 0, len(raw)+128)}
	if holdsAny(root, drop) {
		e.rebuild(root, drop)
		return Override(e.out, set)
	}
	found := make([]bool, len(set))
	for m := root.First(); m.Exists(); m = m.Next() {
		for i, p := range set {
			if m.KeyIs(p.Name) {
				found[i] = true
				e.replace(m, p.Value)
			}
		}
	}
	e.finish(root, set, found)
	return e.out, nil
}

func holdsAny(root rawjson.Value, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return root.Get(name).Exists() })
}

// An editor copies a body and changes it on the way.
type editor struct {
	raw    []byte
	out    []byte
	copied int // bytes of raw that have been dealt with
}

func (e *editor) replace(v rawjson.Value, value []byte) {
	start, end := v.Span()
	e.out = append(append(e.out, e.raw[e.copied:start]...), value...)
	e.copied = end
}

// finish adds the fields that were not found before the closing brace.
func (e *editor) finish(root rawjson.Value, set []nightshift.Param, found []bool) {
	_, end := root.Span()
	e.out = append(e.out, e.raw[e.copied:end-1]...)
	empty := !root.First().Exists()
	for i, p := range set {
		if found[i] {
			continue
		}
		if !empty {
			e.out = append(e.out, ',')
		}
		empty = false
		e.out = append(rawjson.AppendString(e.out, p.Name), ':')
		e.out = append(e.out, p.Value...)
	}
	e.out = append(e.out, e.raw[end-1:]...)
}

// rebuild writes the members that are not dropped.
func (e *editor) rebuild(root rawjson.Value, drop []string) {
	e.out = append(e.out, '{')
	for m := root.First(); m.Exists(); m = m.Next() {
		if slices.Contains(drop, m.Key()) {
			continue
		}
		if len(e.out) > 1 {
			e.out = append(e.out, ',')
		}
		e.out = append(rawjson.AppendString(e.out, m.Key()), ':')
		e.out = append(e.out, m.Raw()...)
	}
	e.out = append(e.out, '}')
}

// Finish reads a finished body back and completes p, which holds what the body
// does not say: its key, and model and stream where they stand in the URL.
// check looks at the body, measures it and sets the caps.
func Finish(buf []byte, p providers.Prepared, check func(root rawjson.Value, p *providers.Prepared) error) (
	providers.Prepared, error) {
	doc := rawjson.Borrow()
	defer doc.Return()
	root, err := doc.Scan(buf)
	if err != nil || doc.Loose {
		return providers.Prepared{}, Invalid("body", fmt.Sprintf("the request body is not valid JSON (%v)", err), "")
	}
	sum := sha256.Sum256(buf)
	p.Body, p.Hash = buf, hex.EncodeToString(sum[:])
	if p.Model == "" {
		p.Model, p.Stream = root.Get("model").String(), root.Get("stream").IsTrue()
	}
	if p.Model == "" {
		return providers.Prepared{}, Invalid("model", "the request names no model", "set the model in the plan")
	}
	if err := check(root, &p); err != nil {
		return providers.Prepared{}, err
	}
	return p, nil
}
