package requests

import (
	"encoding/json"
	"slices"
	"strconv"

	"nightshift/providers/simulator/internal/jsontext"
)

// Responses is OpenAI's Responses format. Its headers are Chat's.
const Responses Protocol = "responses"

// A responseAsk is what only a request of the Responses format says.
type responseAsk struct {
	Background bool
	Store      bool
	Summary    bool // a summary of the reasoning is shown
	Sealed     bool // the reasoning comes encrypted too
}

// unknownResponse are the parameters of Chat Completions that the format
// refuses.
var unknownResponse = []string{
	"messages", "max_tokens", "max_completion_tokens", "stop", "seed", "n", "logit_bias", "frequency_penalty",
	"presence_penalty", "response_format", "reasoning_effort", "logprobs",
}

// wireResponse is a request body of the Responses format.
type wireResponse struct {
	Model        *string         `json:"model"`
	Input        json.RawMessage `json:"input"`
	Instructions string          `json:"instructions"`
	MaxOutput    *int            `json:"max_output_tokens"`
	Stream       bool            `json:"stream"`
	Store        *bool           `json:"store"`
	Background   bool            `json:"background"`
	Previous     *string         `json:"previous_response_id"`
	Include      []string        `json:"include"`
	Temperature  *float64        `json:"temperature"`
	TopP         *float64        `json:"top_p"`
	Tools        []wireFlatTool  `json:"tools"`
	ToolChoice   json.RawMessage `json:"tool_choice"`
	Parallel     *bool           `json:"parallel_tool_calls"`
	CacheKey     string          `json:"prompt_cache_key"`
	Reasoning    *struct {
		Effort  string  `json:"effort"`
		Summary *string `json:"summary"`
	} `json:"reasoning"`
	Text *struct {
		Format *struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"text"`
}

// A wireFlatTool is a tool without Chat's inner object.
type wireFlatTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

// A wireItem is one element of the input.
type wireItem struct {
	Type      string          `json:"type"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    json.RawMessage `json:"output"`
	Sealed    string          `json:"encrypted_content"`
}

// parseResponse reads a request body. The error is a *requestError.
func parseResponse(body []byte) (*Request, error) {
	var w wireResponse
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, &Error{Message: "The request body is not valid JSON: " + err.Error()}
	}
	if err := w.check(body); err != nil {
		return nil, err
	}
	a := &Request{Protocol: Responses, Model: *w.Model, Stream: w.Stream, N: 1, Response: w.own()}
	a.ShowThoughts = a.Response.Summary
	like, err := w.likeChat()
	if err != nil {
		return nil, err
	}
	for _, step := range []func(*wireAsk) error{a.readCaps, a.readTools, a.readFormat, a.readConversation} {
		if err := step(like); err != nil {
			return nil, err
		}
	}
	a.Key = a.conversation()
	return a, nil
}

// check refuses what the vendor does.
func (w *wireResponse) check(body []byte) error {
	var names map[string]json.RawMessage
	_ = json.Unmarshal(body, &names) // it is an object
	for _, name := range unknownResponse {
		if _, there := names[name]; there {
			return &Error{Message: "Unknown parameter: '" + name + "'.", Param: name, Code: "unknown_parameter"}
		}
	}
	switch {
	case w.Model == nil || *w.Model == "":
		return missing(Chat, "model")
	case len(w.Input) == 0:
		return missing(Chat, "input")
	case w.MaxOutput != nil && *w.MaxOutput < 16:
		return &Error{
			Message: "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, " +
				"but got " + strconv.Itoa(*w.MaxOutput) + " instead.",
			Param: "max_output_tokens", Code: "integer_below_min_value",
		}
	case w.Previous != nil:
		return &Error{
			Message: "Previous response with id '" + *w.Previous + "' not found.", Param: "previous_response_id",
			Code: "previous_response_not_found",
		}
	case w.Background && w.Store != nil && !*w.Store:
		return invalid("background", "Background mode requires 'store' to be true.")
	}
	return nil
}

func (w *wireResponse) own() *responseAsk {
	return &responseAsk{
		Background: w.Background, Store: w.Store == nil || *w.Store,
		Summary: w.Reasoning != nil && w.Reasoning.Summary != nil,
		Sealed:  slices.Contains(w.Include, "reasoning.encrypted_content"),
	}
}

// likeChat is the request in the terms of Chat Completions, which are read
// further.
func (w *wireResponse) likeChat() (*wireAsk, error) {
	like := &wireAsk{
		Model: w.Model, Stream: w.Stream, MaxComplete: w.MaxOutput, Temperature: w.Temperature, TopP: w.TopP,
		Parallel: w.Parallel, CacheKey: w.CacheKey,
	}
	if w.Reasoning != nil {
		like.Effort = w.Reasoning.Effort
	}
	if err := w.format(like); err != nil {
		return nil, err
	}
	for _, t := range w.Tools {
		if t.Type != "function" && t.Type != "custom" {
			return nil, invalid("tools", "Invalid value: '%s'. Supported values are: 'function' and 'custom'.", t.Type)
		}
		f := &wireFunction{Name: t.Name, Description: t.Description, Parameters: t.Parameters}
		tool := wireTool{Type: t.Type, Function: f}
		if t.Type == "custom" {
			tool = wireTool{Type: t.Type, Custom: f}
		}
		like.Tools = append(like.Tools, tool)
	}
	like.ToolChoice = w.choice()
	var err error
	like.Messages, err = w.messages()
	return like, err
}

func (w *wireResponse) format(like *wireAsk) error {
	if w.Text == nil || w.Text.Format == nil {
		return nil
	}
	f := jsontext.New()
	f.Text("type", w.Text.Format.Type)
	if w.Text.Format.Type == "json_schema" {
		s := jsontext.New()
		s.Raw("schema", string(w.Text.Format.Schema))
		f.Object("json_schema", s)
	}
	return json.Unmarshal(f.End(), &like.Format)
}

// choice is tool_choice as Chat has it.
func (w *wireResponse) choice() json.RawMessage {
	var c struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	if json.Unmarshal(w.ToolChoice, &c) != nil || c.Name == "" {
		return w.ToolChoice
	}
	f := jsontext.New()
	f.Text("name", c.Name)
	o := jsontext.Typed(c.Type)
	o.Object(c.Type, f)
	return o.End()
}

// messages are instructions and input as Chat's messages.
func (w *wireResponse) messages() (list []wireMessage, err error) {
	if w.Instructions != "" {
		list = append(list, wireMessage{Role: "system", Content: json.RawMessage(jsontext.Quote(w.Instructions))})
	}
	var text string
	if json.Unmarshal(w.Input, &text) == nil {
		return append(list, wireMessage{Role: "user", Content: w.Input}), nil
	}
	var items []wireItem
	if err := json.Unmarshal(w.Input, &items); err != nil || len(items) == 0 {
		return nil, &Error{Message: "Invalid type for 'input': expected a string or a list of items.", Param: "input",
			Code: "invalid_type"}
	}
	answered := map[string]bool{}
	for _, it := range items {
		answered[it.CallID] = answered[it.CallID] || it.Type == "function_call_output"
	}
	for i, it := range items {
		m, skip, err := it.message(i)
		if err != nil {
			return nil, err
		}
		if it.Type == "function_call" && !answered[it.CallID] {
			return nil, &Error{Message: "No tool output found for function call " + it.CallID + ".", Param: "input"}
		}
		if it.Type == "reasoning" && i == len(items)-1 {
			return nil, &Error{Message: "Item of type 'reasoning' was provided without its required following item.",
				Param: "input"}
		}
		if !skip {
			list = append(list, m)
		}
	}
	return list, nil
}

// message is an item as a message of Chat's; skip is true for those that say
// nothing.
func (it *wireItem) message(i int) (m wireMessage, skip bool, err error) {
	switch it.Type {
	case "", "message":
		content, err := chatContent(it.Content, i)
		return wireMessage{Role: it.Role, Content: content}, false, err
	case "function_call":
		return wireMessage{Role: "assistant", Content: json.RawMessage(`""`),
			Calls: json.RawMessage(jsontext.Quote(it.Name + " " + it.Arguments))}, false, nil
	case "function_call_output":
		content, err := chatContent(it.Output, i)
		return wireMessage{Role: "tool", Content: content}, false, err
	case "reasoning":
		return m, true, nil
	}
	return m, false, invalid("input", "Invalid value: '%s' for 'input[%d].type'.", it.Type, i)
}

// chatContent is a text, or the parts of one as Chat has them.
func chatContent(raw json.RawMessage, i int) (json.RawMessage, error) {
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil {
		return json.RawMessage(jsontext.Quote(text)), nil
	}
	var parts []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
		Image   string `json:"image_url"`
		Detail  string `json:"detail"`
		File    string `json:"file_data"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, invalid("input", "Invalid type for 'input[%d].content': expected a string or a list of parts.", i)
	}
	var list []jsontext.Object
	for _, p := range parts {
		switch p.Type {
		case "input_text", "output_text", "refusal":
			o := jsontext.Typed("text")
			o.Text("text", p.Text+p.Refusal)
			list = append(list, o)
		case "input_image":
			image := jsontext.New()
			image.Text("url", p.Image)
			image.Text("detail", p.Detail)
			o := jsontext.Typed("image_url")
			o.Object("image_url", image)
			list = append(list, o)
		case "input_file":
			o := jsontext.Typed("document")
			source := jsontext.Typed("base64")
			source.Text("data", p.File)
			o.Object("source", source)
			list = append(list, o)
		default:
			return nil, invalid("input", "Invalid value: '%s' for a part of 'input[%d].content'.", p.Type, i)
		}
	}
	return json.RawMessage(jsontext.Array(list...)), nil
}
