package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/random"
)

const (
	embeddings       protocol = "embeddings"        // OpenAI's
	geminiEmbeddings protocol = "gemini_embeddings" // Gemini's batchEmbedContents
)

// Embeddings are what models make vectors of. The zero value takes 2,048 texts
// in a request and makes vectors of 256 numbers.
type Embeddings struct {
	Dimensions int `json:"dimensions,omitempty"` // 0 means 256
	MaxTexts   int `json:"max_texts,omitempty"`  // of one request; 0 means 2,048
	MaxTokens  int `json:"max_tokens,omitempty"` // of one text; 0 means 8,192
	// Refusal is how requests of too many texts are refused: "openai" (400,
	// default), "mistral" (400, code 3210), "llama.cpp" (500) or "tei" (413).
	Refusal string `json:"refusal,omitempty"`
}

var textRefusals = []string{"openai", "mistral", "llama.cpp", "tei"}

// An embedding is what a request for vectors asks for.
type embedding struct {
	texts      []string
	dimensions int    // 0 where the request does not say
	encoding   string // float, base64, or int8 in base64
	single     bool   // embedContent: one vector, not in a list
}

// parseEmbedding reads a request for vectors. The model of Gemini's stands in
// the path. The error is a *requestError.
func parseEmbedding(p protocol, path string, body []byte) (*ask, error) {
	a := &ask{protocol: p, n: 1, embed: &embedding{}}
	read := a.readEmbedding
	if p == geminiEmbeddings {
		_, rest, _ := strings.Cut(path, "/models/")
		verb := ""
		a.model, verb, _ = strings.Cut(rest, ":")
		a.embed.single = verb == "embedContent"
		read = a.readGeminiEmbedding
	}
	if err := read(body); err != nil {
		return nil, err
	}
	if len(a.embed.texts) == 0 {
		return nil, invalid("input", "'$.input' is invalid: it is empty")
	}
	key := random.Start.With(a.model)
	for _, text := range a.embed.texts {
		if text == "" {
			return nil, invalid("input", "'$.input' is invalid: a text is empty")
		}
		a.inputTokens += max(answers.CountTokens(text), 1)
		key = key.With(text)
	}
	a.question, a.key, a.seed = a.embed.texts[0], key, key
	return a, nil
}

// readEmbedding reads OpenAI's body.
func (a *ask) readEmbedding(body []byte) error {
	var w struct {
		Model      string          `json:"model"`
		Input      json.RawMessage `json:"input"`
		Dimensions int             `json:"dimensions"`
		Encoding   string          `json:"encoding_format"`
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return &requestError{message: "The request body is not valid JSON: " + err.Error()}
	}
	if w.Model == "" {
		return missing(chat, "model")
	}
	if !slices.Contains([]string{"", "float", "base64", "base64_int8"}, w.Encoding) {
		return invalid("encoding_format", "encoding_format: unknown value %q", w.Encoding)
	}
	a.model, a.embed.dimensions, a.embed.encoding = w.Model, w.Dimensions, w.Encoding
	a.embed.texts = textsOf(w.Input)
	return nil
}

// textsOf are the texts of an input. Tokens stand for themselves.
func textsOf(input json.RawMessage) []string {
	var one string
	if json.Unmarshal(input, &one) == nil {
		return []string{one}
	}
	var list []json.RawMessage
	if json.Unmarshal(input, &list) != nil || len(list) == 0 {
		return nil
	}
	if _, err := strconv.Atoi(string(list[0])); err == nil {
		return []string{string(input)}
	}
	texts := make([]string, len(list))
	for i, raw := range list {
		if json.Unmarshal(raw, &texts[i]) != nil {
			texts[i] = string(raw)
		}
	}
	return texts
}

// A geminiEmbedding is what is asked of one text.
type geminiEmbedding struct {
	Content struct {
		Parts []struct {
			Text string `json:"text"`
		} `json:"parts"`
	} `json:"content"`
	Dimensions int `json:"outputDimensionality"`
}

// readGeminiEmbedding reads a body of embedContent or batchEmbedContents.
func (a *ask) readGeminiEmbedding(body []byte) error {
	var w struct {
		geminiEmbedding
		Requests []geminiEmbedding `json:"requests"`
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return &requestError{message: "Invalid JSON payload received: " + err.Error()}
	}
	if a.embed.single {
		w.Requests = []geminiEmbedding{w.geminiEmbedding}
	}
	for _, r := range w.Requests {
		text := ""
		for _, part := range r.Content.Parts {
			text += part.Text
		}
		a.embed.texts, a.embed.dimensions = append(a.embed.texts, text), r.Dimensions
	}
	return nil
}

// tooManyTexts refuses requests of more texts than the server takes at once,
// and texts that are too long.
func (x *exchange) tooManyTexts() *failure {
	cfg, texts := x.server.cfg.Embeddings, x.ask.embed.texts
	most, longest := orDefault(cfg.MaxTexts, 2048), orDefault(cfg.MaxTokens, 8192)
	for _, text := range texts {
		if n := answers.CountTokens(text); n > longest {
			return &failure{status: 400, kind: "invalid_request_error", code: "context_length_exceeded", param: "input",
				message: fmt.Sprintf("This model's maximum context length is %d tokens, however you requested %d tokens. "+
					"Please reduce your prompt.", longest, n)}
		}
	}
	if len(texts) <= most {
		return nil
	}
	switch cfg.Refusal {
	case "mistral":
		return &failure{status: 400, raw: true, contentType: "application/json",
			body: `{"object":"error","message":"Batch size too large","type":"invalid_request_batch_error",` +
				`"param":null,"code":"3210"}`}
	case "llama.cpp":
		return &failure{status: 500, raw: true, contentType: "application/json",
			body: `{"error":{"code":500,"message":"input is too large to process. increase the physical batch size",` +
				`"type":"server_error"}}`}
	case "tei":
		return &failure{status: 413, raw: true, contentType: "application/json",
			body: fmt.Sprintf(`{"error":"batch size %d > maximum allowed batch size %d","error_type":"Validation"}`,
				len(texts), most)}
	}
	return &failure{status: 400, kind: "invalid_request_error", param: "input",
		message: fmt.Sprintf("'input' is invalid: an array of at most %d texts is expected, got %d", most, len(texts))}
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// embeddingReply is the answer to a request for vectors: no words, no output.
func (x *exchange) embeddingReply() *reply {
	r := &reply{model: x.ask.model, created: x.start.Unix(), id: ident("embd-", x.ask.seed.With(x.entry.RequestID), 24)}
	r.tokens = Tokens{Input: int64(x.ask.inputTokens)}
	r.choices = []choice{{stop: stopEnd}}
	return r
}

// embeddingBody renders the vectors of all texts.
func (x *exchange) embeddingBody(r *reply) []byte {
	e := x.ask.embed
	dimensions := e.dimensions
	if dimensions <= 0 {
		dimensions = orDefault(x.server.cfg.Embeddings.Dimensions, 256)
	}
	var list []object
	for i, text := range e.texts {
		v := Embed(x.ask.model, text, dimensions)
		o := newObject()
		if x.ask.protocol == geminiEmbeddings {
			o.raw("values", numbersText(v))
		} else {
			o.text("object", "embedding")
			o.int("index", int64(i))
			o.raw("embedding", e.encoded(v))
		}
		list = append(list, o)
	}
	if x.ask.protocol == geminiEmbeddings {
		return x.geminiVectors(r, list)
	}
	slices.Reverse(list) // the index says which is which, not the place
	o := newObject()
	o.text("object", "list")
	o.raw("data", array(list...))
	o.text("model", r.model)
	if !r.noUsage {
		o.object("usage", embeddingUsage(r))
	}
	return o.end()
}

func embeddingUsage(r *reply) object {
	n := r.tokens.Input
	if r.mode == "zero" {
		n = 0
	}
	if r.badUsage {
		n = -n
	}
	usage := newObject()
	usage.int("prompt_tokens", n)
	usage.int("total_tokens", n)
	return usage
}

func (x *exchange) geminiVectors(r *reply, list []object) []byte {
	o := newObject()
	if x.ask.embed.single {
		o.object("embedding", list[0])
	} else {
		o.raw("embeddings", array(list...))
	}
	if !r.noUsage {
		usage := newObject()
		usage.int("promptTokenCount", r.tokens.Input)
		o.object("usageMetadata", usage)
	}
	return o.end()
}

// encoded is a vector as the request wants it.
func (e *embedding) encoded(v []float32) string {
	var raw []byte
	switch e.encoding {
	case "base64":
		for _, f := range v {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
		}
	case "base64_int8":
		for _, f := range v {
			raw = append(raw, byte(int8(math.Round(float64(f)*127))))
		}
	default:
		return numbersText(v)
	}
	return quote(base64.StdEncoding.EncodeToString(raw))
}

func numbersText(v []float32) string {
	b := []byte{'['}
	for i, f := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(f), 'g', -1, 32)
	}
	return string(append(b, ']'))
}

// Embed makes the vector of a text: the sum of a vector for each of its words
// and one for each run of three letters, of length 1. Equal texts have equal
// vectors, and texts that share words or most of their letters have near ones.
func Embed(model, text string, dimensions int) []float32 {
	start := random.Start.With("embedding").With(model)
	sum := make([]float64, dimensions)
	add := func(s seed, weight float64) {
		for i := range sum {
			bits := s.WithInt(uint64(i)).Bits()
			sum[i] += weight * (float64(bits>>11)/(1<<53) - 0.5)
		}
	}
	for _, word := range strings.Fields(strings.ToLower(text)) {
		add(start.With(word), 1)
		letters := []rune("^" + word + "$")
		for i := 0; i+3 <= len(letters); i++ {
			add(start.With(string(letters[i:i+3])), 0.5)
		}
	}
	add(start, 1e-3) // a text without words has a vector too
	return unit(sum)
}

// unit is a vector of length 1.
func unit(sum []float64) []float32 {
	length := 0.0
	for _, x := range sum {
		length += x * x
	}
	length = math.Sqrt(length)
	v := make([]float32, len(sum))
	for i, x := range sum {
		v[i] = float32(x / length)
	}
	return v
}
