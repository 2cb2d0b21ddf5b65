// Package gemini is Google's Gemini format: generateContent and its stream.
//
// Its JSON is that of protocol buffers: servers write names in camelCase, and
// read snake_case as well.
package gemini

import (
	"net/http"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/body"
)

// Format is the Gemini format; package formats says what its methods do.
type Format struct{}

// Protocol implements the format.
func (Format) Protocol() nightshift.Protocol { return nightshift.Gemini }

// Name implements the format.
func (Format) Name() string { return "Gemini" }

// Header implements the format: no header is its own.
func (Format) Header() http.Header { return nil }

// AuthScheme implements the format. Vertex and most gateways take bearer.
func (Format) AuthScheme() string { return providers.AuthGoog }

// ModelInURL implements the format.
func (Format) ModelInURL() bool { return true }

// RequiresMaxTokens implements the format.
func (Format) RequiresMaxTokens() bool { return false }

// capNames are those that [Format.Params] translates.
var capNames = []string{"max_tokens", "max_completion_tokens"}

// CapNames implements the format.
func (Format) CapNames() []string { return capNames }

// Caps implements the format. The cap holds for each candidate.
func (Format) Caps(root rawjson.Value) (maxOutput, choices int64) {
	config := get(root, "generationConfig")
	limit, _ := get(config, "maxOutputTokens").Int()
	n, ok := get(config, "candidateCount").Int()
	if !ok || n < 1 {
		n = 1
	}
	const most = 1 << 40 // far above any cap: keeps the product from overflowing
	return min(max(limit, 0), most) * min(n, 1<<20), n
}

// UsageParam implements the format: usage comes without being asked for.
func (Format) UsageParam() nightshift.Param { return nightshift.Param{} }

// Measure implements the format.
func (Format) Measure(m *body.Meter, root rawjson.Value) {
	measureParts(m, get(root, "systemInstruction"))
	for c := root.Get("contents").First(); c.Exists(); c = c.Next() {
		measureParts(m, c)
	}
	config := get(root, "generationConfig")
	m.Modalities(get(config, "responseModalities"))
	schema, own := get(config, "responseJsonSchema"), get(config, "responseSchema")
	for _, v := range []rawjson.Value{root.Get("tools"), schema, own} {
		if v.Set() {
			m.JSON(v)
		}
	}
	if get(root, "cachedContent").Set() {
		m.Unknown()
	}
}

func measureParts(m *body.Meter, content rawjson.Value) {
	for p := content.Get("parts").First(); p.Exists(); p = p.Next() {
		inline, file := get(p, "inlineData"), get(p, "fileData")
		switch {
		case inline.Set():
			measureMedia(m, get(inline, "mimeType").String(), inline.Get("data").Len())
		case file.Set():
			measureMedia(m, get(file, "mimeType").String(), 0)
		case p.Get("text").Set():
			m.Words(p.Get("text"))
		default:
			m.JSON(p)
		}
	}
}

// measureMedia counts media of a kind; base64 is 0 where its bytes are
// elsewhere.
func measureMedia(m *body.Meter, kind string, base64 int) {
	switch {
	case strings.HasPrefix(kind, "image/"):
		m.Image()
	case strings.HasPrefix(kind, "audio/") && base64 > 0:
		m.Audio(base64)
	case kind == "application/pdf":
		m.Document(base64)
	default:
		m.Unknown()
	}
}

// get is the member of an object with a name, which is in camelCase, or with
// the same name in snake_case.
func get(v rawjson.Value, name string) rawjson.Value {
	if m := v.Get(name); m.Exists() {
		return m
	}
	return v.Get(snake(name))
}

// snake is a name in snake_case.
func snake(name string) string {
	var b strings.Builder
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// camel is a name in camelCase.
func camel(name string) string {
	first, rest, ok := strings.Cut(name, "_")
	if !ok || first == "" || rest == "" {
		return name
	}
	return first + strings.ToUpper(rest[:1]) + camel(rest[1:])
}

// answerOf is what holds the candidates: the object, or its member response
// (Google's backend for code, and lines of batch results).
func answerOf(o rawjson.Value) rawjson.Value {
	if inner := o.Get("response"); isAnswer(inner) && !isAnswer(o) {
		return inner
	}
	return o
}

func isAnswer(o rawjson.Value) bool {
	if o.Get("candidates").Exists() || o.Get("promptFeedback").Set() {
		return true
	}
	return o.Get("usageMetadata").Set() && !o.Get("embedding").Exists() && !o.Get("embeddings").Exists()
}

// Recognise implements the format.
func (Format) Recognise(o rawjson.Value) bool {
	return isAnswer(answerOf(o)) && !o.Get("choices").Exists()
}

// RecogniseEvent implements the format.
func (f Format) RecogniseEvent(ev rawjson.Value) bool { return f.Recognise(ev) }

// RecogniseUsage implements the format.
func (Format) RecogniseUsage(usage rawjson.Value) bool {
	return usage.Get("promptTokenCount").Set() || usage.Get("totalTokenCount").Set()
}

// NewStream implements the format.
func (Format) NewStream(answer.StreamOptions) answer.Stream { return &stream{} }
