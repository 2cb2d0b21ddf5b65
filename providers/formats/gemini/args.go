package gemini

import (
	"strconv"
	"strings"

	"nightshift/internal/rawjson"
)

// Arguments of a call can come in pieces, each a value and the path where it
// belongs: {"jsonPath":"$.place.names[0]","stringValue":"Bos"}. Strings for the
// same path are pieces of one string.

// maxSteps bounds how deep a path can lead.
const maxSteps = 64

// A node is a value that is being put together: an object, a list or a leaf.
type node struct {
	keys  []string // of an object, in the order in which they came
	items map[string]*node
	list  []*node
	text  string // of a leaf that is a string
	isStr bool
	json  []byte // of any other leaf
}

// put takes one piece of the arguments. Paths that cannot be read are passed
// over.
func (n *node) put(piece rawjson.Value) {
	at := n
	path := steps(piece.Get("jsonPath").String())
	if len(path) > maxSteps {
		return
	}
	for _, step := range path {
		if at = at.step(step); at == nil {
			return
		}
	}
	for m := piece.First(); m.Exists(); m = m.Next() {
		switch m.Key() {
		case "stringValue":
			at.isStr = true
			at.text += m.String()
		case "numberValue", "boolValue":
			at.json = m.JSON()
		case "nullValue":
			at.json = []byte("null")
		}
	}
}

// steps divides $.a.b[0]['c'] into its keys; those of a list begin with [.
func steps(path string) []string {
	var all []string
	rest := strings.TrimPrefix(path, "$")
	for rest != "" {
		switch end := 0; {
		case rest[0] == '.':
			rest = rest[1:]
			if end = strings.IndexAny(rest, ".["); end < 0 {
				end = len(rest)
			}
			all, rest = append(all, rest[:end]), rest[end:]
		case rest[0] == '[':
			inside, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return all
			}
			if key := strings.Trim(inside, `'"`); key != inside {
				all = append(all, key)
			} else {
				all = append(all, "["+inside)
			}
			rest = after
		default:
			return all
		}
	}
	return all
}

// step is the part of a value that a step of a path leads to; nil for none.
func (n *node) step(step string) *node {
	if inside, ok := strings.CutPrefix(step, "["); ok {
		i, err := strconv.Atoi(inside)
		if err != nil || i < 0 || i > len(n.list) { // lists grow element by element
			return nil
		}
		if i == len(n.list) {
			n.list = append(n.list, &node{})
		}
		return n.list[i]
	}
	if n.items == nil {
		n.items = map[string]*node{}
	}
	if n.items[step] == nil {
		n.items[step] = &node{}
		n.keys = append(n.keys, step)
	}
	return n.items[step]
}

// append writes the value as JSON.
func (n *node) append(b []byte) []byte {
	switch {
	case n.list != nil:
		b = append(b, '[')
		for i, item := range n.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = item.append(b)
		}
		return append(b, ']')
	case n.isStr:
		return rawjson.AppendString(b, n.text)
	case n.json != nil:
		return append(b, n.json...)
	}
	b = append(b, '{')
	for i, key := range n.keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(rawjson.AppendString(b, key), ':')
		b = n.items[key].append(b)
	}
	return append(b, '}')
}
