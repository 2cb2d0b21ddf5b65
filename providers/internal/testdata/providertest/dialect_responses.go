package providertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

type responsesDialect struct{}

func (responsesDialect) protocol() nightshift.Protocol { return nightshift.Responses }
func (responsesDialect) auth() providers.Auth          { return providers.Auth{Scheme: providers.AuthBearer} }
func (responsesDialect) path(bool) string              { return "/v1/responses" }
func (responsesDialect) header() map[string]string     { return nil }
func (responsesDialect) request(*nightshift.Request)   {}
func (responsesDialect) keys() (id, model string)      { return "id", "model" }
func (responsesDialect) goesOn() bool                  { return false }
func (responsesDialect) maySayNothing() bool           { return false }

func (responsesDialect) checkBody(tb testing.TB, body []byte, stream bool) {
	var said struct {
		Model           string
		MaxOutputTokens int `json:"max_output_tokens"`
		Stream          bool
		Store           *bool
		Input           json.RawMessage
	}
	err := json.Unmarshal(body, &said)
	if err != nil || said.Model != Model || said.MaxOutputTokens != 64 || said.Stream != stream || len(said.Input) == 0 {
		tb.Errorf("body %s: %v", body, err)
	}
	if said.Store == nil || *said.Store {
		tb.Errorf("the server is let keep it: %s", body)
	}
}

// answer is a response object with its output.
func (responsesDialect) answer(output, tokens string) string {
	usage := ""
	if tokens != "" {
		usage = fmt.Sprintf(`,"usage":{"input_tokens":%d,"output_tokens":%s,"total_tokens":%s}`, inputTokens, tokens,
			total(tokens))
	}
	return `{"id":"resp_1","object":"response","status":"completed","model":"` + Model + `","output":` + output +
		usage + `}`
}

// message is an item of the output.
func (responsesDialect) message(content string) string {
	return `{"type":"message","id":"msg_1","role":"assistant","content":` + content + `}`
}

func (d responsesDialect) whole(text, output string) string {
	return d.answer("["+d.message(`[{"type":"output_text","text":`+text+`,"annotations":[]}]`)+"]", output)
}

func (d responsesDialect) stream(parts []string, output string) []string {
	text := joined(parts)
	item := `,"output_index":0,"item_id":"msg_1","content_index":0`
	events := []string{
		responseEvent("response.created",
			`,"response":{"id":"resp_1","object":"response","status":"in_progress","model":"`+Model+`","output":[]}`),
		responseEvent("response.output_item.added", `,"output_index":0,"item":`+d.message("[]")),
		responseEvent("response.content_part.added", item+`,"part":{"type":"output_text","text":""}`),
	}
	for _, p := range parts {
		events = append(events, responseEvent("response.output_text.delta", item+`,"delta":`+p))
	}
	content := d.message(`[{"type":"output_text","text":` + text + `}]`)
	return append(events,
		responseEvent("response.output_item.done", `,"output_index":0,"item":`+content),
		responseEvent("response.completed", `,"response":`+d.answer("["+content+"]", output)))
}

func responseEvent(name, rest string) string {
	return "event: " + name + "\ndata: " + `{"type":"` + name + `"` + rest + "}\n\n"
}

// joined is one text, in JSON, of several.
func joined(parts []string) string {
	if len(parts) == 0 {
		return `""`
	}
	text := parts[0]
	for _, p := range parts[1:] {
		text = strings.TrimSuffix(text, `"`) + strings.TrimPrefix(p, `"`)
	}
	return text
}

func (d responsesDialect) hollow(content, output string) string {
	if content == "[]" {
		return d.answer("[]", output)
	}
	return d.answer("["+d.message(content)+"]", output)
}

func (d responsesDialect) toolCall(stream bool) string {
	call := func(arguments string) string {
		return `{"type":"function_call","id":"fc_1","call_id":"call_1","name":"look","arguments":` + arguments + `}`
	}
	whole := d.answer("["+call(`"{\"a\":1}"`)+"]", notCounted)
	if !stream {
		return whole
	}
	item := `,"output_index":0,"item_id":"fc_1"`
	return responseEvent("response.created",
		`,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}`) +
		responseEvent("response.output_item.added", `,"output_index":0,"item":`+call(`""`)) +
		responseEvent("response.function_call_arguments.delta", item+`,"delta":"{\"a\""`) +
		responseEvent("response.function_call_arguments.delta", item+`,"delta":":1}"`) +
		responseEvent("response.output_item.done", `,"output_index":0,"item":`+call(`"{\"a\":1}"`)) +
		responseEvent("response.completed", `,"response":`+whole)
}

func (responsesDialect) stopped(answer string, why ending) string {
	word := map[ending]string{byUnknown: "moonset", byLength: "max_output_tokens", byRefusal: "content_filter"}[why]
	answer = strings.ReplaceAll(answer, "response.completed", "response.incomplete")
	return strings.ReplaceAll(answer, `"status":"completed"`,
		`"status":"incomplete","incomplete_details":{"reason":"`+word+`"}`)
}

func (responsesDialect) problem(_ int, kind, code, message string) string {
	return openAIProblem(kind, code, message)
}
