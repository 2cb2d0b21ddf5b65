// Package prefix finds what the prompts of many rows share at their beginning,
// and keeps account of which of these beginnings a prompt cache holds, so that
// each is written once and read by all others.
package prefix

import (
	"bytes"
	"encoding/json"

	"nightshift"
	"nightshift/internal/rawjson"
)

// The beginning of a prompt is compared at its boundaries: the ends of its tools,
// its system prompt, its messages and their parts, and every few bytes within.
// Two prompts share what lies before the last boundary up to which they agree, so
// that less than blockBytes, or a 128th of it, are missed.
const (
	blockBytes = 128
	blockShare = 128
)

// What a part that is no text counts for, in bytes of text: an image for about 1,600
// tokens, as Anthropic counts one of a megapixel; a document for the 25th of its
// size, as scans and texts have it, and an image at least. Answers tell more.
const (
	imageBytes    = 6000
	documentShare = 25
)

// A place is where a boundary lies in a request.
type place struct {
	part    part
	message int // of partMessage: its index
	element int // of a message whose content is a list: its index; -1 else
	offset  int // bytes of its text before the boundary; -1 at its end
}

type part int

const (
	partTools part = iota
	partSystem
	partMessage
	partBody // a whole request body, in which nothing is marked
)

// A boundary is the end of a beginning: Hash is of all before it.
type boundary struct {
	hash  uint64
	bytes int64
	place place
}

// An outline is a prompt as its boundaries.
type outline struct {
	hash   uint64
	bytes  int64
	ends   []boundary
	marked bool // the request has cache markers, or a cache key, of its own
}

// FNV-1a: the hash names a prefix in records, so it is the same in all processes.
const (
	fnvStart = 14695981039346656037
	fnvPrime = 1099511628211
)

func (o *outline) mix(text string) {
	h := o.hash
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * fnvPrime
	}
	o.hash = h
}

func (o *outline) end(at place) { o.ends = append(o.ends, boundary{o.hash, o.bytes, at}) }

// add appends a piece of the prompt. kind tells it from others with the same text.
func (o *outline) add(kind, text string, at place) {
	if text == "" {
		return
	}
	o.mix(kind)
	for from := 0; from < len(text); {
		to := from + max(blockBytes, int(o.bytes/blockShare))
		at.offset = to
		if to >= len(text) {
			to, at.offset = len(text), -1
			o.mix(text[from:to])
			o.mix("\xff") // ends the text: in no UTF-8
		} else {
			o.mix(text[from:to])
		}
		o.bytes += int64(to - from)
		from = to
		o.end(at)
	}
}

// part appends a part of a message's content.
func (o *outline) part(element json.RawMessage, at place) {
	weight := int64(0)
	if root, err := rawjson.Scan(element); err == nil {
		switch root.Get("type").String() {
		case "image", "image_url", "input_image":
			weight = imageBytes
		case "document", "file", "input_file":
			if kind := root.Get("source").Get("type"); !kind.Is("text") && !kind.Is("content") {
				weight = max(imageBytes, int64(len(element)/documentShare))
			}
		}
	}
	if weight == 0 {
		o.add("part", string(element), at)
		return
	}
	o.mix("part")
	o.mix(string(element))
	o.mix("\xff")
	o.bytes += weight
	at.offset = -1
	o.end(at)
}

// outlineOf reads a request in the order in which prompt caches do: tools, system
// prompt, messages.
func outlineOf(req *nightshift.Request) *outline {
	o := &outline{hash: fnvStart, ends: make([]boundary, 0, 16)}
	for _, p := range req.Params {
		switch p.Name {
		case "tools":
			o.raw("tools", p.Value, place{part: partTools, element: -1})
		case "cache_control", "prompt_cache_key", "cachedContent":
			o.marked = true
		}
	}
	if req.Body != nil {
		o.body(req.Body)
		return o
	}
	o.add("system", req.System, place{part: partSystem, element: -1})
	for i, m := range req.Messages {
		at := place{part: partMessage, message: i, element: -1}
		if m.Raw == nil {
			o.add(string(m.Role), m.Text, at)
			continue
		}
		o.message(m, at)
	}
	return o
}

// raw adds JSON as it stands.
func (o *outline) raw(kind string, text json.RawMessage, at place) {
	o.marked = o.marked || hasMarker(text)
	o.add(kind, string(text), at)
}

// message adds a message that is more than a text: part by part where its content
// is a list, with whatever stands before the content at the first.
func (o *outline) message(m nightshift.Message, at place) {
	list := contentOf(m.Raw)
	if list == nil {
		o.raw("raw", m.Raw, at)
		return
	}
	o.marked = o.marked || hasMarker(m.Raw)
	o.mix(string(m.Role))
	for i, element := range list {
		at.element = i
		o.part(element, at)
	}
	o.mix(string(m.Raw[len(m.Raw)-1:]))
}

// contentOf are the parts of a message's content; nil where it is no list, or
// where the message has more than a role and a content.
func contentOf(raw json.RawMessage) (list []json.RawMessage) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || len(m) != 2 || m["role"] == nil {
		return nil
	}
	_ = json.Unmarshal(m["content"], &list)
	return list
}

// bodyParts are the members of whole request bodies that are the prompt, in the
// order in which they are read, whatever their format.
var bodyParts = []string{"tools", "system", "systemInstruction", "instructions", "messages", "input", "contents",
	"prompt"}

func (o *outline) body(raw json.RawMessage) {
	root, err := rawjson.Scan(raw)
	if err != nil {
		return
	}
	o.marked = o.marked || hasMarker(raw) || root.Get("prompt_cache_key").Exists()
	for _, name := range bodyParts {
		member := root.Get(name)
		if member.Kind() != rawjson.Array {
			o.raw(name, member.Raw(), place{part: partBody})
			continue
		}
		for e := member.First(); e.Exists(); e = e.Next() {
			o.raw(name, e.Raw(), place{part: partBody})
		}
	}
}

func hasMarker(text []byte) bool { return bytes.Contains(text, []byte(`"cache_control"`)) }
