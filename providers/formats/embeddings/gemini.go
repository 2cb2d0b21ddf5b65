package embeddings

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
)

// Gemini is the format of batchEmbedContents, for one text and for many.
type Gemini struct{ plain }

// Protocol implements the format.
func (Gemini) Protocol() nightshift.Protocol { return nightshift.GeminiEmbeddings }

// Name implements the format.
func (Gemini) Name() string { return "Gemini embeddings" }

// AuthScheme implements the format.
func (Gemini) AuthScheme() string { return "x-goog-api-key" }

// ModelInURL implements the format.
func (Gemini) ModelInURL() bool { return true }

// Params implements the format.
func (Gemini) Params(
	_ *conversation.Translation, params []nightshift.Param, _ rawjson.Value, _ string,
) []nightshift.Param {
	named := make([]nightshift.Param, len(params))
	for i, p := range params {
		if named[i] = p; p.Name == "dimensions" {
			named[i].Name = "outputDimensionality"
		}
	}
	return named
}

// Measure implements the format.
func (Gemini) Measure(m *body.Meter, root rawjson.Value) {
	for r := root.Get("requests").First(); r.Exists(); r = r.Next() {
		for part := r.Get("content").Get("parts").First(); part.Exists(); part = part.Next() {
			if text := part.Get("text"); text.Set() {
				m.Words(text)
			} else {
				m.Unknown()
			}
		}
	}
}

// CountTexts implements the format.
func (Gemini) CountTexts(root rawjson.Value) int64 { return int64(root.Get("requests").Count()) }

// WriteTexts implements the format. Parameters stand in the request of each
// text.
func (Gemini) WriteTexts(
	_ *conversation.Translation, w *conversation.Writer, texts []string, params []nightshift.Param, model string,
) {
	w.In("requests", '[')
	for _, text := range texts {
		writeRequest(w, rawjson.AppendString(nil, text), params, model)
	}
	w.Close(']')
}

func writeRequest(w *conversation.Writer, text []byte, params []nightshift.Param, model string) {
	w.Open('{')
	w.Str("model", "models/"+modelName(model))
	w.In("content", '{')
	w.In("parts", '[')
	w.Open('{')
	w.Raw("text", text)
	w.Close('}')
	w.Close(']')
	w.Close('}')
	for _, p := range params {
		w.Raw(p.Name, p.Value)
	}
	w.Close('}')
}

// WritePrompt implements the format: requests are written with their model, by
// [Gemini.WriteTexts].
func (Gemini) WritePrompt(t *conversation.Translation, _ *conversation.Writer, turns []conversation.Turn) {
	t.OnlyText(turns)
}

// ParseBody implements the format.
func (Gemini) ParseBody(t *conversation.Translation, _ rawjson.Value) []conversation.Field {
	t.Cannot("requests", "send rows of a Gemini batch to Gemini")
	return nil
}

// WriteBody implements the format.
func (Gemini) WriteBody(
	t *conversation.Translation, w *conversation.Writer, fields []conversation.Field, model string,
) {
	var texts [][]byte
	var params []nightshift.Param
	for _, f := range fields {
		switch f.Key {
		case conversation.Model:
		case conversation.Messages:
			texts = append(texts, t.OnlyText(f.Turns))
		case keyInput:
			texts = append(texts, inputs(t, f)...)
		case keyDimensions:
			params = append(params, nightshift.Param{Name: "outputDimensionality", Value: f.JSON})
		default:
			t.Cannot(f.Path, "")
		}
	}
	w.In("requests", '[')
	for _, text := range texts {
		writeRequest(w, text, params, model)
	}
	w.Close(']')
}

// inputs are the texts of an OpenAI body as JSON strings.
func inputs(t *conversation.Translation, f conversation.Field) (texts [][]byte) {
	input, err := rawjson.Scan(f.JSON)
	if err == nil && input.Kind() == rawjson.String {
		return [][]byte{f.JSON}
	}
	for one := input.First(); one.Exists(); one = one.Next() {
		if one.Kind() != rawjson.String {
			t.Cannot("input", "it takes texts, not tokens")
			return nil
		}
		texts = append(texts, one.Raw())
	}
	return texts
}

// Recognise implements the format: what embedContent and batchEmbedContents
// answer.
func (Gemini) Recognise(o rawjson.Value) bool {
	return o.Get("embeddings").Kind() == rawjson.Array || o.Get("embedding").Get("values").Exists()
}

// RecogniseUsage implements the format.
func (Gemini) RecogniseUsage(rawjson.Value) bool { return false }

// Decode implements the format. The vectors are in the order of the texts.
func (f Gemini) Decode(resp *nightshift.Response, root rawjson.Value) *nightshift.Error {
	f.DecodeUsage(resp, root)
	list := vectors{resp: resp}
	if one := root.Get("embedding"); one.Set() {
		list.all = make([]nightshift.Vector, 1)
		list.place(0, one.Get("values"))
		return list.end()
	}
	data := root.Get("embeddings")
	list.all = make([]nightshift.Vector, data.Count())
	for at, item := 0, data.First(); item.Exists(); at, item = at+1, item.Next() {
		if item.Kind() == rawjson.Array { // Ollama's own way
			list.place(int64(at), item)
		} else {
			list.place(int64(at), item.Get("values"))
		}
	}
	return list.end()
}

// DecodeUsage implements the format. Most answers say nothing of it.
func (Gemini) DecodeUsage(resp *nightshift.Response, root rawjson.Value) {
	usage := root.Get("usageMetadata")
	if usage.Kind() != rawjson.Object {
		resp.Flag(answer.FlagUsageMissing)
		return
	}
	resp.UsageRaw = usage.JSON()
	r := answer.UsageReader{Response: resp, Raw: usage}
	input := r.FirstOf(usage.Get("promptTokenCount"), usage.Get("totalTokenCount"))
	resp.Usage = settle(&r, nightshift.Usage{Input: input})
}
