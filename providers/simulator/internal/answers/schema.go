package answers

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"nightshift/internal/pattern"
	"nightshift/providers/simulator/internal/random"
)

// Mentions reports whether a question speaks of a tool: names it, or has a
// word of its name in it.
func Mentions(question, tool string) bool {
	lower, name := strings.ToLower(question), strings.ToLower(tool)
	if strings.Contains(lower, name) {
		return true
	}
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		if len(w) >= 4 && !slices.Contains([]string{"tool", "current", "function", "query"}, w) &&
			strings.Contains(lower, w) {
			return true
		}
	}
	return false
}

// A schema is the part of JSON Schema that is followed when making values.
type schema struct {
	Type       json.RawMessage            `json:"type"`
	Enum       []json.RawMessage          `json:"enum"`
	Const      json.RawMessage            `json:"const"`
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required"`
	Items      json.RawMessage            `json:"items"`
	AnyOf      []json.RawMessage          `json:"anyOf"`
	Ref        string                     `json:"$ref"`
	Defs       map[string]json.RawMessage `json:"$defs"`
	Minimum    *float64                   `json:"minimum"`
	MinItems   int                        `json:"minItems"`
}

// Arguments makes the arguments of a tool call, a JSON object that follows the
// tool's schema, out of a question.
func Arguments(schema json.RawMessage, question string, s random.Seed) string {
	m := values{question: question, root: schema}
	if v := m.value("", schema, s, 0); strings.HasPrefix(v, "{") {
		return v
	}
	return "{}"
}

// values makes values for a schema out of a question.
type values struct {
	question string
	answer   string // for a property that looks like the answer
	root     json.RawMessage
}

func (m *values) value(name string, raw json.RawMessage, s random.Seed, depth int) string {
	var sc schema
	if json.Unmarshal(raw, &sc) != nil || depth > 8 {
		return `""`
	}
	switch {
	case len(sc.Const) > 0:
		return string(sc.Const)
	case len(sc.Enum) > 0:
		return m.enum(sc.Enum, s)
	case len(sc.AnyOf) > 0:
		return m.value(name, sc.AnyOf[0], s, depth+1)
	case sc.Ref != "":
		return m.value(name, m.definition(sc.Ref), s, depth+1)
	}
	switch sc.kind() {
	case "object":
		return m.object(&sc, s, depth)
	case "array":
		n := max(1, sc.MinItems)
		items := make([]string, n)
		for i := range items {
			items[i] = m.value(name, sc.Items, s.WithInt(uint64(i)), depth+1)
		}
		return "[" + strings.Join(items, ",") + "]"
	case "integer", "number":
		return m.number(&sc, s)
	case "boolean":
		return "true"
	case "null":
		return "null"
	}
	return quote(m.text(name, s))
}

// kind is the type of a schema; of several the first.
func (sc *schema) kind() string {
	var one string
	if json.Unmarshal(sc.Type, &one) == nil && one != "" {
		return one
	}
	var several []string
	if json.Unmarshal(sc.Type, &several) == nil && len(several) > 0 {
		return several[0]
	}
	if sc.Properties != nil {
		return "object"
	}
	return "string"
}

// object makes the required properties, or all of them where none is.
func (m *values) object(sc *schema, s random.Seed, depth int) string {
	names := sc.Required
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(sc.Properties))
	}
	fields := make([]string, len(names))
	for i, name := range names {
		fields[i] = quote(name) + ":" + m.value(name, sc.Properties[name], s.With(name), depth+1)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func (m *values) definition(ref string) json.RawMessage {
	var root schema
	if json.Unmarshal(m.root, &root) != nil {
		return nil
	}
	return root.Defs[ref[strings.LastIndex(ref, "/")+1:]]
}

// enum prefers the value that the question names.
func (m *values) enum(values []json.RawMessage, s random.Seed) string {
	lower := strings.ToLower(m.question)
	for _, v := range values {
		var text string
		if json.Unmarshal(v, &text) == nil && text != "" &&
			(strings.EqualFold(text, m.answer) || strings.Contains(lower, strings.ToLower(text))) {
			return string(v)
		}
	}
	return string(random.Pick(s, "enum", values))
}

func (m *values) number(sc *schema, s random.Seed) string {
	if m.answer != "" && jsonValue(m.answer) == m.answer {
		return m.answer
	}
	if n := firstNumber().FindString(m.question); n != "" {
		return n
	}
	v := float64(s.Below("number", 10))
	if sc.Minimum != nil {
		v += *sc.Minimum
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Numbers and quoted words of a question fill the arguments of tools.
var (
	firstNumber = pattern.Late(`\b\d+(?:\.\d+)?\b`)
	firstQuote  = pattern.Late(`"([^"]+)"`)
	placeName   = pattern.Late(`\b(?:in|from|to) (\p{Lu}\pL+(?: \p{Lu}\pL+)*)`)
)

// text makes a string for a property by its name.
func (m *values) text(name string, s random.Seed) string {
	lower := strings.ToLower(name)
	if m.answer != "" && (lower == "" || containsAny(lower, "answer", "result", "value", "label", "text", "output")) {
		return m.answer
	}
	if containsAny(lower, "location", "place", "destination", "city", "country") {
		if place := placeName().FindStringSubmatch(m.question); place != nil {
			return place[1]
		}
	}
	if containsAny(lower, "query", "question", "prompt", "input") {
		return Head(m.question, 200)
	}
	if quoted := firstQuote().FindStringSubmatch(m.question); quoted != nil {
		return quoted[1]
	}
	return random.Pick(s, "text", topicWords(m.question))
}

// jsonValue writes numbers as numbers, everything else as a string.
func jsonValue(v string) string {
	if _, err := strconv.ParseFloat(v, 64); err == nil && json.Valid([]byte(v)) {
		return v
	}
	return quote(v)
}

// quote writes a JSON string.
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
