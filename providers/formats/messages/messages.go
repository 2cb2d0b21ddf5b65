// Package messages is the Anthropic Messages format.
package messages

import (
	"net/http"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
)

// Format is the Messages format; package formats says what its methods do.
type Format struct{}

// Protocol implements the format.
func (Format) Protocol() nightshift.Protocol { return nightshift.Messages }

// Name implements the format.
func (Format) Name() string { return "Messages" }

// Header implements the format.
func (Format) Header() http.Header { return http.Header{"Anthropic-Version": {"2023-06-01"}} }

// RequiresMaxTokens implements the format.
func (Format) RequiresMaxTokens() bool { return true }

var capNames = []string{"max_tokens"}

// CapNames implements the format.
func (Format) CapNames() []string { return capNames }

// Caps implements the format. Every request has one choice.
func (Format) Caps(root rawjson.Value) (maxOutput, choices int64) {
	n, _ := root.Get("max_tokens").Int()
	return max(n, 0), 0
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

// UsageParam implements the format: usage comes without being asked for.
func (Format) UsageParam() nightshift.Param { return nightshift.Param{} }

// Recognise implements the format.
func (Format) Recognise(o rawjson.Value) bool {
	content := o.Get("content")
	if !content.Exists() || o.Get("type").Is("message") {
		return content.Exists()
	}
	return !o.Get("choices").Exists() && (content.Kind() == rawjson.Array || content.Kind() == rawjson.String)
}

// RecogniseEvent implements the format.
func (Format) RecogniseEvent(ev rawjson.Value) bool {
	switch ev.Get("type").OneOf("message_start") {
	case "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
		"message_stop", "message":
		return true
	}
	return (ev.Get("message").Get("usage").Exists() || ev.Get("content_block").Set()) && !ev.Get("choices").Exists()
}

// RecogniseUsage implements the format.
func (Format) RecogniseUsage(usage rawjson.Value) bool {
	return usage.Get("input_tokens").Set() && !usage.Get("prompt_tokens").Set()
}

// NewStream implements the format.
func (Format) NewStream(answer.StreamOptions) answer.Stream { return newStream() }
