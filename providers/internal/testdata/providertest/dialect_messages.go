package providertest

import (
	"fmt"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

type messagesDialect struct{}

func (messagesDialect) protocol() nightshift.Protocol { return nightshift.Messages }
func (messagesDialect) auth() providers.Auth          { return providers.Auth{Scheme: providers.AuthXAPI} }
func (messagesDialect) path(bool) string              { return "/v1/messages" }
func (messagesDialect) request(*nightshift.Request)   {}
func (messagesDialect) keys() (id, model string)      { return "id", "model" }
func (messagesDialect) goesOn() bool                  { return false }
func (messagesDialect) maySayNothing() bool           { return false }

func (messagesDialect) header() map[string]string {
	return map[string]string{"Anthropic-Version": "2023-06-01"}
}

func (messagesDialect) checkBody(tb testing.TB, body []byte, stream bool) {
	checkMessages(tb, body, stream)
}

func (messagesDialect) whole(text, output string) string {
	usage := ""
	if output != "" {
		usage = fmt.Sprintf(`,"usage":{"input_tokens":%d,"output_tokens":%s}`, inputTokens, output)
	}
	return `{"id":"msg_1","type":"message","role":"assistant","model":"` + Model + `","content":[{"type":"text",` +
		`"text":` + text +
		`}],"stop_reason":"end_turn","stop_sequence":null` + usage + `}`
}

func (messagesDialect) stream(parts []string, output string) []string {
	event := func(name, rest string) string {
		return "event: " + name + "\ndata: " + `{"type":"` + name + `"` + rest + "}\n\n"
	}
	in, out := "", ""
	if output != "" {
		in = fmt.Sprintf(`,"usage":{"input_tokens":%d,"output_tokens":1}`, inputTokens)
		out = `,"usage":{"output_tokens":` + output + `}`
	}
	events := []string{
		event("message_start",
			`,"message":{"id":"msg_1","type":"message","role":"assistant","model":"`+Model+`","content":[],`+
				`"stop_reason":null`+in+`}`),
		event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
		event("ping", ""),
	}
	for _, p := range parts {
		events = append(events, event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":`+p+`}`))
	}
	return append(events,
		event("content_block_stop", `,"index":0`),
		event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null}`+out),
		event("message_stop", ""))
}

func (d messagesDialect) hollow(content, output string) string {
	return strings.Replace(d.whole(`""`, output), `[{"type":"text","text":""}]`, content, 1)
}

func (messagesDialect) toolCall(stream bool) string {
	if !stream {
		return `{"type":"message","content":[{"type":"tool_use","id":"call_1","name":"look","input":{"a":1}}],` +
			`"stop_reason":"tool_use"}`
	}
	return dataEvents(
		`{"type":"message_start","message":{"id":"m","content":[]}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"call_1","name":"look","input":{}}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":":1}"}}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use"}}`,
		`{"type":"message_stop"}`)
}

// dataEvents are events of a stream that have no name.
func dataEvents(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

func (messagesDialect) stopped(answer string, why ending) string {
	word := map[ending]string{byUnknown: "moonset", byLength: "max_tokens", byRefusal: "refusal"}[why]
	return strings.ReplaceAll(answer, `"stop_reason":"end_turn"`, `"stop_reason":"`+word+`"`)
}

func (messagesDialect) problem(_ int, kind, _, message string) string {
	return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_1"}`, kind, message)
}
