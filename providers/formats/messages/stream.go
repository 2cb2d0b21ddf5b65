package messages

import (
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// A stream assembles a streamed answer from its events.
type stream struct {
	answer.Events
	m        assembly
	started  bool                 // message_start seen
	noOutput bool                 // the last usage counts exactly 0 output tokens
	stopped  bool                 // a stop reason seen
	done     bool                 // message_stop seen
	whole    *nightshift.Response // the answer, when it came as one event
}

func newStream() *stream { return &stream{} }

// Done implements [answer.Stream]. Some gateways add [DONE].
func (s *stream) Done() bool { return s.done || s.DoneWord }

// Event implements [answer.Stream].
func (s *stream) Event(data []byte) (content bool, err *nightshift.Error) {
	root, bad, take := s.Scan(data, s.stopped)
	switch {
	case !take:
	case bad != nil:
		s.Unreadable(root, bad, func(v rawjson.Value) { s.other("error", v) })
	default:
		s.Count++
		content = s.event(kind(root), root)
		s.Mark()
	}
	return content, s.Err
}

// kind returns the type of an event. The JSON decides; where it says nothing,
// the fields that only one type has do.
func kind(event rawjson.Value) string {
	if t := event.Get("type").OneOf("content_block_delta", "content_block_start", "content_block_stop",
		"message_start", "message_delta", "message_stop", "ping"); t != "" {
		return t
	}
	switch {
	case event.Get("error").Says():
		return "error"
	case event.Get("message").Kind() == rawjson.Object:
		return "message_start"
	case event.Get("content_block").Set():
		return "content_block_start"
	case event.Get("delta").Get("stop_reason").Exists():
		return "message_delta"
	case event.Get("delta").Set():
		return "content_block_delta"
	}
	return ""
}

func (s *stream) event(kind string, ev rawjson.Value) (content bool) {
	if s.Done() {
		s.afterEnd(kind, ev)
		return false
	}
	switch kind {
	case "message_start":
		return s.messageStart(ev.Get("message"))
	case "content_block_start":
		return s.blockStart(ev)
	case "content_block_delta":
		return s.blockDelta(ev)
	case "content_block_stop":
		if b := s.m.block(ev.Get("index")); b != nil {
			b.closed = true
		}
	case "message_delta":
		s.messageDelta(ev)
	case "message_stop":
		s.takeUsage(ev)
		s.done = true
	case "message":
		return s.wholeMessage(ev)
	default:
		s.other(kind, ev)
	}
	return false
}

// afterEnd takes what follows the end: of it only usage counts.
func (s *stream) afterEnd(kind string, ev rawjson.Value) {
	switch kind {
	case "ping":
	case "message_delta", "message_stop", "":
		if s.takeUsage(ev) {
			return
		}
		fallthrough
	default:
		s.Flag(answer.FlagAfterEnd)
	}
}

// other takes events of no known type. Most mean nothing; an error is one
// whatever shape it has.
func (s *stream) other(kind string, ev rawjson.Value) {
	fault := ev.Get("error")
	if !strings.HasSuffix(kind, "error") && !fault.Says() && (kind != "" || fault.Set()) {
		return
	}
	s.Fault(ev, s.stopped, s.started)
}

// messageStart begins the answer. A second one with another id means that a
// gateway turned to another upstream after it had sent a part: the answer
// begins anew, the parts are never joined.
func (s *stream) messageStart(message rawjson.Value) bool {
	if s.started {
		if id := message.Get("id").String(); id == s.m.id && id != "" {
			return false
		}
		if s.stopped {
			s.Flag(answer.FlagSecondAnswer)
			s.DoneWord = true
			return false
		}
		s.Flag(answer.FlagRestarted)
		s.m = assembly{}
	}
	s.started = true
	s.m.begin(message)
	s.m.whole(message.Get("content"))
	return len(s.m.blocks) > 0
}

func (s *stream) blockStart(ev rawjson.Value) bool {
	b := newBlock(ev.Get("content_block"))
	b.index = int64(len(s.m.blocks))
	if n, ok := ev.Get("index").Int(); ok {
		b.index = n
	}
	s.m.blocks = append(s.m.blocks, b)
	return b.kind != "text" && b.kind != "thinking" || b.text.Len()+b.thinking.Len() > 0
}

// block finds the block that an event speaks of: the last one opened with its
// index, or the last of all when it has none.
func (m *assembly) block(index rawjson.Value) *block {
	n, numbered := index.Int()
	for i := len(m.blocks) - 1; i >= 0; i-- {
		if !numbered || m.blocks[i].index == n {
			return m.blocks[i]
		}
	}
	return nil
}

// deltaKinds are the kinds of block that the deltas belong to.
var deltaKinds = map[string]string{
	"text_delta": "text", "thinking_delta": "thinking", "reasoning_delta": "thinking", "input_json_delta": "tool_use",
	"text": "text", "thinking": "thinking", "tool_use": "tool_use", // as untyped names them
}

// blockDelta takes a piece of a block. What a piece is, its own type says,
// whatever block a gateway puts it into.
func (s *stream) blockDelta(ev rawjson.Value) bool {
	delta := ev.Get("delta")
	kind := delta.Get("type").OneOf("text_delta", "thinking_delta", "input_json_delta")
	if kind == "" {
		kind = untyped(delta)
	}
	b := s.m.blockFor(ev.Get("index"), deltaKinds[kind])
	switch deltaKinds[kind] {
	case "text":
		return b.text.AddValue(delta.Get("text"))
	case "thinking":
		return b.thinking.AddValue(thoughts(delta))
	case "tool_use":
		return b.parts.AddValue(delta.Get("partial_json"))
	}
	return true // signatures, citations and what is to come
}

// blockFor finds the block that a piece of this kind goes into, and makes one
// where a gateway left its start out. A piece of a tool call in a block of
// words belongs to the call that is open.
func (m *assembly) blockFor(index rawjson.Value, kind string) *block {
	b := m.block(index)
	words := b != nil && (b.kind == "text" || b.kind == "thinking")
	switch {
	case b == nil:
	case kind == "" || b.kind == kind, kind == "tool_use" && !words: // server tools have input too
		return b
	case kind != "tool_use":
		m.mixed = true
		return b
	default:
		m.mixed = true
		if open := m.openCall(); open != nil {
			return open
		}
	}
	n, _ := index.Int()
	b = &block{kind: kind, index: n, closed: b != nil}
	m.blocks = append(m.blocks, b)
	return b
}

// openCall is the last tool call that has not ended.
func (m *assembly) openCall() *block {
	for i := len(m.blocks) - 1; i >= 0; i-- {
		if b := m.blocks[i]; b.kind == "tool_use" && !b.closed {
			return b
		}
	}
	return nil
}

func (s *stream) messageDelta(ev rawjson.Value) {
	delta := ev.Get("delta")
	s.m.stop(delta, answer.StopWord(delta.Get("stop_reason").String()))
	s.stopped = s.m.stopWord != ""
	s.takeUsage(ev)
}

// takeUsage takes the usage of an event that has one.
func (s *stream) takeUsage(ev rawjson.Value) bool {
	usage := ev.Get("usage")
	for _, place := range [...]string{"delta", "message"} { // some gateways
		if !usage.Set() {
			usage = ev.Get(place).Get("usage")
		}
	}
	if !usage.Set() {
		return false
	}
	s.m.addUsage(usage)
	if out := first(usage.Get("output_tokens"), usage.Get("completion_tokens")); out.Set() {
		s.m.sawOutput = true
		n, known := out.Int()
		s.noOutput = known && n == 0
	}
	return true
}

// wholeMessage takes an answer that a gateway sent as one event.
func (s *stream) wholeMessage(message rawjson.Value) bool {
	s.whole = &nightshift.Response{}
	s.Err = Format{}.Decode(s.whole, message)
	s.whole.Flag(answer.FlagNotStreamed)
	s.started, s.stopped, s.done = true, true, true
	return true
}

// End implements [answer.Stream].
//
// An answer is whole with a stop reason. Of the other end events (the blocks'
// ends, a count of the output, message_stop) some may be missing, which is
// flagged; a stream without message_stop and one of the others is cut.
func (s *stream) End() (resp nightshift.Response, err *nightshift.Error) {
	defer s.AddFlags(&resp)
	if s.whole != nil {
		resp = *s.whole
		return resp, s.Err
	}
	s.m.fill(&resp)
	if err := s.failure(); err != nil {
		s.m.readUsage(&resp)
		return resp, err
	}
	s.m.finish(&resp, nil)
	s.markEnd(&resp)
	if e := answer.BrokenOff(s.m.stopWord); e != nil {
		return resp, e
	}
	if e := answer.Empty(&resp); e != nil {
		return resp, e
	}
	return resp, s.endedTooEarly(&resp)
}

// endedTooEarly is the error of an answer that has a stop reason and is cut
// all the same: gateways pass on a failure of their upstream as a normal end.
// Its usage counts input and exactly no output beside words, or neither the
// usage nor the events of the end are complete.
func (s *stream) endedTooEarly(resp *nightshift.Response) *nightshift.Error {
	switch {
	case s.noOutput && resp.Usage.InputTotal().Known() && (answer.Spoke(resp) || resp.Thinking != nil):
		return answer.Cut(
			"the stream ended as if it were whole, with no output counted: a gateway may have hidden that its " +
				"upstream broke off")
	case !s.Done() && (!s.m.sawOutput || s.anyOpen()):
		return answer.Cut("the stream ended before its last events: no message_stop came")
	}
	return nil
}

func (s *stream) anyOpen() bool {
	return slices.ContainsFunc(s.m.blocks, func(b *block) bool { return !b.closed })
}

// failure says why there is no whole answer; nil when there is.
func (s *stream) failure() *nightshift.Error {
	switch {
	case s.Err != nil:
		return s.Err
	case s.stopped:
		return nil
	case s.Malformed != nil && s.Done():
		return answer.Unreadable(s.Malformed)
	case s.Count == 0 && s.Malformed == nil:
		return answer.Nothing()
	case s.Malformed != nil:
		return answer.Cut("the stream ended in the middle of an event")
	}
	return answer.Cut("the stream ended before the answer did: no stop_reason came")
}

func (s *stream) markEnd(resp *nightshift.Response) {
	if !s.started {
		resp.Flag("no_message_start")
	}
	if !s.done {
		resp.Flag("no_message_stop")
	}
	if s.Malformed != nil {
		resp.Flag(answer.FlagMalformed)
	}
	if s.anyOpen() {
		resp.Flag("block_not_closed")
	}
}
