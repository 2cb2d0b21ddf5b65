package requests

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/random"
)

const (
	Embeddings       Protocol = "embeddings"        // OpenAI's
	GeminiEmbeddings Protocol = "gemini_embeddings" // Gemini's batchEmbedContents
)

// An Embedding is what a request for vectors asks for.
type Embedding struct {
	Texts      []string
	Dimensions int    // 0 where the request does not say
	Encoding   string // float, base64, or int8 in base64
	Single     bool   // embedContent: one vector, not in a list
}

// ParseEmbedding reads a request for vectors. The model of Gemini's stands in
// the path. The error is a *requestError.
func ParseEmbedding(p Protocol, path string, body []byte) (*Request, error) {
	a := &Request{Protocol: p, N: 1, Embed: &Embedding{}}
	read := a.readEmbedding
	if p == GeminiEmbeddings {
		_, rest, _ := strings.Cut(path, "/models/")
		verb := ""
		a.Model, verb, _ = strings.Cut(rest, ":")
		a.Embed.Single = verb == "embedContent"
		read = a.readGeminiEmbedding
	}
	if err := read(body); err != nil {
		return nil, err
	}
	if len(a.Embed.Texts) == 0 {
		return nil, invalid("input", "'$.input' is invalid: it is empty")
	}
	key := random.Start.With(a.Model)
	for _, text := range a.Embed.Texts {
		if text == "" {
			return nil, invalid("input", "'$.input' is invalid: a text is empty")
		}
		a.InputTokens += max(answers.CountTokens(text), 1)
		key = key.With(text)
	}
	a.Question, a.Key, a.Seed = a.Embed.Texts[0], key, key
	return a, nil
}

// readEmbedding reads OpenAI's body.
func (a *Request) readEmbedding(body []byte) error {
	var w struct {
		Model      string          `json:"model"`
		Input      json.RawMessage `json:"input"`
		Dimensions int             `json:"dimensions"`
		Encoding   string          `json:"encoding_format"`
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return &Error{Message: "The request body is not valid JSON: " + err.Error()}
	}
	if w.Model == "" {
		return missing(Chat, "model")
	}
	if !slices.Contains([]string{"", "float", "base64", "base64_int8"}, w.Encoding) {
		return invalid("encoding_format", "encoding_format: unknown value %q", w.Encoding)
	}
	a.Model, a.Embed.Dimensions, a.Embed.Encoding = w.Model, w.Dimensions, w.Encoding
	a.Embed.Texts = textsOf(w.Input)
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
func (a *Request) readGeminiEmbedding(body []byte) error {
	var w struct {
		geminiEmbedding
		Requests []geminiEmbedding `json:"requests"`
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return &Error{Message: "Invalid JSON payload received: " + err.Error()}
	}
	if a.Embed.Single {
		w.Requests = []geminiEmbedding{w.geminiEmbedding}
	}
	for _, r := range w.Requests {
		text := ""
		for _, part := range r.Content.Parts {
			text += part.Text
		}
		a.Embed.Texts, a.Embed.Dimensions = append(a.Embed.Texts, text), r.Dimensions
	}
	return nil
}
