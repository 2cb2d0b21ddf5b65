package providertest

import (
	"fmt"
	"net/http"
	"strings"

	"nightshift"
)

// A Case is one of the forms in which every fault and every good answer is
// tried: a wire format, streamed or not.
type Case struct {
	Protocol nightshift.Protocol
	Stream   bool
}

// Cases are all forms.
func Cases() []Case {
	return []Case{{nightshift.Messages, false}, {nightshift.Messages, true}, {nightshift.Chat, false}, {nightshift.Chat, true}}
}

func (c Case) String() string {
	if c.Stream {
		return string(c.Protocol) + "/stream"
	}
	return string(c.Protocol) + "/whole"
}

// Request is what the suite asks in every case.
func (c Case) Request() nightshift.Request {
	return nightshift.Request{
		Model:    Model,
		System:   "Be brief.",
		Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: "Say hello."}},
		Params:   []nightshift.Param{{Name: "max_tokens", Value: []byte("64")}},
		Stream:   c.Stream,
		Key:      "row-1",
	}
}

// What the suite's servers answer.
const (
	Model = "test-model-1"
	Text  = "Hello there."
	head  = "Hello" // the first part of a streamed Text
	tail  = " there."

	inputTokens  = 7
	outputTokens = 3
)

// good is the whole answer in a case.
func (c Case) good() string {
	if c.Stream {
		return strings.Join(c.events(), "")
	}
	return c.whole(quote(Text), true)
}

// quote is a text in JSON, for texts that need no more than quotes.
func quote(s string) string { return `"` + s + `"` }

// whole is an answer that is not streamed, with a text in JSON.
func (c Case) whole(text string, usage bool) string {
	if c.Protocol == nightshift.Chat {
		u := fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, inputTokens, outputTokens, inputTokens+outputTokens)
		if !usage {
			u = ""
		}
		return `{"id":"chatcmpl-1","object":"chat.completion","model":"` + Model + `","choices":[{"index":0,"message":{"role":"assistant","content":` + text + `},"finish_reason":"stop"}]` + u + `}`
	}
	u := fmt.Sprintf(`,"usage":{"input_tokens":%d,"output_tokens":%d}`, inputTokens, outputTokens)
	if !usage {
		u = ""
	}
	return `{"id":"msg_1","type":"message","role":"assistant","model":"` + Model + `","content":[{"type":"text","text":` + text + `}],"stop_reason":"end_turn","stop_sequence":null` + u + `}`
}

// events are the answer as a stream, an event each.
func (c Case) events() []string {
	return c.streamOf([]string{quote(head), quote(tail)}, true)
}

// streamOf streams parts of a text, each in JSON.
func (c Case) streamOf(parts []string, usage bool) []string {
	if c.Protocol == nightshift.Chat {
		return chatStream(parts, usage)
	}
	return messagesStream(parts, usage)
}

func chatStream(parts []string, usage bool) []string {
	chunk := func(delta, finish string) string {
		return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","model":"` + Model + `","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + "}]}\n\n"
	}
	events := []string{chunk(`{"role":"assistant","content":""}`, "null")}
	for _, p := range parts {
		events = append(events, chunk(`{"content":`+p+`}`, "null"))
	}
	events = append(events, chunk(`{}`, `"stop"`))
	if usage {
		events = append(events, fmt.Sprintf(`data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`+"\n\n", inputTokens, outputTokens, inputTokens+outputTokens))
	}
	return append(events, "data: [DONE]\n\n")
}

func messagesStream(parts []string, usage bool) []string {
	event := func(name, rest string) string {
		return "event: " + name + "\ndata: " + `{"type":"` + name + `"` + rest + "}\n\n"
	}
	in, out := "", ""
	if usage {
		in, out = fmt.Sprintf(`,"usage":{"input_tokens":%d,"output_tokens":1}`, inputTokens), fmt.Sprintf(`,"usage":{"output_tokens":%d}`, outputTokens)
	}
	events := []string{
		event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"`+Model+`","content":[],"stop_reason":null`+in+`}`),
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

// contentType is what a good answer says it is.
func (c Case) contentType() string {
	if c.Stream {
		return "text/event-stream"
	}
	return "application/json"
}

// problem is an error in the case's own dialect. It shows the key, as careless
// servers do: whatever comes of it must not.
func (c Case) problem(req *http.Request, kind, code, message string) string {
	message += " (you sent " + strings.Join(echo(req), " and ") + ")"
	if c.Protocol == nightshift.Chat {
		return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, kind, code)
	}
	return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_1"}`, kind, message)
}
