package providers

import (
	"slices"

	"nightshift"
)

const (
	responses        = nightshift.Responses
	gemini           = nightshift.Gemini
	completions      = nightshift.Completions
	embeddings       = nightshift.Embeddings
	geminiEmbeddings = nightshift.GeminiEmbeddings
)

// besideChat are the wire formats that services have at the base URL and with
// the auth of their Chat Completions, under the format's own path.
var besideChat = map[string][]nightshift.Protocol{
	"openai":     {responses, completions, embeddings},
	"openrouter": {responses, completions, embeddings},
	"gemini":     {embeddings},
	"mistral":    {embeddings},
	"together":   {completions, embeddings},
	"deepinfra":  {completions, embeddings},
	"dashscope":  {embeddings},
	"doubleword": {responses, embeddings},
	"fireworks":  {responses, completions, embeddings},
	"xai":        {responses, completions},
	"zhipu":      {embeddings},
	"bedrock":    {responses},
	"ccapi":      {responses, completions, embeddings},
	"new-api":    {responses, completions, embeddings},
	"one-api":    {completions, embeddings},
	"vllm":       {responses, completions, embeddings},
	"sglang":     {responses, completions, embeddings},
	"llama-cpp":  {responses, completions, embeddings},
	"lm-studio":  {responses, completions, embeddings},
	"litellm":    {responses, completions, embeddings},
	"simulator":  {responses, gemini, completions, embeddings, geminiEmbeddings},
}

// A formatAt is a wire format that a service has at another place than Chat
// Completions, or with another auth.
type formatAt struct {
	service    string
	protocol   nightshift.Protocol
	base, path string // "" is Chat's base URL, and the format's own path
	scheme     string // of auth; "" is Chat's
	facts      string
}

var elsewhere = []formatAt{
	{service: "gemini", protocol: gemini, base: "https://generativelanguage.googleapis.com", scheme: AuthGoog,
		facts: "limits are per model; a refusal for the day stops the model until midnight in California"},
	{service: "gemini", protocol: geminiEmbeddings, base: "https://generativelanguage.googleapis.com", scheme: AuthGoog,
		facts: "says nothing of tokens for most models, so what they cost is not known"},
	{service: "vertex", protocol: gemini, path: "/publishers/google/models/" + modelPlaceholder + ":generateContent",
		facts: vertexFacts},
	{service: "azure-openai", protocol: responses, path: azureV1 + "/responses"},
	{service: "azure-openai", protocol: completions, path: azureV1 + "/completions"},
	{service: "azure-openai", protocol: embeddings, path: azureV1 + "/embeddings"},
	{service: "deepseek", protocol: responses, path: "/responses"},
	{service: "deepseek", protocol: completions, path: "/beta/completions"},
	{service: "groq", protocol: responses, path: "/openai/v1/responses", facts: "keeps no state: store must be false"},
	{service: "perplexity", protocol: embeddings, path: "/v1/embeddings", facts: "vectors may come as int8"},
	{service: "ollama", protocol: responses, path: "/v1/responses"},
	{service: "ollama", protocol: completions, path: "/v1/completions"},
	{service: "ollama", protocol: embeddings, path: "/v1/embeddings"},
	{service: "ccapi", protocol: gemini, scheme: AuthGoog},
	{service: "new-api", protocol: gemini, scheme: AuthGoog,
		facts: "its own errors come in OpenAI's shape; model names may end in -thinking, which sets a budget"},
	{service: "litellm", protocol: gemini, base: "http://localhost:4000"},
}

const vertexFacts = "base_url is https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION; " +
	"a token lives an hour"

// inAllFormats adds to services the further wire formats that they have, each
// after the service's other presets.
func inAllFormats(presets []Preset) (all []Preset) {
	for i, p := range presets {
		all = append(all, p)
		if i+1 < len(presets) && presets[i+1].Name == p.Name {
			continue
		}
		all = append(all, furtherFormats(presets, p.Name)...)
	}
	return all
}

// furtherFormats are those of one service.
func furtherFormats(presets []Preset, service string) (all []Preset) {
	at := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == service && p.Protocol == nightshift.Chat })
	if at < 0 {
		return nil
	}
	for _, protocol := range besideChat[service] {
		all = append(all, presets[at].asFormat(formatAt{protocol: protocol}))
	}
	for _, f := range elsewhere {
		if f.service == service {
			all = append(all, presets[at].asFormat(f))
		}
	}
	return all
}

// asFormat is a service in another wire format than Chat Completions.
func (p Preset) asFormat(f formatAt) Preset {
	p.Protocol, p.Path, p.Facts, p.CapName = f.protocol, f.path, f.facts, ""
	p.Description += ": " + string(f.protocol)
	if f.base != "" {
		p.BaseURL = f.base
	}
	if f.scheme != "" {
		p.Auth.Scheme, p.Auth.Header = f.scheme, ""
	}
	return p
}

// ProtocolsOf are the wire formats that a preset speaks, its native one first;
// nil for an unknown name.
func ProtocolsOf(name string) (all []nightshift.Protocol) {
	for _, p := range presets() {
		if p.Name == name {
			all = append(all, p.Protocol)
		}
	}
	return all
}
