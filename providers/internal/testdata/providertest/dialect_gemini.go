package providertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

type geminiDialect struct{}

func (geminiDialect) protocol() nightshift.Protocol { return nightshift.Gemini }
func (geminiDialect) auth() providers.Auth          { return providers.Auth{Scheme: providers.AuthGoog} }
func (geminiDialect) header() map[string]string     { return nil }
func (geminiDialect) request(*nightshift.Request)   {}
func (geminiDialect) keys() (id, model string)      { return "responseId", "modelVersion" }
func (geminiDialect) goesOn() bool                  { return true }
func (geminiDialect) maySayNothing() bool           { return true }

func (geminiDialect) path(stream bool) string {
	if stream {
		return "/v1beta/models/" + Model + ":streamGenerateContent?alt=sse"
	}
	return "/v1beta/models/" + Model + ":generateContent"
}

func (geminiDialect) checkBody(tb testing.TB, body []byte, _ bool) {
	var said struct {
		Contents          []json.RawMessage
		SystemInstruction json.RawMessage
		GenerationConfig  struct{ MaxOutputTokens int }
		Model, Stream     json.RawMessage
	}
	err := json.Unmarshal(body, &said)
	if err != nil || len(said.Contents) == 0 || len(said.SystemInstruction) == 0 ||
		said.GenerationConfig.MaxOutputTokens != 64 {
		tb.Errorf("body %s: %v", body, err)
	}
	if said.Model != nil || said.Stream != nil {
		tb.Errorf("model and stream stand in the URL, not in %s", body)
	}
}

// answer is a response with one candidate.
func (geminiDialect) answer(candidate, output string) string {
	usage := ""
	if output != "" {
		usage = fmt.Sprintf(`"usageMetadata":{"promptTokenCount":%d,"candidatesTokenCount":%s,"totalTokenCount":%s},`,
			inputTokens, output, total(output))
	}
	return `{"candidates":[{` + candidate + `"index":0}],` + usage + `"modelVersion":"` + Model + `","responseId":"r-1"}`
}

// says is the content of a candidate.
func (geminiDialect) says(text string) string {
	return `"content":{"role":"model","parts":[{"text":` + text + `}]},`
}

const geminiStop = `"finishReason":"STOP",`

func (d geminiDialect) whole(text, output string) string {
	return d.answer(d.says(text)+geminiStop, output)
}

func (d geminiDialect) stream(parts []string, output string) (events []string) {
	for _, p := range parts {
		events = append(events, "data: "+d.answer(d.says(p), notCounted)+"\n\n")
	}
	return append(events, "data: "+d.answer(`"content":{"role":"model"},`+geminiStop, output)+"\n\n")
}

func (d geminiDialect) hollow(content, output string) string {
	if content == "[]" {
		return d.answer(`"content":{"role":"model","parts":[]},`+geminiStop, output)
	}
	return d.answer(geminiStop, output)
}

func (d geminiDialect) toolCall(stream bool) string {
	call := `"content":{"role":"model","parts":[{"functionCall":{"id":"call_1","name":"look","args":{"a":1}}}]},`
	if stream {
		return "data: " + d.answer(call, notCounted) + "\n\ndata: " + d.answer(geminiStop, notCounted) + "\n\n"
	}
	return d.answer(call+geminiStop, notCounted)
}

func (geminiDialect) stopped(answer string, why ending) string {
	word := map[ending]string{byUnknown: "MOONSET", byLength: "MAX_TOKENS", byRefusal: "SAFETY"}[why]
	return strings.ReplaceAll(answer, geminiStop, `"finishReason":"`+word+`",`)
}

// googleStatus are Google's words for kinds of errors. For others its API has
// none: gateways say them in OpenAI's shape.
var googleStatus = map[string]string{
	"authentication_error": "UNAUTHENTICATED", "permission_error": "PERMISSION_DENIED", "not_found_error": "NOT_FOUND",
	"invalid_request_error": "INVALID_ARGUMENT", "rate_limit_error": "RESOURCE_EXHAUSTED",
	"requests":         "RESOURCE_EXHAUSTED",
	"overloaded_error": "UNAVAILABLE", "conflict_error": "ABORTED", "api_error": "INTERNAL",
}

func (geminiDialect) problem(status int, kind, code, message string) string {
	word, known := googleStatus[kind]
	if !known {
		return openAIProblem(kind, code, message)
	}
	if status < 300 { // it says so inside only
		status = map[string]int{"UNAUTHENTICATED": 401, "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503}[word]
	}
	return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q}}`, status, message, word)
}
