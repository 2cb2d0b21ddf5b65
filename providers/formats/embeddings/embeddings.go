// Package embeddings holds the formats that turn texts into vectors: OpenAI's,
// which most servers speak, and Gemini's.
package embeddings

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
)

// plain is what both formats have in common: no messages, no output, no
// streams.
type plain struct{ conversation.NoMessages }

// Header implements the format: no header is its own.
func (plain) Header() http.Header { return nil }

// RequiresMaxTokens implements the format.
func (plain) RequiresMaxTokens() bool { return false }

// CapNames implements the format: there is no output to cap.
func (plain) CapNames() []string { return nil }

// Caps implements the format.
func (plain) Caps(rawjson.Value) (maxOutput, choices int64) { return 0, 0 }

// UsageParam implements the format.
func (plain) UsageParam() nightshift.Param { return nightshift.Param{} }

// RecogniseEvent implements the format: vectors do not come as streams.
func (plain) RecogniseEvent(rawjson.Value) bool { return false }

// NewStream implements the format.
func (plain) NewStream(answer.StreamOptions) answer.Stream { return noStream{} }

// noStream refuses whatever comes.
type noStream struct{}

// Event implements the stream.
func (noStream) Event([]byte) (bool, *nightshift.Error) { return false, notStreamed() }

// End implements the stream.
func (noStream) End() (nightshift.Response, *nightshift.Error) {
	return nightshift.Response{}, notStreamed()
}

// Done implements the stream.
func (noStream) Done() bool { return false }

func notStreamed() *nightshift.Error {
	return wrong("a stream of events came where vectors were asked for")
}

// Format is OpenAI's format of embeddings; package formats says what its
// methods do.
type Format struct{ plain }

// Protocol implements the format.
func (Format) Protocol() nightshift.Protocol { return nightshift.Embeddings }

// Name implements the format.
func (Format) Name() string { return "embeddings" }

// AuthScheme implements the format.
func (Format) AuthScheme() string { return providers.AuthBearer }

// ModelInURL implements the format.
func (Format) ModelInURL() bool { return false }

// packed are encodings that hold bits, from which no cosine can be had.
var packed = []string{"binary", "ubinary", "base64_binary"}

// Params implements the format: parameters go into the body as written.
func (Format) Params(
	t *conversation.Translation, params []nightshift.Param, _ rawjson.Value, _ string,
) []nightshift.Param {
	for _, p := range params {
		var word string
		if p.Name == "encoding_format" && json.Unmarshal(p.Value, &word) == nil && slices.Contains(packed, word) {
			t.Invalid("encoding_format", "asks for packed bits, which are not read: write float or base64")
		}
	}
	return params
}

// Measure implements the format.
func (Format) Measure(m *body.Meter, root rawjson.Value) { measure(m, root.Get("input")) }

// measure counts texts; a list of numbers is a list of tokens, one each.
func measure(m *body.Meter, input rawjson.Value) {
	switch input.Kind() {
	case rawjson.String:
		m.Words(input)
	case rawjson.Number:
		m.Other++
	case rawjson.Array:
		for one := input.First(); one.Exists(); one = one.Next() {
			measure(m, one)
		}
	default:
		m.JSON(input)
	}
}

// CountTexts implements the format.
func (Format) CountTexts(root rawjson.Value) int64 {
	input := root.Get("input")
	if input.Kind() != rawjson.Array || input.First().Kind() == rawjson.Number {
		return 1
	}
	return int64(input.Count())
}

// WriteTexts implements the format. One text is written as such, which servers
// take that know no lists.
func (Format) WriteTexts(
	_ *conversation.Translation, w *conversation.Writer, texts []string, params []nightshift.Param, _ string,
) {
	if len(texts) == 1 {
		w.Str("input", texts[0])
	} else {
		w.In("input", '[')
		for _, text := range texts {
			w.Item(rawjson.AppendString(nil, text))
		}
		w.Close(']')
	}
	for _, p := range params {
		w.Raw(p.Name, p.Value)
	}
}

// WritePrompt implements the format.
func (Format) WritePrompt(t *conversation.Translation, w *conversation.Writer, turns []conversation.Turn) {
	w.Maybe("input", t.OnlyText(turns))
}

// Keys of what only formats of embeddings say.
const (
	keyInput      conversation.Key = "input"
	keyDimensions conversation.Key = "dimensions"
)

// ParseBody implements the format.
func (Format) ParseBody(t *conversation.Translation, root rawjson.Value) (fields []conversation.Field) {
	for f := root.First(); f.Exists(); f = f.Next() {
		key := conversation.Key(f.Key())
		if f.Set() && !f.KeyIs("encoding_format") { // how vectors are written is the server's affair
			fields = append(fields, conversation.Field{Key: key, Path: f.Key(), JSON: f.Raw()})
		}
	}
	return fields
}

// WriteBody implements the format.
func (f Format) WriteBody(
	t *conversation.Translation, w *conversation.Writer, fields []conversation.Field, model string,
) {
	w.Str("model", model)
	for _, field := range fields {
		switch field.Key {
		case conversation.Model:
		case conversation.Messages:
			f.WritePrompt(t, w, field.Turns)
		case keyInput, keyDimensions:
			w.Raw(string(field.Key), field.JSON)
		default:
			t.Cannot(field.Path, "")
		}
	}
}

// Recognise implements the format.
func (Format) Recognise(o rawjson.Value) bool {
	data := o.Get("data")
	if data.Kind() != rawjson.Array {
		return false
	}
	first := data.First()
	return first.Get("embedding").Exists() || !first.Exists() && o.Get("model").Exists() && o.Get("usage").Exists()
}

// RecogniseUsage implements the format.
func (Format) RecogniseUsage(usage rawjson.Value) bool { return usage.Get("prompt_tokens").Exists() }

// Decode implements the format. Vectors are put in their places by index;
// where none has one, they are in the order of the texts.
func (f Format) Decode(resp *nightshift.Response, root rawjson.Value) *nightshift.Error {
	resp.ID, resp.ServedModel = root.Get("id").String(), root.Get("model").String()
	data := root.Get("data")
	list := vectors{resp: resp, all: make([]nightshift.Vector, data.Count())}
	indexed := data.First().Get("index").Exists()
	for at, item := int64(0), data.First(); item.Exists(); at, item = at+1, item.Next() {
		place := at
		if indexed {
			var ok bool
			if place, ok = item.Get("index").Int(); !ok {
				place = -1
			}
		}
		list.place(place, item.Get("embedding"))
	}
	f.DecodeUsage(resp, root)
	return list.end()
}

// DecodeUsage implements the format.
func (Format) DecodeUsage(resp *nightshift.Response, root rawjson.Value) {
	usage := root.Get("usage")
	if usage.Kind() != rawjson.Object {
		resp.Flag(answer.FlagUsageMissing)
		return
	}
	r := answer.UsageReader{Response: resp, Raw: usage}
	resp.UsageRaw = usage.JSON()
	u := r.OpenAI()
	if !u.InputTotal().Known() { // Jina and others count in all only
		u.Input = r.Count(usage.Get("total_tokens"))
	}
	u.Reported = r.Reported()
	resp.Usage = settle(&r, u)
}

// settle completes a usage: what is embedded is read, and nothing is written.
func settle(r *answer.UsageReader, u nightshift.Usage) nightshift.Usage {
	if u.InputTotal().N() == 0 {
		r.Flag(answer.FlagUsageMissing)
		return nightshift.Usage{Reported: u.Reported}
	}
	u.Output, u.Reasoning = nightshift.Tokens(0), nightshift.Count{}
	return u
}

// modelName is a model's id without the folder that Gemini puts before it.
func modelName(name string) string { return strings.TrimPrefix(name, "models/") }
