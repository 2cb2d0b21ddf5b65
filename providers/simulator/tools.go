package simulator

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// toolCalls decides which tools are called: the forced one, or those that the
// question speaks of.
func (x *exchange) toolCalls(s seed) (calls []call) {
	a := x.ask
	if len(a.tools) == 0 || a.choice.kind == "none" {
		return nil
	}
	forced := a.choice.kind == "any" || a.choice.kind == "tool"
	if n := len(a.turns); n > 0 && a.turns[n-1].result && !forced {
		return nil // the result is there: time to answer
	}
	var chosen []tool
	for _, t := range a.tools {
		switch {
		case a.choice.kind == "tool":
			if t.name == a.choice.name {
				chosen = append(chosen, t)
			}
		case spokenOf(t, a.question):
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 && forced {
		chosen = a.tools[:1]
	}
	if a.choice.single || a.legacy {
		chosen = chosen[:min(1, len(chosen))]
	}
	prefix := "toolu_01"
	if a.protocol != messages {
		prefix = "call_"
	}
	for i, t := range chosen {
		from := s.withInt(uint64(i)).with(t.name)
		calls = append(calls, call{ident(prefix, from, 22), t.name, arguments(t, a.question, from), t.custom})
	}
	return calls
}

// spokenOf reports whether a question speaks of a tool: names it, or has a
// word of its name in it.
func spokenOf(t tool, question string) bool {
	lower := strings.ToLower(question)
	name := strings.ToLower(t.name)
	if strings.Contains(lower, name) {
		return true
	}
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		if len(w) >= 4 && !slices.Contains([]string{"tool", "current", "function", "query"}, w) && strings.Contains(lower, w) {
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

func arguments(t tool, question string, s seed) string {
	if t.custom {
		return head(question, 200)
	}
	if len(t.schema) == 0 {
		return "{}"
	}
	m := maker{question: question, root: t.schema}
	v := m.value("", t.schema, s, 0)
	if !strings.HasPrefix(v, "{") {
		return "{}"
	}
	return v
}

// A maker makes values for a schema out of a question.
type maker struct {
	question string
	answer   string // for a property that looks like the answer
	root     json.RawMessage
}

func (m *maker) value(name string, raw json.RawMessage, s seed, depth int) string {
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
			items[i] = m.value(name, sc.Items, s.withInt(uint64(i)), depth+1)
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
func (m *maker) object(sc *schema, s seed, depth int) string {
	names := sc.Required
	if len(names) == 0 {
		names = sortedKeys(sc.Properties)
	}
	o := newObject()
	for _, name := range names {
		o.raw(name, m.value(name, sc.Properties[name], s.with(name), depth+1))
	}
	return o.String()
}

func (m *maker) definition(ref string) json.RawMessage {
	var root schema
	if json.Unmarshal(m.root, &root) != nil {
		return nil
	}
	return root.Defs[ref[strings.LastIndex(ref, "/")+1:]]
}

// enum prefers the value that the question names.
func (m *maker) enum(values []json.RawMessage, s seed) string {
	lower := strings.ToLower(m.question)
	for _, v := range values {
		var text string
		if json.Unmarshal(v, &text) == nil && text != "" && (strings.EqualFold(text, m.answer) || strings.Contains(lower, strings.ToLower(text))) {
			return string(v)
		}
	}
	return string(pick(s, "enum", values))
}

func (m *maker) number(sc *schema, s seed) string {
	if m.answer != "" && jsonValue(m.answer) == m.answer {
		return m.answer
	}
	if n := firstNumber.FindString(m.question); n != "" {
		return n
	}
	v := float64(s.below("number", 10))
	if sc.Minimum != nil {
		v += *sc.Minimum
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Numbers and quoted words of a question fill the arguments of tools.
var (
	firstNumber = regexp.MustCompile(`\b\d+(?:\.\d+)?\b`)
	firstQuote  = regexp.MustCompile(`"([^"]+)"`)
	placeName   = regexp.MustCompile(`\b(?:in|from|to) (\p{Lu}\pL+(?: \p{Lu}\pL+)*)`)
)

// text makes a string for a property by its name.
func (m *maker) text(name string, s seed) string {
	lower := strings.ToLower(name)
	if m.answer != "" && (lower == "" || containsAny(lower, "answer", "result", "value", "label", "text", "output")) {
		return m.answer
	}
	if containsAny(lower, "location", "place", "destination", "city", "country") {
		if place := placeName.FindStringSubmatch(m.question); place != nil {
			return place[1]
		}
	}
	if containsAny(lower, "query", "question", "prompt", "input") {
		return head(m.question, 200)
	}
	if quoted := firstQuote.FindStringSubmatch(m.question); quoted != nil {
		return quoted[1]
	}
	return pick(s, "text", topicWords(m.question))
}

// sayJSON answers in JSON, by the schema where there is one.
func (x *exchange) sayJSON(s seed) string {
	a := x.ask
	answer, ok := x.known(s)
	if a.schema != nil {
		m := maker{question: a.question, answer: answer, root: a.schema}
		return m.value("", a.schema, s, 0)
	}
	if !ok {
		return `{"answer":` + quote(prose(a.question, 0.3, s)) + "}"
	}
	if strings.HasPrefix(answer, "{") {
		return answer
	}
	return `{"answer":` + jsonValue(answer) + "}"
}

// jsonValue writes numbers as numbers, everything else as a string.
func jsonValue(v string) string {
	if _, err := strconv.ParseFloat(v, 64); err == nil && json.Valid([]byte(v)) {
		return v
	}
	return quote(v)
}
