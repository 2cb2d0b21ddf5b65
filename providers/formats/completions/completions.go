// Package completions is the format of legacy text completions: a prompt as it
// is, and the text that follows it. Base models are asked in it.
package completions

import (
	"encoding/json"
	"net/http"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/body"
)

// Format is the Completions format; package formats says what its methods do.
type Format struct{}

// Protocol implements the format.
func (Format) Protocol() nightshift.Protocol { return nightshift.Completions }

// Name implements the format.
func (Format) Name() string { return "Completions" }

// Header implements the format: no header is its own.
func (Format) Header() http.Header { return nil }

// RequiresMaxTokens implements the format.
func (Format) RequiresMaxTokens() bool { return false }

var capNames = []string{"max_tokens"}

// CapNames implements the format.
func (Format) CapNames() []string { return capNames }

// defaultMaxTokens is the cap of a request that sets none.
const defaultMaxTokens = 16

// Caps implements the format. Every prompt has n answers, and best_of of them
// are generated and billed. A cap of 0, which asks for nothing but the prompt's
// log-probabilities, counts as 1: some servers write a token all the same, and 0
// would mean that the cap is not known.
func (Format) Caps(root rawjson.Value) (maxOutput, choices int64) {
	const most = 1 << 20 // far above any request: keeps the product from overflowing
	number := func(name string, otherwise int64) int64 {
		n, ok := root.Get(name).Int()
		if !ok {
			n = otherwise
		}
		return min(max(n, 1), most)
	}
	n, prompts := number("n", 1), promptCount(root.Get("prompt"))
	choices = min(prompts*n, most)
	generated := min(prompts*max(n, number("best_of", 1)), most)
	return generated * number("max_tokens", defaultMaxTokens), choices
}

// promptCount is how many prompts a request has: a list of texts or of lists of
// tokens holds several, a list of tokens is one.
func promptCount(prompt rawjson.Value) int64 {
	if prompt.Kind() != rawjson.Array || prompt.First().Kind() == rawjson.Number {
		return 1
	}
	return min(max(int64(prompt.Count()), 1), 1<<20)
}

// AuthScheme implements the format.
func (Format) AuthScheme() string { return providers.AuthBearer }

// ModelInURL implements the format.
func (Format) ModelInURL() bool { return false }

// Measure implements the format.
func (Format) Measure(m *body.Meter, root rawjson.Value) {
	m.Content(root.Get("prompt"))
	m.Content(root.Get("suffix"))
}

// UsageParam implements the format.
func (Format) UsageParam() nightshift.Param {
	return nightshift.Param{Name: "stream_options", Value: json.RawMessage(`{"include_usage":true}`)}
}

// Recognise implements the format: its choices hold a text and no message.
func (Format) Recognise(o rawjson.Value) bool {
	first := o.Get("choices").First()
	hasText := first.Get("text").Exists() && !first.Get("message").Exists() && !first.Get("delta").Exists()
	return hasText || isObject(o.Get("object"))
}

// isObject reports whether a name is what servers call a completion.
func isObject(name rawjson.Value) bool {
	return name.Is("text_completion") || name.Is("text.completion")
}

// RecogniseEvent implements the format. Writer's events hold a piece of the text
// and nothing else.
func (f Format) RecogniseEvent(ev rawjson.Value) bool {
	return f.Recognise(ev) && !ev.Get("error").Says() || isPiece(ev)
}

func isPiece(ev rawjson.Value) bool {
	return ev.Get("value").Kind() == rawjson.String && ev.Count() == 1
}

// RecogniseUsage implements the format.
func (Format) RecogniseUsage(usage rawjson.Value) bool { return usage.Get("prompt_tokens").Set() }

// NewStream implements the format.
func (Format) NewStream(opt answer.StreamOptions) answer.Stream { return &stream{opt: opt} }
