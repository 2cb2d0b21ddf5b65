package scorers

import (
	"encoding/json"
	"fmt"
	"strings"

	"nightshift/reports/scorers/internal/normalize"
	"nightshift/reports/scorers/internal/numbers"
)

// operations are the steps of the `normalize` parameter.
var operations = map[string]func(string) string{
	"lower":    normalize.Lower,
	"casefold": normalize.Fold,
	"punct":    normalize.RemovePunct,
	"articles": normalize.RemoveArticles,
	"digits":   normalize.RemoveDigits,
	"ws":       normalize.JoinSpaces,
	"strip":    strings.TrimSpace,
}

var operationNames = []string{"lower", "casefold", "punct", "articles", "digits", "ws", "strip"}

// presets are well-known sequences of steps. inspect is no sequence of them.
var presets = map[string][]string{
	"squad": {"lower", "punct", "articles", "ws"},
}

// steps is a list of operations, or the name of a preset.
type steps struct {
	Preset string
	List   []string
}

func (s steps) MarshalJSON() ([]byte, error) {
	if s.Preset != "" {
		return json.Marshal(s.Preset)
	}
	return json.Marshal(append([]string{}, s.List...))
}

func (s *steps) UnmarshalJSON(raw []byte) error {
	*s = steps{}
	if json.Unmarshal(raw, &s.Preset) == nil {
		return nil
	}
	if json.Unmarshal(raw, &s.List) != nil {
		return fmt.Errorf("normalize: want a list of steps or the name of a preset, have %s", raw)
	}
	return nil
}

// normalizer returns the function that the steps describe.
func (s steps) normalizer() (func(string) string, error) {
	if s.Preset == "inspect" {
		return inspectText, nil
	}
	list := s.List
	if s.Preset != "" {
		var known bool
		if list, known = presets[s.Preset]; !known {
			if _, step := operations[s.Preset]; !step {
				return nil, oneOf("normalize", s.Preset, append([]string{"squad", "inspect"}, operationNames...)...)
			}
			list = []string{s.Preset}
		}
	}
	for _, name := range list {
		if _, ok := operations[name]; !ok {
			return nil, oneOf("normalize", name, operationNames...)
		}
	}
	return func(text string) string {
		for _, name := range list {
			text = operations[name](text)
		}
		return text
	}, nil
}

func squadText(s string) string {
	return normalize.JoinSpaces(normalize.RemoveArticles(normalize.RemovePunct(normalize.Lower(s))))
}

// inspectText normalises as the exact and f1 scorers of Inspect do: by token,
// with numbers written as floats.
func inspectText(s string) string { return strings.Join(inspectTokens(s), " ") }

func inspectTokens(s string) []string {
	var tokens []string
	for _, t := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '-' }) {
		if t = inspectToken(t); t != "" {
			tokens = append(tokens, t)
		}
	}
	return tokens
}

func inspectToken(t string) string {
	t = normalize.Fold(t)
	if _, ok := numbers.FloatToken(t); !ok {
		if trimmed := normalize.TrimEnds(t); numbers.IsFloat(trimmed) {
			t = trimmed
		} else {
			t = normalize.RemovePunct(t)
		}
	}
	if f, ok := numbers.FloatToken(t); ok {
		t = numbers.FormatFloat(f)
	}
	return normalize.JoinSpaces(normalize.RemoveArticles(t))
}
