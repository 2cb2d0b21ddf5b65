// Package chat is the OpenAI Chat Completions format with its many dialects.
package chat

import (
	"encoding/json"
	"net/http"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
)

// Format is the Chat Completions format; package formats says what its
// methods do.
type Format struct{}

// Protocol implements the format.
func (Format) Protocol() nightshift.Protocol { return nightshift.Chat }

// Name implements the format.
func (Format) Name() string { return "Chat Completions" }

// Header implements the format: no header is its own.
func (Format) Header() http.Header { return nil }

// RequiresMaxTokens implements the format.
func (Format) RequiresMaxTokens() bool { return false }

var capNames = []string{"max_tokens", "max_completion_tokens"}

// CapNames implements the format.
func (Format) CapNames() []string { return capNames }

// Caps implements the format.
func (Format) Caps(root rawjson.Value) (maxOutput, choices int64) {
	old, _ := root.Get("max_tokens").Int()
	limit, _ := root.Get("max_completion_tokens").Int()
	n, ok := root.Get("n").Int()
	if !ok || n < 1 {
		n = 1
	}
	const most = 1 << 40 // far above any cap: keeps the product from overflowing
	return min(max(old, limit, 0), most) * min(n, 1<<20), n
}

// AuthScheme implements the format.
func (Format) AuthScheme() string { return providers.AuthBearer }

// ModelInURL implements the format.
func (Format) ModelInURL() bool { return false }

// Params implements the format: parameters go into the body as written.
func (Format) Params(_ *conversation.Translation, params []nightshift.Param, _ rawjson.Value,
	_ string) []nightshift.Param {
	return params
}

// Measure implements the format.
func (Format) Measure(m *body.Meter, root rawjson.Value) { m.Body(root) }

// UsageParam implements the format.
func (Format) UsageParam() nightshift.Param { return usageParam }

var usageParam = nightshift.Param{Name: "stream_options", Value: json.RawMessage(`{"include_usage":true}`)}

// Recognise implements the format.
func (Format) Recognise(o rawjson.Value) bool {
	return o.Get("choices").Exists() && !o.Get("type").Is("message")
}

// RecogniseEvent implements the format. A chunk that holds an error instead of
// choices tells nothing.
func (Format) RecogniseEvent(ev rawjson.Value) bool {
	if ev.Get("choices").Exists() {
		return true
	}
	object := ev.Get("object")
	return (object.Is("chat.completion.chunk") || object.Is("chat.completion")) && !ev.Get("error").Says()
}

// RecogniseUsage implements the format.
func (Format) RecogniseUsage(rawjson.Value) bool { return true }

// NewStream implements the format.
func (Format) NewStream(opt answer.StreamOptions) answer.Stream { return newStream(opt) }
