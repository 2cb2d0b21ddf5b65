package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"nightshift"
	"nightshift/internal/pattern"
	"nightshift/internal/rawjson"
)

// Params are fields of a request body (or of a scorer), in the order in which
// they are written and with their numbers as they are written.
type Params []nightshift.Param

func (p *Params) decodeNode(d *decoder, n *yaml.Node, path string) {
	pairs, ok := d.pairs(n, path)
	if ok {
		*p = d.params(pairs, path)
	}
}

func (d *decoder) params(pairs []pair, path string) Params {
	var params Params
	for _, p := range pairs {
		d.source.nodes[join(path, p.key)] = p.value
		if b, ok := d.toJSON(p.value, join(path, p.key)); ok {
			params = append(params, nightshift.Param{Name: p.key, Value: b})
		}
	}
	return params
}

// MarshalJSON writes an object with the params in their order.
func (p Params) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, param := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quote(param.Name))
		b.WriteByte(':')
		b.Write(param.Value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// get returns the value of a parameter; nil when it is not there.
func (p Params) get(name string) json.RawMessage {
	for _, param := range p {
		if param.Name == name {
			return param.Value
		}
	}
	return nil
}

// set puts a parameter in the place of the one of that name, or at the end.
func (p *Params) set(name string, value json.RawMessage) {
	for i := range *p {
		if (*p)[i].Name == name {
			(*p)[i].Value = value
			return
		}
	}
	*p = append(*p, nightshift.Param{Name: name, Value: value})
}

// toJSON writes a node as JSON: order and number texts are kept.
func (d *decoder) toJSON(n *yaml.Node, path string) (json.RawMessage, bool) {
	var b bytes.Buffer
	if !d.writeJSON(&b, n, path) {
		return nil, false
	}
	return b.Bytes(), true
}

func (d *decoder) writeJSON(b *bytes.Buffer, n *yaml.Node, path string) bool {
	n, ok := d.enter(n, path)
	if !ok {
		return false
	}
	defer d.leave()
	switch n.Kind {
	case yaml.MappingNode:
		return d.writeObject(b, n, path)
	case yaml.SequenceNode:
		return d.writeArray(b, n, path)
	}
	text, err := scalarJSON(n)
	if err != nil {
		d.node(n, path, "", "%s: %v", path, err)
		return false
	}
	b.Write(text)
	return true
}

func (d *decoder) writeObject(b *bytes.Buffer, n *yaml.Node, path string) bool {
	pairs, ok := d.pairs(n, path)
	b.WriteByte('{')
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quote(p.key))
		b.WriteByte(':')
		ok = d.writeJSON(b, p.value, join(path, p.key)) && ok
	}
	b.WriteByte('}')
	return ok
}

func (d *decoder) writeArray(b *bytes.Buffer, n *yaml.Node, path string) bool {
	ok := true
	b.WriteByte('[')
	for i, item := range n.Content {
		if i > 0 {
			b.WriteByte(',')
		}
		ok = d.writeJSON(b, item, fmt.Sprintf("%s[%d]", path, i)) && ok
	}
	b.WriteByte(']')
	return ok
}

// jsonNumber is the grammar of RFC 8259.
var jsonNumber = pattern.Late(`^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$`)

func scalarJSON(n *yaml.Node) ([]byte, error) {
	switch n.ShortTag() {
	case "!!null":
		return []byte("null"), nil
	case "!!bool":
		value := strings.ToLower(n.Value)
		return strconv.AppendBool(nil, value == "true" || value == "yes" || value == "on"), nil
	case "!!int", "!!float":
		return numberJSON(n.Value)
	case "!!binary":
		return nil, fmt.Errorf("!!binary cannot go into a request body; write the base64 text itself")
	}
	return quote(n.Value), nil
}

// numberJSON keeps a number's text where JSON allows it and rewrites YAML's
// other forms (+1, .5, 1_000, 0x1F) exactly.
func numberJSON(text string) ([]byte, error) {
	if jsonNumber().MatchString(text) {
		return []byte(text), nil
	}
	plain := strings.TrimPrefix(strings.ReplaceAll(text, "_", ""), "+")
	if i, ok := new(big.Int).SetString(plain, 0); ok && !strings.ContainsAny(plain, ".") {
		return []byte(i.String()), nil
	}
	sign := ""
	if strings.HasPrefix(plain, "-") {
		sign, plain = "-", plain[1:]
	}
	whole, rest := plain, ""
	if i := strings.IndexAny(plain, "eE"); i >= 0 {
		whole, rest = plain[:i], plain[i:]
	}
	if strings.HasPrefix(whole, ".") {
		whole = "0" + whole
	}
	plain = sign + strings.TrimSuffix(whole, ".") + rest
	if jsonNumber().MatchString(plain) {
		return []byte(plain), nil
	}
	return nil, fmt.Errorf("%s is not a number that JSON can hold", text)
}

// quote is a text as JSON, without HTML escapes.
func quote(s string) []byte { return rawjson.AppendString(nil, s) }
