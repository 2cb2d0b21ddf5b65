package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/random"
	"nightshift/providers/simulator/internal/requests"
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

// tooManyTexts refuses requests of more texts than the server takes at once,
// and texts that are too long.
func (x *exchange) tooManyTexts() *failure {
	cfg, texts := x.server.cfg.Embeddings, x.ask.Embed.Texts
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
	r := &reply{model: x.ask.Model, created: x.start.Unix(), id: ident("embd-", x.ask.Seed.With(x.entry.RequestID), 24)}
	r.tokens = ledger.Tokens{Input: int64(x.ask.InputTokens)}
	r.choices = []choice{{stop: stopEnd}}
	return r
}

// embeddingBody renders the vectors of all texts.
func (x *exchange) embeddingBody(r *reply) []byte {
	e := x.ask.Embed
	dimensions := e.Dimensions
	if dimensions <= 0 {
		dimensions = orDefault(x.server.cfg.Embeddings.Dimensions, 256)
	}
	var list []jsontext.Object
	for i, text := range e.Texts {
		v := Embed(x.ask.Model, text, dimensions)
		o := jsontext.New()
		if x.ask.Protocol == requests.GeminiEmbeddings {
			o.Raw("values", numbersText(v))
		} else {
			o.Text("object", "embedding")
			o.Int("index", int64(i))
			o.Raw("embedding", encoded(e, v))
		}
		list = append(list, o)
	}
	if x.ask.Protocol == requests.GeminiEmbeddings {
		return x.geminiVectors(r, list)
	}
	slices.Reverse(list) // the index says which is which, not the place
	o := jsontext.New()
	o.Text("object", "list")
	o.Raw("data", jsontext.Array(list...))
	o.Text("model", r.model)
	if !r.noUsage {
		o.Object("usage", embeddingUsage(r))
	}
	return o.End()
}

func embeddingUsage(r *reply) jsontext.Object {
	n := r.tokens.Input
	if r.mode == "zero" {
		n = 0
	}
	if r.badUsage {
		n = -n
	}
	usage := jsontext.New()
	usage.Int("prompt_tokens", n)
	usage.Int("total_tokens", n)
	return usage
}

func (x *exchange) geminiVectors(r *reply, list []jsontext.Object) []byte {
	o := jsontext.New()
	if x.ask.Embed.Single {
		o.Object("embedding", list[0])
	} else {
		o.Raw("embeddings", jsontext.Array(list...))
	}
	if !r.noUsage {
		usage := jsontext.New()
		usage.Int("promptTokenCount", r.tokens.Input)
		o.Object("usageMetadata", usage)
	}
	return o.End()
}

// encoded is a vector as the request wants it.
func encoded(e *requests.Embedding, v []float32) string {
	var raw []byte
	switch e.Encoding {
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
	return jsontext.Quote(base64.StdEncoding.EncodeToString(raw))
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
