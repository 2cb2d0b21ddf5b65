package providertest

import (
	"encoding/json"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

type completionsDialect struct{}

func (completionsDialect) protocol() nightshift.Protocol { return nightshift.Completions }
func (completionsDialect) auth() providers.Auth          { return providers.Auth{Scheme: providers.AuthBearer} }
func (completionsDialect) path(bool) string              { return "/v1/completions" }
func (completionsDialect) header() map[string]string     { return nil }
func (completionsDialect) keys() (id, model string)      { return "id", "model" }
func (completionsDialect) goesOn() bool                  { return false }
func (completionsDialect) maySayNothing() bool           { return false }
func (completionsDialect) toolCall(bool) string          { return "" }

// request implements the dialect: a text has no roles.
func (completionsDialect) request(r *nightshift.Request) { r.System = "" }

func (completionsDialect) checkBody(tb testing.TB, body []byte, stream bool) {
	var said struct {
		Model, Prompt string
		MaxTokens     int `json:"max_tokens"`
		Stream        bool
	}
	err := json.Unmarshal(body, &said)
	if err != nil || said.Model != Model || said.MaxTokens != 64 || said.Stream != stream || said.Prompt != "Say hello." {
		tb.Errorf("body %s: %v", body, err)
	}
}

// choice is an answer of one text.
func (completionsDialect) choice(text, finish, usage string) string {
	return `{"id":"cmpl-1","object":"text_completion","model":"` + Model + `","choices":[{"text":` + text +
		`,"index":0,"logprobs":null,"finish_reason":` + finish + `}]` + usage + `}`
}

func (d completionsDialect) whole(text, output string) string {
	return d.choice(text, `"stop"`, chatDialect{}.usage(output))
}

func (d completionsDialect) stream(parts []string, output string) (events []string) {
	for _, p := range parts {
		events = append(events, "data: "+d.choice(p, "null", "")+"\n\n")
	}
	events = append(events, "data: "+d.choice(`""`, `"stop"`, "")+"\n\n")
	if output != "" {
		usage := chatDialect{}.usage(output)
		events = append(events,
			`data: {"id":"cmpl-1","object":"text_completion","model":"`+Model+`","choices":[]`+usage+"}\n\n")
	}
	return append(events, "data: [DONE]\n\n")
}

func (d completionsDialect) hollow(content, output string) string {
	if content == "[]" {
		before, after, _ := strings.Cut(d.whole(`""`, output), `"choices":[`)
		_, after, _ = strings.Cut(after, `}]`)
		return before + `"choices":[]` + after
	}
	return d.whole(content, output)
}

func (completionsDialect) stopped(answer string, why ending) string {
	return chatDialect{}.stopped(answer, why)
}

func (completionsDialect) problem(_ int, kind, code, message string) string {
	return openAIProblem(kind, code, message)
}
