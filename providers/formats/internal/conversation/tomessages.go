package conversation

import (
	"encoding/json"
	"fmt"
	"strings"

	"nightshift"
	"nightshift/providers/internal/jsonscan"
)

// toMessagesMessage translates a Chat message.
func toMessagesMessage(v jsonscan.Value, path string) (json.RawMessage, error) {
	switch role := v.Get("role").String(); role {
	case "user":
		return claudeUser(v, path)
	case "assistant":
		return claudeAssistant(v, path)
	case "tool":
		block, err := toolResult(v, path)
		if err != nil {
			return nil, err
		}
		return append(append([]byte(`{"role":"user","content":[`), block...), "]}"...), nil
	case "system", "developer":
		return nil, cannot(path+" (role "+role+")", nightshift.Messages, "the system prompt stands outside of the messages")
	case "function":
		return nil, cannot(path+" (role function)", nightshift.Messages, "write it as a tool message with a tool_call_id")
	default:
		return nil, invalid(path+".role", fmt.Sprintf("is %q", role))
	}
}

func claudeUser(v jsonscan.Value, path string) (json.RawMessage, error) {
	if err := only(v, path, "role", "content"); err != nil {
		return nil, err
	}
	var w writer
	w.open('{')
	w.str("role", "user")
	if err := claudeContent(&w, v.Get("content"), path+".content"); err != nil {
		return nil, err
	}
	return w.close('}'), nil
}

// claudeContent writes content that is a string or a list of parts.
func claudeContent(w *writer, content jsonscan.Value, path string) error {
	switch content.Kind() {
	case jsonscan.String:
		w.raw("content", content.Raw())
		return nil
	case jsonscan.Array:
		w.key("content")
		w.open('[')
		err := claudeParts(w, content, path)
		w.close(']')
		return err
	}
	return invalid(path, "is "+content.Kind().String())
}

func claudeParts(w *writer, content jsonscan.Value, path string) error {
	for part, i := content.First(), 0; part.Exists(); part, i = part.Next(), i+1 {
		block, err := claudePart(part, fmt.Sprintf("%s[%d]", path, i))
		if err != nil {
			return err
		}
		w.item(block)
	}
	return nil
}

func claudePart(v jsonscan.Value, path string) ([]byte, error) {
	switch kind := v.Get("type").String(); kind {
	case "text":
		return textAndCache(v, path, nightshift.Messages)
	case "refusal": // what the assistant said
		return textPart(v.Get("refusal").String()), only(v, path, "type", "refusal")
	case "image_url":
		return claudeImage(v, path)
	case "file":
		return claudeFile(v, path)
	default:
		return nil, cannot(fmt.Sprintf("%s (a %q part)", path, kind), nightshift.Messages, "")
	}
}

func claudeImage(v jsonscan.Value, path string) ([]byte, error) {
	image := v.Get("image_url")
	if err := only(v, path, "type", "image_url", "cache_control"); err != nil {
		return nil, err
	}
	url := image.Get("url").String()
	switch detail := image.Get("detail").String(); detail {
	case "", "auto", "high": // Messages servers always look closely
	default:
		return nil, cannot(path+".image_url.detail ("+detail+")", nightshift.Messages, "leave the detail out, or shrink the image")
	}
	if err := only(image, path+".image_url", "url", "detail"); err != nil {
		return nil, err
	}
	return claudeMedia(v, "image", url, "", path+".image_url.url")
}

func claudeFile(v jsonscan.Value, path string) ([]byte, error) {
	if err := only(v, path, "type", "file", "cache_control"); err != nil {
		return nil, err
	}
	file := v.Get("file")
	if err := unless(file, path+".file", nightshift.Messages, "send the file itself as file_data", "filename", "file_data"); err != nil {
		return nil, err
	}
	return claudeMedia(v, "document", file.Get("file_data").String(), file.Get("filename").String(), path+".file.file_data")
}

// claudeMedia writes an image or document that url points to or holds.
func claudeMedia(v jsonscan.Value, kind, url, title, path string) ([]byte, error) {
	var w writer
	w.open('{')
	w.str("type", kind)
	w.key("source")
	w.open('{')
	if rest, isData := strings.CutPrefix(url, "data:"); isData {
		mediaType, data, ok := strings.Cut(rest, ";base64,")
		if !ok || mediaType == "" {
			return nil, cannot(path, nightshift.Messages, dataURLForm)
		}
		w.str("type", "base64")
		w.str("media_type", mediaType)
		w.str("data", data)
	} else {
		if !isWebURL(url) {
			return nil, cannot(path, nightshift.Messages, webURLOnly)
		}
		w.str("type", "url")
		w.str("url", url)
	}
	w.close('}')
	if title != "" {
		w.str("title", title)
	}
	cacheControl(&w, v)
	return w.close('}'), nil
}

// toolResult makes the block that answers a tool call. The name that some
// servers want in tool messages says only what the call's id does.
func toolResult(v jsonscan.Value, path string) ([]byte, error) {
	if err := only(v, path, "role", "tool_call_id", "content", "name"); err != nil {
		return nil, err
	}
	id := v.Get("tool_call_id").String()
	if id == "" {
		return nil, invalid(path, "answers a tool call but has no tool_call_id")
	}
	var w writer
	w.open('{')
	w.str("type", "tool_result")
	w.str("tool_use_id", id)
	if v.Get("content").Set() {
		if err := claudeContent(&w, v.Get("content"), path+".content"); err != nil {
			return nil, err
		}
	}
	return w.close('}'), nil
}

func claudeAssistant(v jsonscan.Value, path string) (json.RawMessage, error) {
	if err := assistantExtras(v, path); err != nil {
		return nil, err
	}
	calls, refusal, content := v.Get("tool_calls"), v.Get("refusal").String(), v.Get("content")
	var w writer
	w.open('{')
	w.str("role", "assistant")
	if calls.Count() == 0 && refusal == "" && content.Set() {
		err := claudeContent(&w, content, path+".content")
		return w.close('}'), err
	}
	w.key("content")
	w.open('[')
	switch {
	case content.Kind() == jsonscan.Array:
		if err := claudeParts(&w, content, path+".content"); err != nil {
			return nil, err
		}
	case content.String() != "": // Messages servers refuse empty text blocks
		w.item(textPart(content.String()))
	}
	if refusal != "" {
		w.item(textPart(refusal))
	}
	for call, i := calls.First(), 0; call.Exists(); call, i = call.Next(), i+1 {
		block, err := claudeCall(call, fmt.Sprintf("%s.tool_calls[%d]", path, i))
		if err != nil {
			return nil, err
		}
		w.item(block)
	}
	w.close(']')
	return w.close('}'), nil
}

// assistantExtras refuses fields of an assistant message that Messages has no
// place for. Empty ones are echoes of an answer and say nothing.
func assistantExtras(v jsonscan.Value, path string) error {
	names := []string{"role", "content", "tool_calls", "refusal"}
	for _, name := range []string{"annotations", "reasoning_content", "reasoning", "reasoning_details"} {
		if m := v.Get(name); m.Is("") || m.Kind() == jsonscan.Array && m.Count() == 0 {
			names = append(names, name)
		}
	}
	return only(v, path, names...)
}

func claudeCall(v jsonscan.Value, path string) ([]byte, error) {
	if kind := v.Get("type").String(); kind != "function" && kind != "" {
		return nil, cannot(fmt.Sprintf("%s (of type %q)", path, kind), nightshift.Messages, "")
	}
	if err := only(v, path, "index", "id", "type", "function"); err != nil {
		return nil, err
	}
	function := v.Get("function")
	if err := only(function, path+".function", "name", "arguments"); err != nil {
		return nil, err
	}
	arguments := strings.TrimSpace(function.Get("arguments").String())
	if arguments == "" {
		arguments = "{}"
	}
	if input, err := jsonscan.Strict([]byte(arguments)); err != nil || input.Kind() != jsonscan.Object {
		return nil, cannot(path+".function.arguments", nightshift.Messages, "they must be a JSON object")
	}
	var w writer
	w.open('{')
	w.str("type", "tool_use")
	w.str("id", v.Get("id").String())
	w.str("name", function.Get("name").String())
	w.raw("input", []byte(arguments))
	return w.close('}'), nil
}
