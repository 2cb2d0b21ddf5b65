// Package responses is the OpenAI Responses format.
package responses

import (
	"net/http"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
)

// Format is the Responses format; package formats says what its methods do.
type Format struct{}

// Protocol implements the format.
func (Format) Protocol() nightshift.Protocol { return nightshift.Responses }

// Name implements the format.
func (Format) Name() string { return "Responses" }

// Header implements the format: no header is its own.
func (Format) Header() http.Header { return nil }

// RequiresMaxTokens implements the format.
func (Format) RequiresMaxTokens() bool { return false }

var capNames = []string{"max_output_tokens"}

// CapNames implements the format.
func (Format) CapNames() []string { return capNames }

// Caps implements the format. Every request has one choice; the cap counts the
// reasoning too.
func (Format) Caps(body rawjson.Value) (maxOutput, choices int64) {
	n, _ := body.Get("max_output_tokens").Int()
	return max(n, 0), 1
}

// AuthScheme implements the format.
func (Format) AuthScheme() string { return providers.AuthBearer }

// ModelInURL implements the format.
func (Format) ModelInURL() bool { return false }

// UsageParam implements the format: usage comes without being asked for.
func (Format) UsageParam() nightshift.Param { return nightshift.Param{} }

// Recognise implements the format.
func (Format) Recognise(o rawjson.Value) bool {
	if o.Get("choices").Exists() || o.Get("content").Exists() {
		return false
	}
	return o.Get("object").Is("response") || o.Get("output").Kind() == rawjson.Array
}

// RecogniseEvent implements the format. The event "error" is that of other
// formats too and tells nothing.
func (f Format) RecogniseEvent(ev rawjson.Value) bool {
	return strings.HasPrefix(ev.Get("type").String(), "response.") || !ev.Get("type").Set() && f.Recognise(ev)
}

// RecogniseUsage implements the format.
func (Format) RecogniseUsage(usage rawjson.Value) bool {
	return usage.Get("input_tokens").Set() && !usage.Get("prompt_tokens").Set()
}

// NewStream implements the format.
func (Format) NewStream(answer.StreamOptions) answer.Stream { return newStream() }

// Background reports whether a request asks for an answer that is made in the
// background.
func (Format) Background(body rawjson.Value) bool { return body.Get("background").IsTrue() }
