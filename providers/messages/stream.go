package messages

import (
	"bytes"
	"errors"
	"strings"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/internal/answer"
	"nightshift/providers/internal/jsonscan"
)

// A Stream assembles a streamed answer from its events. It is not safe for
// concurrent use.
type Stream struct {
	doc       jsonscan.Doc
	m         assembly
	flags     nightshift.Response // only its flags are used
	events    int
	started   bool // message_start seen
	stopped   bool // a stop reason seen
	done      bool // message_stop seen
	doneWord  bool // [DONE] seen
	malformed error
	err       *nightshift.Error
	whole     *nightshift.Response // the answer, when it came as one event
}

// NewStream returns a Stream that has seen nothing.
func NewStream() *Stream { return &Stream{} }

// Done reports whether the end marker has been seen. What follows it is
// ignored.
func (s *Stream) Done() bool { return s.done || s.doneWord }

// Event takes the data of one event. content is true when it carried content
// of the answer. The error is what the server said in the middle of the
// stream, or that an event could not be read; the stream is then over, and End
// returns the same error with what had come by then.
//
// Data that is no JSON may be a line that was cut off. It is held against the
// stream once another event follows it, or by End.
func (s *Stream) Event(data []byte) (content bool, err *nightshift.Error) {
	data = bytes.TrimSpace(data)
	if s.err != nil || len(data) == 0 {
		return false, s.err
	}
	if s.malformed != nil && !s.stopped {
		return false, s.fail(answer.Unreadable(s.malformed))
	}
	if string(data) == "[DONE]" { // some gateways add one
		s.doneWord = true
		return false, nil
	}
	root, bad := s.doc.Scan(data)
	if bad != nil || root.Kind() != jsonscan.Object {
		return false, s.unreadable(root, bad)
	}
	s.events++
	content = s.event(kind(root), root)
	answer.Marks(&s.flags, &s.doc)
	return content, s.err
}

func (s *Stream) fail(err *nightshift.Error) *nightshift.Error {
	s.err = err
	return err
}

// unreadable deals with data that is no JSON object: a list of one error,
// nesting that no honest server sends, or a line that was cut off.
func (s *Stream) unreadable(root jsonscan.Value, err error) *nightshift.Error {
	if err == nil {
		if first := root.First(); first.Get("error").Set() {
			s.other("error", first)
			return s.err
		}
		err = errors.New("an event is no JSON object")
	}
	if errors.Is(err, jsonscan.ErrDepth) || errors.Is(err, jsonscan.ErrNodes) {
		return s.fail(answer.Unreadable(err))
	}
	s.malformed = err
	return nil
}

// kind returns the type of an event. The JSON decides; where it says nothing,
// the fields that only one type has do.
func kind(event jsonscan.Value) string {
	if t, ok := event.Get("type").Text(); ok && t != "" {
		return t
	}
	switch {
	case event.Get("error").Set():
		return "error"
	case event.Get("message").Kind() == jsonscan.Object:
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

func (s *Stream) event(kind string, ev jsonscan.Value) (content bool) {
	if s.Done() {
		if kind != "ping" {
			s.flags.Flag(answer.FlagAfterEnd)
		}
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
		s.done = true
	case "message":
		return s.wholeMessage(ev)
	default:
		s.other(kind, ev)
	}
	return false
}

// other takes events of no known type. Most mean nothing; an error is one
// whatever shape it has.
func (s *Stream) other(kind string, ev jsonscan.Value) {
	if kind != "" && !strings.HasSuffix(kind, "error") && !ev.Get("error").Set() {
		return
	}
	err := providers.Classify(0, nil, ev.Raw())
	switch {
	case err == nil:
	case s.stopped:
		s.flags.Flag(answer.FlagErrorAfterEnd)
	default:
		err.MaybeBilled = err.MaybeBilled || s.started
		s.fail(err)
	}
}

// messageStart begins the answer. A second one with another id means that a
// gateway turned to another upstream after it had sent a part: the answer
// begins anew, the parts are never joined.
func (s *Stream) messageStart(message jsonscan.Value) bool {
	if s.started {
		if id := message.Get("id").String(); id == s.m.id && id != "" {
			return false
		}
		if s.stopped {
			s.flags.Flag(answer.FlagSecondAnswer)
			s.doneWord = true
			return false
		}
		s.flags.Flag(answer.FlagRestarted)
		s.m = assembly{}
	}
	s.started = true
	s.m.begin(message)
	s.m.whole(message.Get("content"))
	return len(s.m.blocks) > 0
}

func (s *Stream) blockStart(ev jsonscan.Value) bool {
	b := newBlock(ev.Get("content_block"))
	b.index = int64(len(s.m.blocks))
	if n, ok := ev.Get("index").Int(); ok {
		b.index = n
	}
	s.m.blocks = append(s.m.blocks, b)
	return b.kind != "text" && b.kind != "thinking" || b.text.Len() > 0
}

// block finds the block that an event speaks of: the last one opened with its
// index, or the last of all when it has none.
func (m *assembly) block(index jsonscan.Value) *block {
	n, numbered := index.Int()
	for i := len(m.blocks) - 1; i >= 0; i-- {
		if !numbered || m.blocks[i].index == n {
			return m.blocks[i]
		}
	}
	return nil
}

// deltaKinds are the kinds of block that the deltas belong to.
var deltaKinds = map[string]string{"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "tool_use"}

func (s *Stream) blockDelta(ev jsonscan.Value) bool {
	delta := ev.Get("delta")
	kind := delta.Get("type").String()
	b := s.m.block(ev.Get("index"))
	if b == nil { // a gateway left the start out
		n, _ := ev.Get("index").Int()
		b = &block{kind: deltaKinds[kind], index: n}
		s.m.blocks = append(s.m.blocks, b)
	}
	switch kind {
	case "text_delta":
		return b.text.AddValue(delta.Get("text"))
	case "thinking_delta":
		return b.text.AddValue(delta.Get("thinking"))
	case "input_json_delta":
		return b.parts.AddValue(delta.Get("partial_json"))
	}
	return true // signatures, citations and what is to come
}

func (s *Stream) messageDelta(ev jsonscan.Value) {
	s.m.stop(ev.Get("delta"))
	s.stopped = s.m.stopWord != ""
	usage := ev.Get("usage")
	if usage.Get("output_tokens").Set() || usage.Get("completion_tokens").Set() {
		s.m.sawOutput = true
	}
	s.m.addUsage(usage)
}

// wholeMessage takes an answer that a gateway sent as one event.
func (s *Stream) wholeMessage(message jsonscan.Value) bool {
	s.whole = &nightshift.Response{}
	s.err = DecodeValue(s.whole, message)
	s.whole.Flag(answer.FlagNotStreamed)
	s.started, s.stopped, s.done = true, true, true
	return true
}

// End returns the answer when the stream has ended, by its marker or
// otherwise. The error is that of Event, or class cut (empty_response without
// a single event) when the answer is not whole; the Response then holds the
// text and usage that had come.
//
// An answer is whole with a stop reason. A missing message_stop and blocks
// that were not closed are flagged.
func (s *Stream) End() (resp nightshift.Response, err *nightshift.Error) {
	defer s.flag(&resp)
	if s.whole != nil {
		resp = *s.whole
		return resp, s.err
	}
	s.m.fill(&resp)
	if err := s.failure(); err != nil {
		s.m.readUsage(&resp)
		return resp, err
	}
	s.m.finish(&resp, nil)
	s.markEnd(&resp)
	return resp, answer.BrokenOff(s.m.stopWord)
}

// failure says why there is no whole answer; nil when there is.
func (s *Stream) failure() *nightshift.Error {
	switch {
	case s.err != nil:
		return s.err
	case s.stopped:
		return nil
	case s.malformed != nil && s.Done():
		return answer.Unreadable(s.malformed)
	case s.events == 0 && s.malformed == nil:
		return answer.Nothing()
	case s.malformed != nil:
		return answer.Cut("the stream ended in the middle of an event")
	}
	return answer.Cut("the stream ended before the answer did: no stop_reason came")
}

func (s *Stream) markEnd(resp *nightshift.Response) {
	if !s.started {
		resp.Flag("no_message_start")
	}
	if !s.done {
		resp.Flag("no_message_stop")
	}
	if s.malformed != nil {
		resp.Flag(answer.FlagMalformed)
	}
	for _, b := range s.m.blocks {
		if !b.closed {
			resp.Flag("block_not_closed")
		}
	}
}

// flag adds what was noticed event by event.
func (s *Stream) flag(resp *nightshift.Response) {
	for _, f := range s.flags.Flags {
		resp.Flag(f)
	}
}
