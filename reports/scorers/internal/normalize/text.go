package scorers

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// These rules decide whether our numbers agree with other tools', so they
// follow Unicode and not regexp's ASCII classes.

// isPunct reports whether r is one of the 32 ASCII punctuation marks. Curly
// quotes and dashes are not.
func isPunct(r rune) bool {
	return r < utf8.RuneSelf && r > ' ' && r != 0x7f && !isASCIIWord(r) || r == '_'
}

func isASCIIWord(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// isWord reports whether r is part of a word: a letter, a number or an
// underscore.
func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// lower is Unicode lower case, final sigma included.
func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

// fold is full case folding: ß becomes ss.
func fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Fold().String(s)
}

func removePunct(s string) string {
	return strings.Map(func(r rune) rune {
		if isPunct(r) {
			return -1
		}
		return r
	}, s)
}

func removeDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, s)
}

// removeArticles replaces the whole words a, an and the by a space. It expects
// lower-case text.
func removeArticles(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := strings.IndexFunc(s, isWord)
		if n < 0 {
			n = len(s)
		}
		b.WriteString(s[:n])
		s = s[n:]
		end := strings.IndexFunc(s, func(r rune) bool { return !isWord(r) })
		if end < 0 {
			end = len(s)
		}
		switch word := s[:end]; word {
		case "a", "an", "the":
			b.WriteByte(' ')
		default:
			b.WriteString(word)
		}
		s = s[end:]
	}
	return b.String()
}

func joinSpaces(s string) string { return strings.Join(strings.Fields(s), " ") }

// trimEnds strips white space and ASCII punctuation from both ends.
func trimEnds(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || isPunct(r) })
}

// operations are the steps of the `normalize` parameter.
var operations = map[string]func(string) string{
	"lower":    lower,
	"casefold": fold,
	"punct":    removePunct,
	"articles": removeArticles,
	"digits":   removeDigits,
	"ws":       joinSpaces,
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
	return joinSpaces(removeArticles(removePunct(lower(s))))
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
	t = fold(t)
	if _, ok := floatToken(t); !ok {
		if trimmed := trimEnds(t); isFloat(trimmed) {
			t = trimmed
		} else {
			t = removePunct(t)
		}
	}
	if f, ok := floatToken(t); ok {
		t = formatFloat(f)
	}
	return joinSpaces(removeArticles(t))
}
