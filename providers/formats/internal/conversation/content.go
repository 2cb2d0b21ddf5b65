package conversation

import (
	"fmt"
	"iter"
	"strings"

	"nightshift/internal/rawjson"
)

// Each yields the elements of a list with their paths.
func Each(list rawjson.Value, path string) iter.Seq2[rawjson.Value, string] {
	return func(yield func(rawjson.Value, string) bool) {
		for v, i := list.First(), 0; v.Exists(); v, i = v.Next(), i+1 {
			if !yield(v, fmt.Sprintf("%s[%d]", path, i)) {
				return
			}
		}
	}
}

// Content reads a text, or a list whose parts part reads.
func (t *Translation) Content(v rawjson.Value, path string, part func(v rawjson.Value, path string) Part) *Content {
	c := &Content{}
	switch v.Kind() {
	case rawjson.String:
		c.Text = v.Raw()
	case rawjson.Array:
		c.Parts = make([]Part, 0, 4)
		for p, at := range Each(v, path) {
			c.Parts = append(c.Parts, part(p, at))
		}
	default:
		t.Invalid(path, "is "+v.Kind().String())
	}
	return c
}

// TextPart reads a text part. The cache marker stays: gateways in front of
// Claude read it in every format. Fields beyond those and the further names
// are refused.
func (t *Translation) TextPart(v rawjson.Value, path string, further ...string) Part {
	text := v.Get("text")
	if k := text.Kind(); k != rawjson.String {
		t.Invalid(path+".text", "is "+k.String())
	}
	t.Only(v, path, append(further, "type", "text", "cache_control")...)
	return Part{Kind: Text, Path: path, Text: text.Raw(), Cache: IfSet(v.Get("cache_control"))}
}

// TextOnly is [Translation.TextPart] where nothing else may stand; what says so.
func (t *Translation) TextOnly(v rawjson.Value, path, what string, further ...string) Part {
	if !v.Get("type").Is("text") {
		t.Cannot(path, what+" is text only")
		return Part{}
	}
	return t.TextPart(v, path, further...)
}

// Plain is a part that is a text.
func Plain(text string) Part { return Part{Kind: Text, Text: rawjson.AppendString(nil, text)} }

// Chosen collects what the chosen turns say: texts, or parts once one of them
// is more than a text.
func Chosen(turns []Turn, chosen func(Turn) bool) (texts []string, parts []Part) {
	for _, turn := range turns {
		if !chosen(turn) {
			continue
		}
		if text, ok := turn.Words(); ok && parts == nil {
			texts = append(texts, text)
		} else {
			parts, texts = appendParts(parts, texts, turn), nil
		}
	}
	return texts, parts
}

// appendParts appends texts and what a turn holds, as parts.
func appendParts(parts []Part, texts []string, turn Turn) []Part {
	for _, text := range texts {
		parts = append(parts, Plain(text))
	}
	if text, ok := turn.Words(); ok {
		return append(parts, Plain(text))
	}
	if turn.Content.Text != nil {
		parts = append(parts, Part{Kind: Text, Text: turn.Content.Text})
	}
	return append(parts, turn.Content.Parts...)
}

// IfSet is the value's text, nil when it is missing or null.
func IfSet(v rawjson.Value) []byte {
	if !v.Set() {
		return nil
	}
	return v.Raw()
}

// Media is an image or a document: where it is, or its bytes.
type Media struct {
	Path       string // where it stands in the request, for errors
	URL        string // of http or https; empty with Data
	Type, Data string // media type and base64
}

// Media reads where something is: a data URL, or one of the web.
func (t *Translation) Media(url, path string) Media {
	rest, isData := strings.CutPrefix(url, "data:")
	if isData {
		mediaType, data, ok := strings.Cut(rest, ";base64,")
		if !ok || mediaType == "" {
			t.Cannot(path, "a data URL must read data:MEDIA/TYPE;base64,DATA")
		}
		return Media{Path: path, Type: mediaType, Data: data}
	}
	if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		t.Cannot(path, "only http, https and data URLs can be sent")
	}
	return Media{Path: path, URL: url}
}

// DataURL is the URL of media, which is a data URL for bytes.
func (m Media) DataURL() string {
	if m.URL != "" {
		return m.URL
	}
	return "data:" + m.Type + ";base64," + m.Data
}
