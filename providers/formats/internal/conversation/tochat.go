package conversation

import (
	"encoding/json"
	"fmt"
	"strings"

	"nightshift"
	"nightshift/providers/internal/jsonscan"
)

// toChatMessages translates a Messages message.
func toChatMessages(v jsonscan.Value, path string) ([]json.RawMessage, error) {
	if err := unless(v, path, nightshift.Chat, "", "role", "content"); err != nil {
		return nil, err
	}
	switch role := v.Get("role").String(); role {
	case "user":
		return chatUser(v.Get("content"), path+".content")
	case "assistant":
		m, err := chatAssistant(v.Get("content"), path+".content")
		return []json.RawMessage{m}, err
	default:
		return nil, invalid(path+".role", fmt.Sprintf("is %q", role))
	}
}

// chatUser makes a user message of what is no tool result, and a tool message
// of each that is one, in the order of the parts.
func chatUser(content jsonscan.Value, path string) ([]json.RawMessage, error) {
	var out []json.RawMessage
	var w writer // the user message in hand
	flush := func() {
		if w.buf != nil {
			out = append(out, append(w.close(']'), '}'))
			w.buf = nil
		}
	}
	for part, i := content.First(), 0; part.Exists(); part, i = part.Next(), i+1 {
		at := fmt.Sprintf("%s[%d]", path, i)
		if part.Get("type").Is("tool_result") {
			flush()
			m, err := chatTool(part, at)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
			continue
		}
		p, err := chatPart(part, at)
		if err != nil {
			return nil, err
		}
		if w.buf == nil {
			w.buf = []byte(`{"role":"user","content":[`)
		}
		w.item(p)
	}
	flush()
	return out, nil
}

func chatTool(v jsonscan.Value, path string) (json.RawMessage, error) {
	if v.Get("is_error").IsTrue() {
		return nil, cannot(path+".is_error", nightshift.Chat, "say in the result's text that it is an error")
	}
	if err := unless(v, path, nightshift.Chat, "", "type", "tool_use_id", "content", "is_error"); err != nil {
		return nil, err
	}
	id := v.Get("tool_use_id").String()
	if id == "" {
		return nil, invalid(path, "answers a tool call but has no tool_use_id")
	}
	var w writer
	w.open('{')
	w.str("role", "tool")
	w.str("tool_call_id", id)
	switch content := v.Get("content"); content.Kind() {
	case jsonscan.Missing, jsonscan.Null:
		w.str("content", "")
	case jsonscan.String:
		w.raw("content", content.Raw())
	default:
		w.key("content")
		w.open('[')
		for part, i := content.First(), 0; part.Exists(); part, i = part.Next(), i+1 {
			at := fmt.Sprintf("%s.content[%d]", path, i)
			if !part.Get("type").Is("text") {
				return nil, cannot(at, nightshift.Chat, "a tool result is text only")
			}
			p, err := chatPart(part, at)
			if err != nil {
				return nil, err
			}
			w.item(p)
		}
		w.close(']')
	}
	return w.close('}'), nil
}

// chatPart translates text, images and documents.
func chatPart(v jsonscan.Value, path string) ([]byte, error) {
	switch kind := v.Get("type").String(); kind {
	case "text":
		if c := v.Get("citations"); c.Kind() == jsonscan.Array && c.Count() == 0 {
			return textAndCache(v, path, nightshift.Chat, "citations")
		}
		return textAndCache(v, path, nightshift.Chat)
	case "image":
		return chatImage(v, path)
	case "document":
		return chatDocument(v, path)
	default:
		return nil, cannot(fmt.Sprintf("%s (a %q part)", path, kind), nightshift.Chat, "")
	}
}

// textAndCache writes a text part. The cache marker stays: gateways in front
// of Claude read it in Chat too. Fields beyond those and the further names are
// refused.
func textAndCache(v jsonscan.Value, path string, to nightshift.Protocol, further ...string) ([]byte, error) {
	if k := v.Get("text").Kind(); k != jsonscan.String {
		return nil, invalid(path+".text", "is "+k.String())
	}
	if err := unless(v, path, to, "", append(further, "type", "text", "cache_control")...); err != nil {
		return nil, err
	}
	var w writer
	w.open('{')
	w.str("type", "text")
	w.raw("text", v.Get("text").Raw())
	cacheControl(&w, v)
	return w.close('}'), nil
}

func cacheControl(w *writer, v jsonscan.Value) {
	if c := v.Get("cache_control"); c.Set() {
		w.raw("cache_control", c.Raw())
	}
}

func chatImage(v jsonscan.Value, path string) ([]byte, error) {
	if err := unless(v, path, nightshift.Chat, "", "type", "source", "cache_control"); err != nil {
		return nil, err
	}
	url, err := sourceURL(v.Get("source"), path+".source")
	if err != nil {
		return nil, err
	}
	var w writer
	w.open('{')
	w.str("type", "image_url")
	w.key("image_url")
	w.open('{')
	w.str("url", url)
	w.close('}')
	cacheControl(&w, v)
	return w.close('}'), nil
}

// sourceURL says where an image or document is: its URL, or its bytes as a
// data URL.
func sourceURL(source jsonscan.Value, path string) (string, error) {
	switch kind := source.Get("type").String(); kind {
	case "url":
		if err := unless(source, path, nightshift.Chat, "", "type", "url"); err != nil {
			return "", err
		}
		url := source.Get("url").String()
		if rest, isData := strings.CutPrefix(url, "data:"); isData && !isDataURL(rest) {
			return "", cannot(path+".url", nightshift.Chat, dataURLForm)
		} else if !isData && !isWebURL(url) {
			return "", cannot(path+".url", nightshift.Chat, webURLOnly)
		}
		return url, nil
	case "base64":
		if source.Get("media_type").String() == "" {
			return "", cannot(path, nightshift.Chat, "name its media_type")
		}
		return "data:" + source.Get("media_type").String() + ";base64," + source.Get("data").String(),
			unless(source, path, nightshift.Chat, "", "type", "media_type", "data")
	default:
		return "", cannot(fmt.Sprintf("%s (of type %q)", path, kind), nightshift.Chat, "send the data itself, or a URL")
	}
}

const (
	dataURLForm = "a data URL must read data:MEDIA/TYPE;base64,DATA"
	webURLOnly  = "only http, https and data URLs can be sent"
)

func isWebURL(url string) bool {
	return strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://")
}

// isDataURL reports whether what follows "data:" is bytes in base64 of a media
// type that is named.
func isDataURL(rest string) bool {
	mediaType, _, ok := strings.Cut(rest, ";base64,")
	return ok && mediaType != ""
}

func chatDocument(v jsonscan.Value, path string) ([]byte, error) {
	source := v.Get("source")
	if !source.Get("type").Is("base64") {
		return nil, cannot(fmt.Sprintf("%s.source (of type %q)", path, source.Get("type").String()), nightshift.Chat, "send the document as base64")
	}
	if err := unless(v, path, nightshift.Chat, "", "type", "source", "title", "cache_control"); err != nil {
		return nil, err
	}
	data, err := sourceURL(source, path+".source")
	if err != nil {
		return nil, err
	}
	name := "document.pdf" // the file part needs a name
	if title := v.Get("title").String(); title != "" {
		name = title
	}
	var w writer
	w.open('{')
	w.str("type", "file")
	w.key("file")
	w.open('{')
	w.str("filename", name)
	w.str("file_data", data)
	w.close('}')
	cacheControl(&w, v)
	return w.close('}'), nil
}

// chatAssistant gathers texts and tool calls, which have places of their own
// in Chat.
func chatAssistant(content jsonscan.Value, path string) (json.RawMessage, error) {
	var texts []textBlock
	var calls writer
	for part, i := content.First(), 0; part.Exists(); part, i = part.Next(), i+1 {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch kind := part.Get("type").String(); kind {
		case "text":
			written, err := chatPart(part, at)
			if err != nil {
				return nil, err
			}
			texts = append(texts, textBlock{part, written})
		case "tool_use":
			call, err := chatCall(part, at)
			if err != nil {
				return nil, err
			}
			calls.item(call)
		case "thinking", "redacted_thinking":
			return nil, cannot(at+" (thinking)", nightshift.Chat, "leave the thinking blocks out of the conversation")
		default:
			return nil, cannot(fmt.Sprintf("%s (a %q part)", at, kind), nightshift.Chat, "")
		}
	}
	var w writer
	w.open('{')
	w.str("role", "assistant")
	chatTexts(&w, texts)
	if calls.buf != nil {
		w.raw("tool_calls", append(append([]byte{'['}, calls.buf...), ']'))
	}
	return w.close('}'), nil
}

// A textBlock is a text part as it was and as Chat has it.
type textBlock struct {
	jsonscan.Value
	written []byte
}

// chatTexts writes the texts of an assistant message: one as a string, which
// every server reads, several as parts.
func chatTexts(w *writer, texts []textBlock) {
	switch {
	case len(texts) == 0:
		w.raw("content", []byte("null"))
	case len(texts) == 1 && !texts[0].Get("cache_control").Set():
		w.raw("content", texts[0].Get("text").Raw())
	default:
		w.key("content")
		w.open('[')
		for _, t := range texts {
			w.item(t.written)
		}
		w.close(']')
	}
}

func chatCall(v jsonscan.Value, path string) ([]byte, error) {
	if err := unless(v, path, nightshift.Chat, "", "type", "id", "name", "input", "caller"); err != nil {
		return nil, err
	}
	input := v.Get("input")
	if input.Exists() && input.Kind() != jsonscan.Object {
		return nil, invalid(path+".input", "is "+input.Kind().String()+", not an object")
	}
	arguments := "{}"
	if input.Exists() {
		arguments = string(input.Raw())
	}
	var w writer
	w.open('{')
	w.str("id", v.Get("id").String())
	w.str("type", "function")
	w.key("function")
	w.open('{')
	w.str("name", v.Get("name").String())
	w.str("arguments", arguments)
	w.close('}')
	return w.close('}'), nil
}
