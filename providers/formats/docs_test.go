package formats_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/formats"
)

var update = flag.Bool("update", false, "write the table of docs/formats.md anew")

// inTable are the settings of the table, in the names and values of Chat
// Completions.
var inTable = []string{
	`"max_tokens":100`,
	`"temperature":0.5`,
	`"top_p":0.9`,
	`"top_k":40`,
	`"stop":["END"]`,
	`"seed":7`,
	`"n":2`,
	`"frequency_penalty":0.1`,
	`"presence_penalty":0.1`,
	`"logprobs":true`,
	`"logprobs":true,"top_logprobs":3`,
	`"reasoning_effort":"low"`,
	`"reasoning_effort":"none"`,
	`"response_format":{"type":"json_object"}`,
	`"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{},"strict":true}}`,
	`"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]`,
	`"tool_choice":"auto"`,
	`"tool_choice":"none"`,
	`"tool_choice":"required"`,
	`"tool_choice":{"type":"function","function":{"name":"f"}}`,
	`"parallel_tool_calls":false`,
	`"service_tier":"auto"`,
	`"user":"u"`,
}

const tool = `,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]`

// TestTableOfParameters: the table in docs/formats.md says what becomes of each
// setting in each format.
func TestTableOfParameters(t *testing.T) {
	const file = "../../docs/formats.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- table -->\n", "<!-- end of table -->"
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + parameterTable() + end + after
	if string(text) == want {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table of %s is not what the formats do; go test ./providers/formats -run Table -update writes it "+
		"anew:\n%s", file, parameterTable())
}

// conversations are the formats of conversations, those with messages first.
func conversations() (all []formats.Format) {
	for _, f := range formats.All {
		if _, texts := f.(formats.TextsFormat); !texts {
			all = append(all, f)
		}
	}
	return all
}

func parameterTable() string {
	var b strings.Builder
	b.WriteString("| Chat Completions |")
	others := slices.DeleteFunc(conversations(), func(f formats.Format) bool { return f.Protocol() == nightshift.Chat })
	for _, f := range others {
		b.WriteString(" " + f.Name() + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(others)) + "\n")
	for _, setting := range inTable {
		fmt.Fprintf(&b, "| `%s` |", asWritten(setting))
		for _, f := range others {
			b.WriteString(" " + becomes(f, setting) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// asWritten shows a setting as a plan would have it.
func asWritten(setting string) string {
	return strings.Replace(setting[1:], `":`, ": ", 1)
}

// becomes says what a setting of a Chat body becomes in a format.
func becomes(f formats.Format, setting string) string {
	more := ""
	if strings.Contains(setting, "tool_c") && !strings.Contains(setting, `"tools"`) {
		more = tool
	}
	plain, err := chatBodyIn(f, more)
	if err != nil {
		plain, err = chatBodyIn(f, "")
	}
	if err != nil {
		return "ERROR " + err.Error()
	}
	with, err := chatBodyIn(f, more+","+setting)
	if err != nil {
		return "refused"
	}
	var changes []string
	for _, path := range slices.Sorted(maps.Keys(with)) {
		if plain[path] != with[path] {
			changes = append(changes, fmt.Sprintf("`%s: %s`", path, with[path]))
		}
	}
	if changes == nil {
		return "nothing, it is the default"
	}
	return strings.ReplaceAll(strings.Join(changes, ", "), "|", `\|`)
}

// chatBodyIn brings a Chat body into a format, and returns its members by path.
func chatBodyIn(f formats.Format, settings string) (map[string]string, error) {
	limit := `,"max_tokens":64`
	if strings.Contains(settings, "max_tokens") {
		limit = ""
	}
	p, err := formats.Encode(f, nightshift.Request{
		BodyProtocol: nightshift.Chat,
		Body:         json.RawMessage(`{"model":"m","messages":[{"role":"user","content":"Hi"}]` + limit + settings + "}"),
	}, false)
	if err != nil {
		return nil, err
	}
	members := map[string]string{}
	return members, flatten("", p.Body, members)
}

// TestParamsBecomeWhatTheTableSays: a plan's parameters under Chat's names are
// written as those of a row's Chat body are.
func TestParamsBecomeWhatTheTableSays(t *testing.T) {
	for _, f := range conversations() {
		if p := f.Protocol(); p == nightshift.Chat || p == nightshift.Messages {
			continue // they take a plan's parameters as written
		}
		for _, setting := range inTable {
			var members map[string]json.RawMessage
			if err := json.Unmarshal([]byte("{"+setting+"}"), &members); err != nil {
				t.Fatal(err)
			}
			params := []nightshift.Param{{Name: "max_tokens", Value: json.RawMessage("64")}}
			for _, name := range slices.Sorted(maps.Keys(members)) {
				params = append(params, nightshift.Param{Name: name, Value: members[name]})
			}
			p, err := formats.Encode(f, nightshift.Request{
				Model: "m", Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: "Hi"}}, Params: params,
			}, false)
			want, refused := chatBodyIn(f, ","+setting)
			got := map[string]string{}
			switch {
			case err != nil && refused != nil:
			case err == nil && flatten("", p.Body, got) == nil && refused == nil && maps.Equal(got, want):
			case err == nil && len(members) == 1 && asSent(members, got): // the server may know more than the format
			default:
				t.Errorf("%s with %s: as a parameter %v (%v), in a row's body %v (%v)", f.Name(), setting, got, err, want, refused)
			}
		}
	}
}

// asSent reports whether all members are in a body as they are.
func asSent(members map[string]json.RawMessage, body map[string]string) bool {
	for name, value := range members {
		if body[name] != string(value) {
			return false
		}
	}
	return true
}

// flatten lists the members of an object by path, those of objects in it one by
// one.
func flatten(path string, object []byte, to map[string]string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return err
	}
	for name, value := range members {
		if len(value) > 2 && value[0] == '{' {
			if err := flatten(path+name+".", value, to); err != nil {
				return err
			}
			continue
		}
		to[path+name] = string(value)
	}
	return nil
}
