package prefix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
)

// mostMarks is how many cache markers servers take in a request.
const mostMarks = 4

// Mark puts a cache marker of a lifetime ("5m" or "1h") at the end of each prefix
// that a request has, or at the last place before that can be marked and has the
// bytes of minimum before it. ok is false, and the request as it was, where it has
// markers of its own, or no such place. A text is divided at white space.
func Mark(req nightshift.Request, p *Prefix, minimum int64, lifetime string) (marked nightshift.Request, ok bool) {
	o := outlineOf(&req)
	if o.marked || req.Body != nil {
		return req, false
	}
	m := marking{req: req, marker: markerOf(lifetime)}
	var places []place
	from := 0
	for _, part := range p.path() {
		if part.ends > len(o.ends) {
			return req, false // the request is not the row's
		}
		if at, found := m.last(o.ends[from:part.ends], minimum); found && !slices.Contains(places, at) {
			places = append(places, at)
		}
		from = part.ends
	}
	places = places[max(0, len(places)-mostMarks):]
	if len(places) == 0 {
		return req, false
	}
	m.apply(places)
	return m.req, true
}

// Marked reports whether a request says itself what is cached.
func Marked(req *nightshift.Request) bool { return outlineOf(req).marked }

func markerOf(lifetime string) string {
	if lifetime == "1h" {
		return `{"type":"ephemeral","ttl":"1h"}`
	}
	return `{"type":"ephemeral"}`
}

// A marking puts markers into one request.
type marking struct {
	req    nightshift.Request
	marker string
}

// last finds the last of some boundaries that can be marked.
func (m *marking) last(ends []boundary, minimum int64) (at place, found bool) {
	for _, end := range slices.Backward(ends) {
		if end.bytes < minimum {
			break
		}
		if at, found = m.settle(end.place); found {
			return at, true
		}
	}
	return place{}, false
}

// settle finds the place at a boundary, or a little before it, that can be marked.
func (m *marking) settle(at place) (place, bool) {
	switch {
	case at.part == partTools:
		return at, at.offset < 0 && m.toolList() != nil
	case at.part == partSystem:
		return textPlace(m.req.System, at)
	case m.req.Messages[at.message].Raw == nil:
		return textPlace(m.req.Messages[at.message].Text, at)
	case at.element < 0:
		return at, false
	}
	list := contentOf(m.req.Messages[at.message].Raw)
	if at.offset >= 0 {
		at.element, at.offset = at.element-1, -1
	}
	return at, at.element >= 0 && markable(list[at.element])
}

// textPlace is a place in a text: its end, or the last white space before it.
func textPlace(text string, at place) (place, bool) {
	if at.offset < 0 {
		return at, true
	}
	from := max(at.offset-blockBytes, 0)
	i := strings.LastIndexByte(text[from:at.offset], '\n')
	if i < 0 {
		i = strings.LastIndexByte(text[from:at.offset], ' ')
	}
	at.offset = from + i
	return at, i >= 0 && strings.TrimSpace(text[:at.offset]) != "" && strings.TrimSpace(text[at.offset:]) != ""
}

// markable reports whether servers take a marker on a part.
func markable(part json.RawMessage) bool {
	root, err := rawjson.Scan(part)
	if err != nil || root.Kind() != rawjson.Object {
		return false
	}
	switch root.Get("type").String() {
	case "text":
		return strings.TrimSpace(root.Get("text").String()) != ""
	case "image", "document", "image_url", "file", "tool_use", "tool_result", "search_result":
		return true
	}
	return false
}

// toolList are the request's tools; nil where their last cannot be marked.
func (m *marking) toolList() (list []json.RawMessage) {
	for _, p := range m.req.Params {
		if p.Name != "tools" || json.Unmarshal(p.Value, &list) != nil || len(list) == 0 {
			continue
		}
		if root, err := rawjson.Scan(list[len(list)-1]); err != nil || !root.First().Exists() {
			return nil
		}
	}
	return list
}

// apply writes the markers. What it changes is copied.
func (m *marking) apply(places []place) {
	m.req.Messages = slices.Clone(m.req.Messages)
	for _, group := range grouped(places) {
		switch at := group[0]; {
		case at.part == partTools:
			m.tools()
		case at.part == partSystem:
			defer m.system(group) // which moves the messages
		case m.req.Messages[at.message].Raw == nil:
			msg := &m.req.Messages[at.message]
			msg.Raw = m.divided(msg.Role, msg.Text, group)
		default:
			m.parts(&m.req.Messages[at.message], group)
		}
	}
}

// grouped are the places of each part of the request.
func grouped(places []place) (groups [][]place) {
	for i, at := range places {
		if i > 0 && at.part == places[i-1].part && at.message == places[i-1].message {
			groups[len(groups)-1] = append(groups[len(groups)-1], at)
			continue
		}
		groups = append(groups, []place{at})
	}
	return groups
}

// divided is a message of one text, as parts that end at the places.
func (m *marking) divided(role nightshift.Role, text string, places []place) json.RawMessage {
	var b []byte
	b = append(rawjson.AppendString([]byte(`{"role":`), string(role)), `,"content":[`...)
	from := 0
	part := func(to int, marker string) {
		if from > 0 {
			b = append(b, ',')
		}
		b = rawjson.AppendString(append(b, `{"type":"text","text":`...), text[from:to])
		if marker != "" {
			b = append(append(b, `,"cache_control":`...), marker...)
		}
		b = append(b, '}')
		from = to
	}
	for _, at := range places {
		to := at.offset
		if to < 0 {
			to = len(text)
		}
		part(to, m.marker)
	}
	if from < len(text) {
		part(len(text), "")
	}
	return append(b, "]}"...)
}

// system writes the system prompt as a message, which can be marked.
func (m *marking) system(places []place) {
	raw := m.divided(nightshift.RoleSystem, m.req.System, places)
	m.req.System = ""
	m.req.Messages = append([]nightshift.Message{{Role: nightshift.RoleSystem, Raw: raw}}, m.req.Messages...)
}

// parts marks parts of a message's content.
func (m *marking) parts(msg *nightshift.Message, places []place) {
	list := contentOf(msg.Raw)
	for _, at := range places {
		list[at.element] = m.withMarker(list[at.element])
	}
	content, _ := rawjson.Marshal(list) // of what was JSON already
	msg.Raw = fmt.Appendf(nil, `{"role":%q,"content":%s}`, msg.Role, content)
}

// withMarker adds a marker to an object.
func (m *marking) withMarker(object json.RawMessage) json.RawMessage {
	end := bytes.LastIndexByte(object, '}')
	return fmt.Appendf(nil, `%s,"cache_control":%s}`, bytes.TrimSpace(object[:end]), m.marker)
}

// tools marks the last tool.
func (m *marking) tools() {
	list := m.toolList()
	list[len(list)-1] = m.withMarker(list[len(list)-1])
	marked, _ := rawjson.Marshal(list) // of what was JSON already
	m.req.Params = slices.Clone(m.req.Params)
	for i, p := range m.req.Params {
		if p.Name == "tools" {
			m.req.Params[i].Value = marked
		}
	}
}
