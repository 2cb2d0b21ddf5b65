package wire_test

import (
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// readStream is what a wire makes of an event stream.
func readStream(t *testing.T, events string) providers.Exchange {
	prepared := plain
	prepared.Stream = true
	return build(t, endpoint("https://a.test"), answering(strings.NewReader(events))).Send(t.Context(), prepared)
}

// An error in a stream is read whatever shape it has, and never taken for an
// answer that was cut.
func TestErrorEvents(t *testing.T) {
	const (
		chatStart     = `data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"He"}}]}` + "\n\n"
		messagesStart = `data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":3}}}` + "\n\n" +
			`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"He"}}` + "\n\n"
		chatEnd = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	)
	for _, tc := range []struct {
		name, event string
		class       nightshift.ErrorClass
		message     string
	}{
		{"nested", `data: {"error":{"message":"slow","code":429}}`, nightshift.ClassRateLimit, "slow"},
		{"DeepInfra's detail", `data: {"detail":{"error":"Model busy, retry later"}}`, nightshift.ClassOverloaded, "Model busy"},
		{"a message and nothing else, named error", "event: error\ndata: {\"message\":\"Model busy\"}", nightshift.ClassOverloaded, "Model busy"},
		{"an unknown field, named error", "event: error\ndata: {\"reason\":\"gone\"}", nightshift.ClassServer, ""},
		{"words, named error", "event: error\ndata: it broke", nightshift.ClassServer, "it broke"},
		{"flat, typed error", `data: {"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}`, nightshift.ClassRateLimit, "slow"},
		{"flat, its type a class", `data: {"type":"overloaded_error","message":"Overloaded"}`, nightshift.ClassOverloaded, "Overloaded"},
		{"flat, a code", `data: {"code":"429","message":"slow"}`, nightshift.ClassRateLimit, "slow"},
		{"flat, with prefixes", `data: {"error_type":"rate_limit_error","error_message":"slow"}`, nightshift.ClassRateLimit, "slow"},
		{"flat, beside no choices", `data: {"object":"error","message":"slow","code":429,"choices":[]}`, nightshift.ClassRateLimit, "slow"},
	} {
		for start, text := range map[string]string{"": "", "chat ": chatStart, "messages ": messagesStart} {
			t.Run(start+tc.name, func(t *testing.T) {
				ex := readStream(t, text+tc.event+"\n\ndata: [DONE]\n\n")
				if ex.Err == nil || ex.Err.Class != tc.class || !strings.Contains(ex.Err.Message, tc.message) {
					t.Fatalf("%v, want %s: %s", ex.Err, tc.class, tc.message)
				}
				if text != "" && !ex.Err.MaybeBilled {
					t.Error("a part of the answer had come: it may have been billed")
				}
			})
		}
		t.Run("after the end "+tc.name, func(t *testing.T) {
			if ex := readStream(t, chatStart+chatEnd+tc.event+"\n\ndata: [DONE]\n\n"); ex.Err != nil || !slices.Contains(ex.Response.Flags, "error_after_end") {
				t.Errorf("the answer was whole: %v, flags %v", ex.Err, ex.Response.Flags)
			}
		})
	}
}
