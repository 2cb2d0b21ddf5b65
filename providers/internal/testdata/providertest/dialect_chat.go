package providertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

type chatDialect struct{}

func (chatDialect) protocol() nightshift.Protocol { return nightshift.Chat }
func (chatDialect) auth() providers.Auth          { return providers.Auth{Scheme: providers.AuthBearer} }
func (chatDialect) path(bool) string              { return "/v1/chat/completions" }
func (chatDialect) header() map[string]string     { return nil }
func (chatDialect) request(*nightshift.Request)   {}
func (chatDialect) keys() (id, model string)      { return "id", "model" }
func (chatDialect) goesOn() bool                  { return false }
func (chatDialect) maySayNothing() bool           { return false }

func (chatDialect) checkBody(tb testing.TB, body []byte, stream bool) {
	checkMessages(tb, body, stream)
}

// checkMessages looks at a body whose conversation is a list of messages.
func checkMessages(tb testing.TB, body []byte, stream bool) {
	var said struct {
		Model     string
		MaxTokens int `json:"max_tokens"`
		Stream    bool
		Messages  []json.RawMessage
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Model != Model || said.MaxTokens != 64 ||
		said.Stream != stream || len(said.Messages) == 0 {
		tb.Errorf("body %s: %v", body, err)
	}
}

func (d chatDialect) whole(text, output string) string {
	return `{"id":"chatcmpl-1","object":"chat.completion","model":"` + Model + `","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":` + text +
		`},"finish_reason":"stop"}]` + d.usage(output) + `}`
}

// usage is the member that tells it.
func (chatDialect) usage(output string) string {
	if output == "" {
		return ""
	}
	return fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":%s,"total_tokens":%s}`, inputTokens, output,
		total(output))
}

func (d chatDialect) stream(parts []string, output string) []string {
	chunk := func(delta, finish string) string {
		return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk",` +
			`"model":"` + Model + `","choices":[{"index":0,"delta":` + delta +
			`,"finish_reason":` + finish + "}]}\n\n"
	}
	events := []string{chunk(`{"role":"assistant","content":""}`, "null")}
	for _, p := range parts {
		events = append(events, chunk(`{"content":`+p+`}`, "null"))
	}
	events = append(events, chunk(`{}`, `"stop"`))
	if output != "" {
		events = append(events, `data: {"id":"chatcmpl-1","choices":[]`+d.usage(output)+"}\n\n")
	}
	return append(events, "data: [DONE]\n\n")
}

func (d chatDialect) hollow(content, output string) string {
	if content == "[]" {
		before, after, _ := strings.Cut(d.whole(`""`, output), `"choices":[`)
		_, after, _ = strings.Cut(after, `}]`)
		return before + `"choices":[]` + after
	}
	return d.whole(content, output)
}

func (chatDialect) toolCall(stream bool) string {
	call := `{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"a\":1}"}}`
	if stream {
		return `data: {"choices":[{"index":0,"delta":{"tool_calls":[` + call + "]}}]}\n\n" +
			`data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\ndata: [DONE]\n\n"
	}
	return `{"choices":[{"index":0,"message":{"content":null,"tool_calls":[` + call + `]},"finish_reason":"tool_calls"}]}`
}

func (chatDialect) stopped(answer string, why ending) string {
	word := map[ending]string{byUnknown: "moonset", byLength: "length", byRefusal: "content_filter"}[why]
	return strings.ReplaceAll(answer, `"finish_reason":"stop"`, `"finish_reason":"`+word+`"`)
}

func (chatDialect) problem(_ int, kind, code, message string) string {
	return openAIProblem(kind, code, message)
}

// openAIProblem is an error as OpenAI, and most gateways whatever was asked,
// write it.
func openAIProblem(kind, code, message string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, kind, code)
}
