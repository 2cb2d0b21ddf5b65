package requests

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/random"
)

// A Protocol is a way of speaking, chosen by the path.
type Protocol string

// The vendors' formats. Responses, Completions, Gemini and the formats of vectors
// stand with their readers.
const (
	Messages Protocol = "messages"
	Chat     Protocol = "chat"
	Envelope Protocol = "envelope" // Messages asked, Chat choices answered inside "data"
)

// A Request is a request of any protocol, in the server's own terms.
type Request struct {
	Protocol Protocol
	Model    string
	system   string
	Turns    []turn
	Question string // text of the last user turn

	MaxTokens    int // 0 when HasMax is false
	HasMax       bool
	Stream       bool
	IncludeUsage bool
	N            int
	Stop         []string
	Tools        []Tool
	Choice       toolChoice
	Thinking     bool   // asked for
	Budget       int    // thinking budget; 0 is free
	Effort       string // reasoning effort
	json         bool   // JSON asked for by parameter
	schema       json.RawMessage
	Logprobs     bool
	TopLogprobs  int    // alternatives beside each token
	Legacy       bool   // tools came as "functions"
	sampling     string // a sampling parameter that was sent
	oldCap       bool   // the cap of Chat came under its old name

	Embed *Embedding // of a request for vectors; nil else

	List         bool // Gemini: a stream as a JSON list
	ShowThoughts bool // Gemini: thoughts are asked for

	images int // tokens of images and documents
	Marks  []mark
	// Steps are where a cache may find that the prompt is as another's up to there:
	// the end of each text, and every few tokens within one.
	Steps       []Step
	CacheKey    string // prompt_cache_key
	InputTokens int
	Completion  *continuation // of the Completions format alone
	Response    *responseAsk  // of the Responses format alone
	Key         random.Seed   // of model and conversation
	Seed        random.Seed   // Key, with the server's seed and whatever else varies answers
}

// A turn is one message; images and tool results are kept as their text.
type turn struct {
	role   string
	text   string
	Result bool // carries a tool result
}

// A Tool is what the model may call.
type Tool struct {
	Name, description string
	schema            json.RawMessage
	Custom            bool // its input is text (Chat)
}

// toolChoice is "", "auto", "any", "none" or "tool" with a name.
type toolChoice struct {
	Kind, Name string
	Single     bool // parallel calls forbidden
}

// A Step is a place in the prompt: what stands before it, and its tokens.
type Step struct {
	Prefix random.Seed
	Tokens int
}

// stepTokens is how many tokens lie between the steps within a text.
const stepTokens = 64

// A mark is a cache breakpoint: the prompt up to it.
type mark struct {
	Prefix random.Seed
	Tokens int
	Hour   bool
}

// A requestError is a 400 in the making.
type Error struct {
	Message     string
	Param, Code string
	Status      int // 0 means 400
}

func (e *Error) Error() string { return e.Message }

func invalid(param, format string, args ...any) error {
	return &Error{Message: fmt.Sprintf(format, args...), Param: param, Code: "invalid_value"}
}

// wireAsk has the fields of both protocols: their names do not clash.
type wireAsk struct {
	Model       *string         `json:"model"`
	Messages    []wireMessage   `json:"messages"`
	System      json.RawMessage `json:"system"`
	MaxTokens   *int            `json:"max_tokens"`
	MaxComplete *int            `json:"max_completion_tokens"`
	Stream      bool            `json:"stream"`
	Temperature *float64        `json:"temperature"`
	TopP        *float64        `json:"top_p"`
	StopSeqs    []string        `json:"stop_sequences"`
	Stop        json.RawMessage `json:"stop"`
	N           *int            `json:"n"`
	Seed        *int64          `json:"seed"`
	Tools       []wireTool      `json:"tools"`
	Functions   []wireFunction  `json:"functions"`
	ToolChoice  json.RawMessage `json:"tool_choice"`
	FuncChoice  json.RawMessage `json:"function_call"`
	Parallel    *bool           `json:"parallel_tool_calls"`
	Thinking    *struct {
		Type   string `json:"type"`
		Budget int    `json:"budget_tokens"`
	} `json:"thinking"`
	Output *struct {
		Effort string `json:"effort"`
		Format *struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"output_config"`
	Effort        string `json:"reasoning_effort"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Format *struct {
		Type   string `json:"type"`
		Schema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
	Logprobs bool       `json:"logprobs"`
	Top      *int       `json:"top_logprobs"`
	Cache    *wireCache `json:"cache_control"`
	CacheKey string     `json:"prompt_cache_key"`
}

type wireMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	Calls   json.RawMessage `json:"tool_calls"`
}

type wireTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
	Function    *wireFunction   `json:"function"`
	Custom      *wireFunction   `json:"custom"`
	Cache       *wireCache      `json:"cache_control"`
}

type wireFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

type wireCache struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

type wireBlock struct {
	Type     string          `json:"type"`
	Text     string          `json:"text"`
	Thinking string          `json:"thinking"`
	Name     string          `json:"name"`
	Input    json.RawMessage `json:"input"`
	Content  json.RawMessage `json:"content"`
	Title    string          `json:"title"`
	Source   *wireSource     `json:"source"`
	ImageURL *struct {
		URL    string `json:"url"`
		Detail string `json:"detail"`
	} `json:"image_url"`
	Cache *wireCache `json:"cache_control"`
}

// A wireSource is what an image or a document is made of, or the name of where
// a search result is from.
type wireSource struct {
	Type string `json:"type"`
	Data string `json:"data"`
	URL  string `json:"url"`
	name string
}

func (s *wireSource) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &s.name)
	}
	type plain wireSource
	return json.Unmarshal(b, (*plain)(s))
}

// parseAsk reads a request body. The error is a *requestError.
func Parse(p Protocol, body []byte) (*Request, error) {
	switch p {
	case Completions:
		return parseCompletion(body)
	case Responses:
		return parseResponse(body)
	}
	var w wireAsk
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, &Error{Message: "The request body is not valid JSON: " + err.Error()}
	}
	a := &Request{Protocol: p, Stream: w.Stream, N: 1, Logprobs: w.Logprobs}
	if w.Model == nil || *w.Model == "" {
		return nil, missing(p, "model")
	}
	a.Model = *w.Model
	if w.Messages == nil {
		return nil, missing(p, "messages")
	}
	if len(w.Messages) == 0 {
		return nil, &Error{Message: "messages: at least one message is required", Param: "messages", Code: "empty_array"}
	}
	steps := []func(*wireAsk) error{a.readCaps, a.readTools, a.readFormat, a.readConversation}
	for _, step := range steps {
		if err := step(&w); err != nil {
			return nil, err
		}
	}
	a.Key = a.conversation()
	return a, nil
}

func missing(p Protocol, field string) error {
	if p.LikeChat() {
		return &Error{Message: "Missing required parameter: '" + field + "'.", Param: field,
			Code: "missing_required_parameter"}
	}
	return &Error{Message: field + ": Field required", Param: field}
}

// readCaps reads everything about the length and the number of answers.
func (a *Request) readCaps(w *wireAsk) error {
	max := w.MaxTokens
	if max == nil && a.Protocol.LikeChat() {
		max = w.MaxComplete
	}
	switch {
	case max == nil && a.Protocol == Messages:
		return missing(Messages, "max_tokens")
	case max != nil && (*max < 0 || *max == 0 && a.Protocol == Chat):
		return invalid("max_tokens", "max_tokens: must be at least 1, got %d", *max)
	case max != nil:
		a.MaxTokens, a.HasMax = *max, true
	}
	hottest := 1.0
	if a.Protocol.LikeChat() || a.Protocol == Gemini {
		hottest = 2
	}
	if t := w.Temperature; t != nil && (*t < 0 || *t > hottest) {
		return invalid("temperature", "temperature: must be between 0 and %g, got %g", hottest, *t)
	}
	if t := w.TopP; t != nil && (*t < 0 || *t > 1) {
		return invalid("top_p", "top_p: must be between 0 and 1, got %g", *t)
	}
	switch {
	case w.Temperature != nil && *w.Temperature != 1:
		a.sampling = "temperature"
	case w.TopP != nil:
		a.sampling = "top_p"
	}
	a.oldCap = w.MaxTokens != nil
	if w.N != nil {
		if *w.N < 1 || *w.N > 128 {
			return invalid("n", "n: must be between 1 and 128, got %d", *w.N)
		}
		a.N = *w.N
	}
	if w.StreamOptions != nil {
		if !w.Stream {
			return invalid("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
		}
		a.IncludeUsage = w.StreamOptions.IncludeUsage
	}
	return a.readStops(w)
}

func (a *Request) readStops(w *wireAsk) error {
	a.Stop = w.StopSeqs
	if len(w.Stop) > 0 && string(w.Stop) != "null" {
		var one string
		if json.Unmarshal(w.Stop, &one) == nil {
			a.Stop = []string{one}
		} else if err := json.Unmarshal(w.Stop, &a.Stop); err != nil {
			return invalid("stop", "stop: must be a string or an array of strings")
		}
		if len(a.Stop) > 4 {
			return invalid("stop", "stop: at most 4 sequences, got %d", len(a.Stop))
		}
	}
	for _, s := range a.Stop {
		if strings.TrimSpace(s) == "" && a.Protocol == Messages {
			return invalid("stop_sequences", "stop_sequences: each stop sequence must contain non-whitespace")
		}
	}
	return nil
}

func (a *Request) readTools(w *wireAsk) error {
	for _, t := range w.Tools {
		switch {
		case t.Function != nil:
			a.Tools = append(a.Tools, Tool{t.Function.Name, t.Function.Description, t.Function.Parameters, false})
		case t.Custom != nil && t.Custom.Name != "" && a.Protocol.LikeChat():
			a.Tools = append(a.Tools, Tool{t.Custom.Name, t.Custom.Description, nil, true})
		case t.Name != "":
			a.Tools = append(a.Tools, Tool{t.Name, t.Description, t.InputSchema, false})
		default:
			return invalid("tools", "tools: each tool needs a name")
		}
	}
	for _, f := range w.Functions {
		a.Tools, a.Legacy = append(a.Tools, Tool{f.Name, f.Description, f.Parameters, false}), true
	}
	choice := w.ToolChoice
	if a.Legacy {
		choice = w.FuncChoice
	}
	a.Choice = readToolChoice(choice)
	a.Choice.Single = a.Choice.Single || w.Parallel != nil && !*w.Parallel
	if (a.Choice.Kind == "any" || a.Choice.Kind == "tool") && len(a.Tools) == 0 {
		return invalid("tool_choice", "tool_choice: no tools are given")
	}
	if a.Choice.Kind == "tool" && a.tool(a.Choice.Name) == nil {
		return invalid("tool_choice", "tool_choice: tool %q is not among the tools", a.Choice.Name)
	}
	return nil
}

func (a *Request) tool(name string) *Tool {
	for i := range a.Tools {
		if a.Tools[i].Name == name {
			return &a.Tools[i]
		}
	}
	return nil
}

func readToolChoice(raw json.RawMessage) toolChoice {
	if len(raw) == 0 {
		return toolChoice{}
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		if word == "required" {
			word = "any"
		}
		return toolChoice{Kind: word}
	}
	var c struct {
		Type     string `json:"type"`
		Name     string `json:"name"`
		Single   bool   `json:"disable_parallel_tool_use"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
		Custom struct {
			Name string `json:"name"`
		} `json:"custom"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return toolChoice{}
	}
	switch {
	case c.Function.Name != "":
		return toolChoice{Kind: "tool", Name: c.Function.Name}
	case c.Custom.Name != "":
		return toolChoice{Kind: "tool", Name: c.Custom.Name}
	case c.Type == "" && c.Name != "": // the old function_call
		return toolChoice{Kind: "tool", Name: c.Name}
	}
	return toolChoice{Kind: c.Type, Name: c.Name, Single: c.Single}
}

// readFormat reads what is asked of form and of thinking.
func (a *Request) readFormat(w *wireAsk) error {
	if f := w.Format; f != nil {
		a.json = f.Type == "json_object" || f.Type == "json_schema"
		a.schema = f.Schema.Schema
	}
	a.Effort = w.Effort
	if o := w.Output; o != nil {
		a.Effort = o.Effort
		if o.Format != nil && o.Format.Type == "json_schema" {
			a.json, a.schema = true, o.Format.Schema
		}
	}
	if t := w.Thinking; t != nil {
		a.Thinking = t.Type == "enabled" || t.Type == "adaptive"
		a.Budget = t.Budget
		if a.Protocol == Messages && t.Type == "enabled" {
			if t.Budget < 1024 {
				return invalid("thinking.budget_tokens",
					"thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
			}
			if t.Budget >= a.MaxTokens {
				return invalid("max_tokens", "`max_tokens` must be greater than `thinking.budget_tokens`.")
			}
		}
	}
	if a.Protocol.LikeChat() && a.Effort != "" && a.Effort != "none" {
		a.Thinking = true
	}
	if w.Top != nil {
		if *w.Top < 0 || *w.Top > 20 {
			return invalid("top_logprobs", "top_logprobs: must be between 0 and 20, got %d", *w.Top)
		}
		if !w.Logprobs {
			return invalid("top_logprobs", "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.")
		}
		a.TopLogprobs = *w.Top
	}
	if w.Seed != nil {
		a.Seed = random.Start.WithInt(uint64(*w.Seed))
	}
	return nil
}

// readConversation flattens system, tools and messages to text, counting
// tokens and noting cache marks on the way.
func (a *Request) readConversation(w *wireAsk) error {
	p := prompt{Request: a, prefix: random.Start}
	a.CacheKey = w.CacheKey
	for _, t := range w.Tools {
		p.add(t.Name)
		p.add(t.Description)
		p.add(string(t.InputSchema))
		if t.Function != nil {
			p.add(t.Function.Name)
			p.add(t.Function.Description)
			p.add(string(t.Function.Parameters))
		}
		if t.Custom != nil {
			p.add(t.Custom.Name)
			p.add(t.Custom.Description)
		}
		p.mark(t.Cache)
	}
	for _, f := range w.Functions {
		p.add(f.Name)
		p.add(f.Description)
		p.add(string(f.Parameters))
	}
	if len(w.System) > 0 && string(w.System) != "null" {
		text, _, err := p.content(w.System, "system")
		if err != nil {
			return err
		}
		a.system = text
	}
	for i, m := range w.Messages {
		if err := p.message(i, m); err != nil {
			return err
		}
	}
	p.mark(w.Cache)
	a.InputTokens = p.tokens + a.images + 2
	if a.Marks == nil && a.Protocol.LikeChat() && a.InputTokens >= 1024 {
		a.Marks = append(a.Marks, mark{Prefix: p.stable, Tokens: p.stableTokens})
	}
	if a.Question == "" && len(a.Turns) > 0 {
		a.Question = a.Turns[len(a.Turns)-1].text
	}
	return nil
}

// A prompt accumulates the text of a request.
type prompt struct {
	*Request
	prefix       random.Seed
	tokens       int
	stable       random.Seed // prefix before the last message: what automatic caching shares
	stableTokens int
}

func (p *prompt) add(text string) {
	if text == "" {
		return
	}
	from, n := 0, 0
	for at := 0; at < len(text); n++ {
		if n > 0 && n%stepTokens == 0 {
			p.step(text[from:at])
			from = at
		}
		at += answers.NextToken(text[at:])
		p.tokens++
	}
	p.step(text[from:])
}

func (p *prompt) step(text string) {
	p.prefix = p.prefix.With(text)
	p.Steps = append(p.Steps, Step{p.prefix, p.tokens + p.images})
}

func (p *prompt) mark(c *wireCache) {
	if c != nil && len(p.Marks) < 4 {
		p.Marks = append(p.Marks, mark{p.prefix, p.tokens + p.images, c.TTL == "1h"})
	}
}

func (p *prompt) message(i int, m wireMessage) error {
	p.stable, p.stableTokens = p.prefix, p.tokens
	field := "messages." + strconv.Itoa(i) + ".content"
	p.tokens++
	text, result, err := p.content(m.Content, field)
	if err != nil {
		return err
	}
	if len(m.Calls) > 0 && string(m.Calls) != "null" {
		p.add(string(m.Calls))
		text += string(m.Calls)
	}
	switch m.Role {
	case "system", "developer":
		p.system = joinLines(p.system, text)
		return nil
	case "user":
		if !result {
			p.Question = text
		}
	case "assistant":
	case "tool", "function":
		result = true
	default:
		return invalid(fmt.Sprintf("messages.%d.role", i), "messages.%d.role: unexpected role %q", i, m.Role)
	}
	p.Turns = append(p.Turns, turn{m.Role, text, result})
	return nil
}

// content reads a string or a list of blocks.
func (p *prompt) content(raw json.RawMessage, field string) (text string, result bool, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", false, nil
	}
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", false, invalid(field, "%s: not a string", field)
		}
		p.add(text)
		return text, false, nil
	}
	var blocks []wireBlock
	if err := json.Unmarshal(raw, &blocks); err != nil {
		return "", false, invalid(field, "%s: must be a string or an array of blocks", field)
	}
	for i, b := range blocks {
		t, r, err := p.block(b, fmt.Sprintf("%s.%d", field, i))
		if err != nil {
			return "", false, err
		}
		text = joinLines(text, t)
		result = result || r
		p.mark(b.Cache)
	}
	return text, result, nil
}

func (p *prompt) block(b wireBlock, field string) (text string, result bool, err error) {
	switch b.Type {
	case "text", "refusal":
		text = b.Text
	case "thinking":
		text = b.Thinking
	case "tool_use":
		text = b.Name + " " + string(b.Input)
	case "tool_result":
		text, _, err = p.content(b.Content, field)
		return text, true, err
	case "search_result":
		if b.Source != nil {
			p.add(b.Source.name)
		}
		p.add(b.Title)
		text, _, err = p.content(b.Content, field)
		return text, false, err
	case "image", "document", "image_url", "input_audio", "file":
		return "", false, p.media(b, field)
	case "":
		return "", false, invalid(field, "%s.type: Field required", field)
	}
	p.add(text)
	return text, false, nil
}

func joinLines(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n" + b
}

// conversation identifies what was asked of whom, in all protocols alike.
func (a *Request) conversation() random.Seed {
	h := random.Start.With(a.Model).With(a.system)
	for _, t := range a.Turns {
		h = h.With(t.role).With(t.text)
	}
	return h.WithInt(uint64(a.images))
}

// AsQuestion is what a model is told of a request.
func (a *Request) AsQuestion() answers.Question {
	q := answers.Question{System: a.system, Text: a.Question, JSON: a.json, Schema: a.schema, Seed: a.Seed}
	if n := len(a.Turns); n > 0 && a.Turns[n-1].Result {
		q.Result = &a.Turns[n-1].text
	}
	return q
}

// Arguments are what a tool is called with: a text for a custom tool, else JSON.
func (t *Tool) Arguments(question string, s random.Seed) string {
	if t.Custom {
		return answers.Head(question, 200)
	}
	return answers.Arguments(t.schema, question, s)
}

// Named is the protocol by which faults name a request: what the wrapping gateway
// is asked is Messages.
func (a *Request) Named() Protocol {
	if a.Protocol == Envelope {
		return Messages
	}
	return a.Protocol
}
