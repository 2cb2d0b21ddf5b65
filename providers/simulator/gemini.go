package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/ratelimit"
)

// gemini is Google's generateContent and its stream. The model, and the wish
// for a stream, stand in the path.
const gemini protocol = "gemini"

// geminiVerbs are the ends of its paths.
const (
	geminiWhole  = ":generateContent"
	geminiStream = ":streamGenerateContent"
)

func isGemini(path string) bool {
	return strings.HasSuffix(path, geminiWhole) || strings.HasSuffix(path, geminiStream)
}

// geminiFields are the members that a body may have; any other is refused, as
// the vendor does.
var geminiFields = map[string]bool{
	"model": true, "contents": true, "systemInstruction": true, "generationConfig": true,
	"safetySettings": true, "tools": true,
	"toolConfig": true, "cachedContent": true, "labels": true, "serviceTier": true,
}

// geminiAsk is a body. Names in snake_case have been made camelCase.
type geminiAsk struct {
	Contents []geminiContent `json:"contents"`
	System   *geminiContent  `json:"systemInstruction"`
	Config   struct {
		MaxOutput   *int            `json:"maxOutputTokens"`
		Candidates  *int            `json:"candidateCount"`
		Temperature *float64        `json:"temperature"`
		TopP        *float64        `json:"topP"`
		Stops       []string        `json:"stopSequences"`
		Seed        *int64          `json:"seed"`
		MimeType    string          `json:"responseMimeType"`
		Schema      json.RawMessage `json:"responseSchema"`
		JSONSchema  json.RawMessage `json:"responseJsonSchema"`
		Thinking    *struct {
			Include bool   `json:"includeThoughts"`
			Budget  *int   `json:"thinkingBudget"`
			Level   string `json:"thinkingLevel"`
		} `json:"thinkingConfig"`
	} `json:"generationConfig"`
	Tools []struct {
		Functions []struct {
			Name, Description string
			Parameters        json.RawMessage `json:"parameters"`
			JSONSchema        json.RawMessage `json:"parametersJsonSchema"`
		} `json:"functionDeclarations"`
	} `json:"tools"`
	ToolConfig struct {
		Calling struct {
			Mode  string   `json:"mode"`
			Names []string `json:"allowedFunctionNames"`
		} `json:"functionCallingConfig"`
	} `json:"toolConfig"`
}

type geminiContent struct {
	Role  string       `json:"role"`
	Parts []geminiPart `json:"parts"`
}

type geminiPart struct {
	Text   *string `json:"text"`
	Inline *struct {
		MimeType string `json:"mimeType"`
		Data     string `json:"data"`
	} `json:"inlineData"`
	File *struct {
		URI string `json:"fileUri"`
	} `json:"fileData"`
	Call *struct {
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	} `json:"functionCall"`
	Response *struct {
		Name     string          `json:"name"`
		Response json.RawMessage `json:"response"`
	} `json:"functionResponse"`
}

// parseGemini reads a request. The error is a *requestError.
func parseGemini(at *url.URL, body []byte) (*ask, error) {
	g, err := readGemini(body)
	if err != nil {
		return nil, err
	}
	path := strings.TrimSuffix(at.Path, "/")
	a := &ask{protocol: gemini, n: 1, stream: strings.HasSuffix(path, geminiStream)}
	a.list = a.stream && at.Query().Get("alt") != "sse"
	named, _, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ":")
	if _, after, ok := strings.Cut(path, "/models/"); ok {
		named = after[:strings.LastIndexByte(after, ':')]
	}
	if a.model = named; a.model == "" {
		return nil, &requestError{message: "the path names no model", status: 404}
	}
	w, err := g.wire()
	if err != nil {
		return nil, err
	}
	for _, step := range []func(*wireAsk) error{a.readCaps, a.readTools, a.readFormat, a.readConversation} {
		if err := step(w); err != nil {
			return nil, err
		}
	}
	if t := g.Config.Thinking; t != nil {
		a.showThoughts = t.Include
		a.thinking = a.thinking || t.Level != "" || t.Budget != nil && *t.Budget != 0
	}
	a.key = a.conversation()
	return a, nil
}

// readGemini decodes a body and refuses fields that there are not.
func readGemini(body []byte) (*geminiAsk, error) {
	var tree any
	if err := json.Unmarshal(body, &tree); err != nil {
		return nil, &requestError{message: "Invalid JSON payload received. " + err.Error()}
	}
	tree = camelNames(tree)
	root, ok := tree.(map[string]any)
	if !ok {
		return nil, &requestError{message: "Invalid JSON payload received. The root is no object."}
	}
	for name := range root {
		if !geminiFields[name] {
			message := fmt.Sprintf("Invalid JSON payload received. Unknown name %q: Cannot find field.", name)
			return nil, &requestError{message: message}
		}
	}
	again, err := json.Marshal(tree)
	if err != nil {
		return nil, &requestError{message: "Invalid JSON payload received. " + err.Error()}
	}
	var g geminiAsk
	if err := json.Unmarshal(again, &g); err != nil {
		return nil, &requestError{message: "Invalid value. " + err.Error()}
	}
	if len(g.Contents) == 0 {
		return nil, &requestError{message: "* GenerateContentRequest.contents: contents is not specified"}
	}
	return &g, nil
}

// userNames are members whose contents are the user's, names included.
var userNames = map[string]bool{
	"args": true, "response": true, "properties": true, "labels": true,
	"parametersJsonSchema": true, "responseJsonSchema": true,
}

// camelNames makes all names camelCase but those that are the user's.
func camelNames(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = camelNames(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			first, rest, _ := strings.Cut(name, "_")
			for rest != "" && first != "" {
				var next string
				next, rest, _ = strings.Cut(rest, "_")
				if next != "" {
					first += strings.ToUpper(next[:1]) + next[1:]
				}
			}
			if first == "" {
				first = name
			}
			if !userNames[first] {
				member = camelNames(member)
			}
			out[first] = member
		}
		return out
	}
	return v
}

// wire brings the request into the terms of the other protocols.
func (g *geminiAsk) wire() (*wireAsk, error) {
	c := g.Config
	w := &wireAsk{
		MaxTokens: c.MaxOutput, N: c.Candidates, Temperature: c.Temperature, TopP: c.TopP,
		StopSeqs: c.Stops, Seed: c.Seed,
	}
	if c.MaxOutput != nil && *c.MaxOutput < 1 {
		return nil, &requestError{message: "max_output_tokens must be positive."}
	}
	if c.Candidates != nil && *c.Candidates > 8 {
		return nil, &requestError{message: "Number of candidates must be between 1 and 8."}
	}
	g.form(w)
	for _, set := range g.Tools {
		for _, f := range set.Functions {
			t := wireTool{Name: f.Name, Description: f.Description, InputSchema: f.JSONSchema}
			if t.InputSchema == nil {
				t.InputSchema = f.Parameters
			}
			w.Tools = append(w.Tools, t)
		}
	}
	switch calling := g.ToolConfig.Calling; {
	case strings.EqualFold(calling.Mode, "ANY") && len(calling.Names) == 1:
		w.ToolChoice = json.RawMessage(`{"type":"tool","name":` + quote(calling.Names[0]) + `}`)
	case calling.Mode != "":
		w.ToolChoice = json.RawMessage(quote(strings.ToLower(calling.Mode)))
	}
	if g.System != nil {
		w.System = json.RawMessage(blocks(g.System.Parts))
	}
	for _, content := range g.Contents {
		role := map[string]string{"model": "assistant", "user": "user", "": "user", "function": "user"}[content.Role]
		if role == "" {
			return nil, &requestError{message: "Please use a valid role: user, model."}
		}
		w.Messages = append(w.Messages, wireMessage{Role: role, Content: json.RawMessage(blocks(content.Parts))})
	}
	return w, nil
}

// form is what is asked of the form of the answer and of thinking.
func (g *geminiAsk) form(w *wireAsk) {
	if g.Config.MimeType == "application/json" {
		w.Format = &struct {
			Type   string `json:"type"`
			Schema struct {
				Schema json.RawMessage `json:"schema"`
			} `json:"json_schema"`
		}{Type: "json_schema"}
		w.Format.Schema.Schema = g.Config.JSONSchema
		if w.Format.Schema.Schema == nil {
			w.Format.Schema.Schema = g.Config.Schema
		}
	}
	t := g.Config.Thinking
	switch {
	case t == nil:
	case t.Budget != nil && *t.Budget == 0:
		w.Effort = "none"
	case t.Level != "":
		w.Effort = strings.ToLower(t.Level)
	}
	if t != nil && t.Budget != nil && *t.Budget > 0 {
		w.Thinking = &struct {
			Type   string `json:"type"`
			Budget int    `json:"budget_tokens"`
		}{"enabled", *t.Budget}
	}
}

// blocks writes parts as the blocks of Messages.
func blocks(parts []geminiPart) string {
	var list []object
	for _, p := range parts {
		var o object
		switch {
		case p.Text != nil:
			o = typed("text")
			o.text("text", *p.Text)
		case p.Call != nil:
			o = typed("tool_use")
			o.text("name", p.Call.Name)
			args := "{}"
			if p.Call.Args != nil {
				args = string(p.Call.Args)
			}
			o.raw("input", args)
		case p.Response != nil:
			o = typed("tool_result")
			o.text("content", resultText(p.Response.Response))
		case p.Inline != nil:
			kind := "document"
			if strings.HasPrefix(p.Inline.MimeType, "image/") {
				kind = "image"
			}
			o = typed(kind)
			source := typed("base64")
			source.text("data", p.Inline.Data)
			o.object("source", source)
		case p.File != nil:
			o = typed("document")
			source := typed("url")
			source.text("url", p.File.URI)
			o.object("source", source)
		default:
			continue
		}
		list = append(list, o)
	}
	return array(list...)
}

// resultText is what a function returned: the text of {"result": text}, or all
// of the object.
func resultText(response json.RawMessage) string {
	var one map[string]any
	if json.Unmarshal(response, &one) == nil && len(one) == 1 {
		if text, ok := one["result"].(string); ok {
			return text
		}
	}
	return string(response)
}

func geminiStop(stop string) string {
	switch stop {
	case stopMax:
		return "MAX_TOKENS"
	case stopFilter:
		return "SAFETY"
	case stopEnd, stopSequence, stopTool, stopRefusal, stopPause:
		return "STOP"
	}
	return strings.ToUpper(strings.TrimPrefix(stop, "="))
}

// geminiBody renders a whole answer, indented as the vendor does.
func (x *exchange) geminiBody(r *reply) []byte {
	var candidates []object
	for i := range r.choices {
		c := &r.choices[i]
		candidates = append(candidates, geminiCandidate(i, x.geminiParts(c), geminiStop(c.stop)))
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	body := x.geminiHead(r, candidates, r.tokens)
	if encoder.Encode(json.RawMessage(body)) != nil {
		return body // invalid UTF-8, which a fault put in
	}
	return []byte(b.String())
}

// geminiHead is an answer, or a piece of one, with the counts so far.
func (x *exchange) geminiHead(r *reply, candidates []object, t Tokens) []byte {
	o := newObject()
	o.raw("candidates", array(candidates...))
	if !r.noUsage {
		o.object("usageMetadata", geminiUsage(r, t))
	}
	o.text("modelVersion", r.model)
	o.text("responseId", r.id)
	return o.end()
}

// geminiCandidate is one candidate; without parts its content has none, and
// without a reason it goes on.
func geminiCandidate(index int, parts []object, reason string) object {
	content := newObject()
	if parts != nil {
		content.raw("parts", array(parts...))
	}
	content.text("role", "model")
	o := newObject()
	o.object("content", content)
	if reason != "" {
		o.text("finishReason", reason)
	}
	o.int("index", int64(index))
	return o
}

// geminiParts are all parts of an answer.
func (x *exchange) geminiParts(c *choice) (parts []object) {
	if c.thinking != "" && x.ask.showThoughts {
		parts = append(parts, textPart(c.thinking, true))
	}
	if c.text != "" || !c.null && len(c.calls) == 0 {
		parts = append(parts, textPart(x.visible(c), false))
	}
	return append(parts, x.callParts(c)...)
}

func textPart(text string, thought bool) object {
	o := newObject()
	o.text("text", text)
	if thought {
		o.raw("thought", "true")
	}
	return o
}

// callParts are the function calls, the first with the signature of the
// thoughts before it.
func (x *exchange) callParts(c *choice) (parts []object) {
	for i, f := range c.calls {
		inner := newObject()
		inner.text("name", f.name)
		inner.raw("args", f.arguments)
		o := newObject()
		o.object("functionCall", inner)
		if i == 0 {
			o.text("thoughtSignature", ident("", x.ask.seed.With("signature"), 48))
		}
		parts = append(parts, o)
	}
	return parts
}

// geminiUsage counts as the vendor does: what is cached lies inside the prompt,
// and thoughts outside the candidates.
func geminiUsage(r *reply, t Tokens) object {
	if r.mode == "zero" {
		t = Tokens{}
	}
	prompt := t.InputTotal()
	if r.badUsage {
		prompt = -prompt
	}
	o := newObject()
	o.int("promptTokenCount", prompt)
	if n := t.Output - t.Reasoning; n > 0 {
		o.int("candidatesTokenCount", n)
	}
	o.int("totalTokenCount", t.InputTotal()+t.Output)
	if t.CacheRead > 0 {
		o.int("cachedContentTokenCount", t.CacheRead)
	}
	if t.Reasoning > 0 {
		o.int("thoughtsTokenCount", t.Reasoning)
	}
	return o
}

// A geminiStreamer renders the pieces of one stream.
type geminiStreamer struct {
	*exchange
	reply    *reply
	out      rendering
	thoughts int // so far
	tokens   int // so far, thoughts included
}

// geminiStream renders an answer in pieces: events, or the elements of a list
// where events were not asked for.
func (x *exchange) geminiStream(r *reply) rendering {
	s := geminiStreamer{exchange: x, reply: r}
	s.out = rendering{status: 200, contentType: "text/event-stream"}
	if x.ask.list {
		s.out.contentType = "application/json; charset=UTF-8"
	}
	for i := range r.choices {
		s.choice(i, &r.choices[i])
	}
	for i := range r.choices {
		s.send(geminiCandidate(i, nil, geminiStop(r.choices[i].stop)), true)
	}
	if x.ask.list {
		s.out.add([]byte("\r\n]"), s.tokens, true)
	}
	return s.out
}

func (s *geminiStreamer) choice(index int, c *choice) {
	before := s.tokens
	if c.thinking != "" && s.ask.showThoughts {
		parts, counts := chunks(c.thinking, s.ask.seed)
		for i, part := range parts {
			s.thoughts, s.tokens = before+counts[i], before+counts[i]
			s.send(geminiCandidate(index, []object{textPart(part, true)}, ""), false)
		}
	}
	s.thoughts, s.tokens = before+c.reasoned, before+c.reasoned
	start := s.tokens
	parts, counts := chunks(s.visible(c), s.ask.seed)
	for i, part := range parts {
		s.tokens = start + counts[i]
		s.send(geminiCandidate(index, []object{textPart(part, false)}, ""), false)
	}
	if calls := s.callParts(c); calls != nil {
		s.tokens = before + c.output
		s.send(geminiCandidate(index, calls, ""), false)
	}
	s.tokens = before + c.output
}

// send adds a piece. The last one has the counts that are billed.
func (s *geminiStreamer) send(candidate object, tail bool) {
	t := s.reply.tokens
	if !tail {
		t.Output = min(t.Output, int64(s.tokens))
		t.Reasoning = min(t.Reasoning, int64(s.thoughts))
	}
	data := s.geminiHead(s.reply, []object{candidate}, t)
	switch {
	case !s.ask.list:
		data = []byte("data: " + string(data) + "\r\n\r\n")
	case len(s.out.pieces) == 0:
		data = []byte("[" + string(data))
	default:
		data = []byte(",\r\n" + string(data))
	}
	s.out.add(data, s.tokens, tail)
}

// geminiStatus are the vendor's words for HTTP statuses.
var geminiStatus = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION",
	403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
	413: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}

// geminiError words a failure as the vendor does, indented.
func (x *exchange) geminiError(f *failure) []byte {
	status := geminiStatus[f.code3()]
	if status == "" {
		status = "INTERNAL"
	}
	message := f.message
	details := x.geminiDetails(f)
	if f.status == 429 && details != nil {
		message = "You exceeded your current quota, please check your plan and billing details. " +
			"For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
	}
	e := newObject()
	e.int("code", int64(f.code3()))
	e.text("message", message)
	e.text("status", status)
	if details != nil {
		e.raw("details", array(details...))
	}
	o := newObject()
	o.object("error", e)
	body := o.end()
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	if encoder.Encode(json.RawMessage(body)) != nil {
		return body
	}
	return []byte(b.String())
}

// compact is an error on one line.
func compact(body []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, body) != nil {
		return body
	}
	return b.Bytes()
}

// geminiDetails says which quota is spent and when to ask again, or why a key
// is refused.
func (x *exchange) geminiDetails(f *failure) []object {
	switch f.kind {
	case "authentication_error":
		o := detail("ErrorInfo")
		o.text("reason", "API_KEY_INVALID")
		o.text("domain", "googleapis.com")
		return []object{o}
	case "insufficient_quota":
		const metric, id = "generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
		return []object{quotaFailureOf(metric, id, 20)}
	case "rate_limit_error":
	default:
		return nil
	}
	wait := time.Second
	names := [2]string{"generate_content_paid_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel"}
	limit := int64(1000)
	if r := f.refused; r != nil {
		limit, wait = r.Limit, r.Wait
		if r.Dimension > ratelimit.Requests {
			names[0] = "generate_content_paid_tier_input_token_count"
			names[1] = "GenerateContentPaidTierInputTokensPerModelPerMinute"
		}
	}
	details := []object{quotaFailureOf(names[0], names[1], limit)}
	if wait > 0 {
		o := detail("RetryInfo")
		o.text("retryDelay", fmt.Sprintf("%ds", int(math.Ceil(wait.Seconds()))))
		details = append(details, o)
	}
	return details
}

func detail(kind string) object {
	o := newObject()
	o.text("@type", "type.googleapis.com/google.rpc."+kind)
	return o
}

func quotaFailureOf(metric, id string, limit int64) object {
	v := newObject()
	v.text("quotaMetric", "generativelanguage.googleapis.com/"+metric)
	v.text("quotaId", id)
	v.text("quotaValue", fmt.Sprint(limit))
	o := detail("QuotaFailure")
	o.raw("violations", array(v))
	return o
}
