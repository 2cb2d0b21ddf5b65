package requests

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"nightshift/providers/simulator/internal/jsontext"
)

// Gemini is Google's generateContent and its stream. The model, and the wish
// for a stream, stand in the path.
const Gemini Protocol = "gemini"

// geminiVerbs are the ends of its paths.
const (
	geminiWhole  = ":generateContent"
	geminiStream = ":streamGenerateContent"
)

func IsGemini(path string) bool {
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

// ParseGemini reads a request. The error is a *requestError.
func ParseGemini(at *url.URL, body []byte) (*Request, error) {
	g, err := readGemini(body)
	if err != nil {
		return nil, err
	}
	path := strings.TrimSuffix(at.Path, "/")
	a := &Request{Protocol: Gemini, N: 1, Stream: strings.HasSuffix(path, geminiStream)}
	a.List = a.Stream && at.Query().Get("alt") != "sse"
	named, _, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ":")
	if _, after, ok := strings.Cut(path, "/models/"); ok {
		named = after[:strings.LastIndexByte(after, ':')]
	}
	if a.Model = named; a.Model == "" {
		return nil, &Error{Message: "the path names no model", Status: 404}
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
		a.ShowThoughts = t.Include
		a.Thinking = a.Thinking || t.Level != "" || t.Budget != nil && *t.Budget != 0
	}
	a.Key = a.conversation()
	return a, nil
}

// readGemini decodes a body and refuses fields that there are not.
func readGemini(body []byte) (*geminiAsk, error) {
	var tree any
	if err := json.Unmarshal(body, &tree); err != nil {
		return nil, &Error{Message: "Invalid JSON payload received. " + err.Error()}
	}
	tree = camelNames(tree)
	root, ok := tree.(map[string]any)
	if !ok {
		return nil, &Error{Message: "Invalid JSON payload received. The root is no object."}
	}
	for name := range root {
		if !geminiFields[name] {
			message := fmt.Sprintf("Invalid JSON payload received. Unknown name %q: Cannot find field.", name)
			return nil, &Error{Message: message}
		}
	}
	again, err := json.Marshal(tree)
	if err != nil {
		return nil, &Error{Message: "Invalid JSON payload received. " + err.Error()}
	}
	var g geminiAsk
	if err := json.Unmarshal(again, &g); err != nil {
		return nil, &Error{Message: "Invalid value. " + err.Error()}
	}
	if len(g.Contents) == 0 {
		return nil, &Error{Message: "* GenerateContentRequest.contents: contents is not specified"}
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
		return nil, &Error{Message: "max_output_tokens must be positive."}
	}
	if c.Candidates != nil && *c.Candidates > 8 {
		return nil, &Error{Message: "Number of candidates must be between 1 and 8."}
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
		w.ToolChoice = json.RawMessage(`{"type":"tool","name":` + jsontext.Quote(calling.Names[0]) + `}`)
	case calling.Mode != "":
		w.ToolChoice = json.RawMessage(jsontext.Quote(strings.ToLower(calling.Mode)))
	}
	if g.System != nil {
		w.System = json.RawMessage(blocks(g.System.Parts))
	}
	for _, content := range g.Contents {
		role := map[string]string{"model": "assistant", "user": "user", "": "user", "function": "user"}[content.Role]
		if role == "" {
			return nil, &Error{Message: "Please use a valid role: user, model."}
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
	var list []jsontext.Object
	for _, p := range parts {
		var o jsontext.Object
		switch {
		case p.Text != nil:
			o = jsontext.Typed("text")
			o.Text("text", *p.Text)
		case p.Call != nil:
			o = jsontext.Typed("tool_use")
			o.Text("name", p.Call.Name)
			args := "{}"
			if p.Call.Args != nil {
				args = string(p.Call.Args)
			}
			o.Raw("input", args)
		case p.Response != nil:
			o = jsontext.Typed("tool_result")
			o.Text("content", resultText(p.Response.Response))
		case p.Inline != nil:
			kind := "document"
			if strings.HasPrefix(p.Inline.MimeType, "image/") {
				kind = "image"
			}
			o = jsontext.Typed(kind)
			source := jsontext.Typed("base64")
			source.Text("data", p.Inline.Data)
			o.Object("source", source)
		case p.File != nil:
			o = jsontext.Typed("document")
			source := jsontext.Typed("url")
			source.Text("url", p.File.URI)
			o.Object("source", source)
		default:
			continue
		}
		list = append(list, o)
	}
	return jsontext.Array(list...)
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
