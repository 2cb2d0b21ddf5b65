package messages

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// Decode implements the format.
func (Format) Decode(resp *nightshift.Response, message rawjson.Value) *nightshift.Error {
	var m assembly
	m.begin(message)
	content := message.Get("content")
	m.sawOutput = true
	switch content.Kind() {
	case rawjson.Array:
		m.whole(content)
	case rawjson.String, rawjson.Number, rawjson.Object: // some gateways
		m.blocks = append(m.blocks, oneBlock(content))
	case rawjson.Null:
	default:
		m.fill(resp)
		m.readUsage(resp)
		return answer.Shapeless("no_content", "the answer has no content: "+content.Kind().String())
	}
	m.stop(message, message.Get("stop_reason").String())
	m.fill(resp)
	m.finish(resp, message.Doc())
	if e := answer.BrokenOff(m.stopWord); e != nil {
		return e
	}
	return answer.Empty(resp)
}

// oneBlock is a content that is no list: a block, or a text.
func oneBlock(v rawjson.Value) *block {
	if v.Get("type").Set() {
		b := newBlock(v)
		b.closed = true
		return b
	}
	b := &block{kind: "text", closed: true}
	b.text.AddValue(v)
	return b
}

// An assembly is an answer as far as it has come, whole or in pieces.
type assembly struct {
	id, model    string
	blocks       []*block // in the order in which they were opened
	stopWord     string
	stopSequence string
	usage        []byte // the server's usage object, all parts merged
	notFinite    bool   // usage held NaN or Infinity, which is null now
	usageShrank  bool   // a later usage counted less
	sawOutput    bool   // usage holds a total of output tokens
	conflict     bool   // a plain end came after another stop reason
	mixed        bool   // a delta stood in a block of another kind
}

// A block is one content block.
type block struct {
	kind     string
	index    int64
	closed   bool
	text     answer.Text
	thinking answer.Text
	id       string // of tool_use, like name
	name     string
	input    string      // of tool_use, where the block came with one
	parts    answer.Text // of tool_use: input in pieces
}

// begin takes what an answer says of itself before its content.
func (m *assembly) begin(message rawjson.Value) {
	m.id = message.Get("id").String()
	m.model = message.Get("model").String()
	m.addUsage(message.Get("usage"))
}

// whole adds blocks that came complete.
func (m *assembly) whole(content rawjson.Value) {
	for c := content.First(); c.Exists(); c = c.Next() {
		b := newBlock(c)
		b.index, b.closed = int64(len(m.blocks)), true
		m.blocks = append(m.blocks, b)
	}
}

func newBlock(v rawjson.Value) *block {
	b := &block{kind: v.Get("type").String()}
	if b.kind == "" {
		b.kind = untyped(v)
	}
	switch b.kind {
	case "text":
		b.text.AddValue(v.Get("text"))
	case "thinking", "reasoning":
		b.thinking.AddValue(thoughts(v))
	case "tool_use":
		b.id, b.name = v.Get("id").String(), v.Get("name").String()
		b.input = answer.Arguments(v.Get("input"))
	}
	return b
}

// untyped is the kind of a block or delta without a type, by the field that it
// has.
func untyped(v rawjson.Value) string {
	switch {
	case v.Get("text").Exists():
		return "text"
	case thoughts(v).Exists():
		return "thinking"
	case v.Get("partial_json").Exists(), v.Get("name").Set() && v.Get("input").Exists():
		return "tool_use"
	}
	return ""
}

// thoughts is the text of reasoning, under the names that it has.
func thoughts(v rawjson.Value) rawjson.Value {
	for _, name := range [...]string{"thinking", "reasoning", "text"} {
		if t := v.Get(name); t.Set() {
			return t
		}
	}
	return rawjson.Value{}
}

// stop takes a stop reason, word, and the stop sequence beside it.
func (m *assembly) stop(v rawjson.Value, word string) {
	var conflict bool
	m.stopWord, conflict = answer.LaterStop(m.stopWord, word)
	m.conflict = m.conflict || conflict
	if sequence, ok := v.Get("stop_sequence").Text(); ok {
		m.stopSequence = sequence
	}
}

// fill writes the answer as far as it has come, without its usage, into an
// empty resp.
func (m *assembly) fill(resp *nightshift.Response) {
	resp.ID, resp.ServedModel = m.id, m.model
	resp.StopReason, resp.RawStopReason, resp.StopSequence = answer.Stop(m.stopWord), m.stopWord, m.stopSequence
	var text, thinking answer.Text
	for _, b := range m.blocks {
		if b.text.Set() { // texts follow each other without a break: citations and tools cut sentences
			text.Add(b.text.String())
		}
		addThought(&thinking, &b.thinking)
		switch b.kind {
		case "redacted_thinking":
			resp.Flag("thinking_redacted")
		case "tool_use":
			resp.ToolCalls = append(resp.ToolCalls, b.call())
		}
	}
	var tags bool
	resp.Text, resp.Thinking, tags = answer.TakeThink(text.Pointer(), thinking.Pointer(), resp.StopReason)
	if tags {
		resp.Flag(answer.FlagThinkTags)
	}
	if m.conflict {
		resp.Flag(answer.FlagStopConflict)
	}
	if m.mixed {
		resp.Flag("block_mismatch")
	}
	if len(resp.ToolCalls) > 0 && resp.StopReason == nightshift.StopEnd {
		resp.StopReason = nightshift.StopToolUse
	}
}

// addThought keeps the thoughts of different blocks apart by a blank line.
func addThought(all, one *answer.Text) {
	if !one.Set() {
		return
	}
	if all.Len() > 0 && one.Len() > 0 {
		all.Add("\n\n")
	}
	all.Add(one.String())
}

func (b *block) call() nightshift.ToolCall {
	arguments := b.input
	if b.parts.Len() > 0 {
		arguments = b.parts.String()
	}
	return nightshift.ToolCall{ID: b.id, Name: b.name, Arguments: answer.OrEmptyObject(arguments)}
}

// finish adds usage and flags to an answer that came to its end.
func (m *assembly) finish(resp *nightshift.Response, doc *rawjson.Doc) {
	m.readUsage(resp)
	answer.Marks(resp, doc)
	answer.MarkStop(resp)
	answer.MarkToolCalls(resp, resp.ToolCalls)
	if resp.StopReason == nightshift.StopEnd && len(m.blocks) == 0 && resp.Usage.Output.N() > 0 {
		resp.Flag(answer.FlagEmpty)
	}
}
