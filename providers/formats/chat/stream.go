package chat

import (
	"bytes"
	"errors"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/internal/jsonscan"
)

// A Stream assembles a streamed answer from its chunks. It is not safe for
// concurrent use.
type Stream struct {
	opt       Options
	doc       jsonscan.Doc
	a         assembly
	flags     nightshift.Response // only its flags are used
	chunks    int
	lastID    string // id of the last chunk that had one
	ids       int    // how often the id changed
	changed   bool   // the last chunk's id differs from the one before
	done      bool   // [DONE] seen
	malformed error
	err       *nightshift.Error
}

// NewStream returns a Stream that has seen nothing. Of the options it heeds
// DoneMarkerOnly and Choices.
func NewStream(opt Options) *Stream {
	return &Stream{opt: opt, a: assembly{single: opt.Choices == 1}}
}

// Done reports whether the end marker has been seen. What follows it is
// ignored.
func (s *Stream) Done() bool { return s.done }

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
	if s.malformed != nil && !s.finished() {
		return false, s.fail(answer.Unreadable(s.malformed))
	}
	if string(data) == "[DONE]" {
		s.done = true
		return false, nil
	}
	root, bad := s.doc.Scan(data)
	if s.done {
		s.afterDone(root)
		return false, nil
	}
	if bad != nil || root.Kind() != jsonscan.Object {
		return false, s.unreadable(root, bad)
	}
	s.chunks++
	content = s.chunk(root)
	answer.Marks(&s.flags, &s.doc)
	return content, s.err
}

// afterDone takes what follows the end marker: of it only usage counts.
func (s *Stream) afterDone(v jsonscan.Value) {
	if usage := topUsage(v); usage.Set() {
		s.a.addUsage(usage)
		if !v.Get("choices").First().Exists() {
			return
		}
	}
	s.flags.Flag(answer.FlagAfterEnd)
}

func (s *Stream) fail(err *nightshift.Error) *nightshift.Error {
	s.err = err
	return err
}

// unreadable deals with data that is no JSON object: a list of one error
// (Gemini), nesting that no honest server sends, or a line that was cut off.
func (s *Stream) unreadable(root jsonscan.Value, err error) *nightshift.Error {
	if err == nil {
		if first := root.First(); first.Get("error").Set() {
			return s.serverError(first)
		}
		err = errors.New("an event is no JSON object")
	}
	if errors.Is(err, jsonscan.ErrDepth) || errors.Is(err, jsonscan.ErrNodes) {
		return s.fail(answer.Unreadable(err))
	}
	s.malformed = err
	return nil
}

func (s *Stream) chunk(v jsonscan.Value) (content bool) {
	s.watchID(v)
	if !s.restarted(v) {
		s.a.head(v)
	}
	choices := v.Get("choices")
	for c := choices.First(); c.Exists(); c = c.Next() {
		content = s.delta(c) || content
	}
	if fault := v.Get("error"); fault.Says() || !fault.Set() && !choices.First().Exists() && !v.Get("usage").Set() {
		s.serverError(v)
	}
	return content
}

// watchID counts how often the chunks' id changes.
func (s *Stream) watchID(v jsonscan.Value) {
	s.changed = false
	named := v.Get("id")
	if named.Is(s.lastID) {
		return
	}
	id := named.String()
	if id == "" {
		return
	}
	if s.lastID != "" {
		s.ids++
		s.changed = true
	}
	s.lastID = id
}

// restarted drops what had come when a gateway begins a new answer in the
// middle of one, after its upstream failed: the id, which was the same in all
// chunks so far, becomes another one in a chunk that names the role again,
// which so far stood in the first chunk only, and that ends nothing. Servers
// that change ids or name roles as they go are left alone. Two answers are
// never joined.
func (s *Stream) restarted(v jsonscan.Value) bool {
	if !s.changed || s.ids != 1 || s.chunks < 3 {
		return false
	}
	first := v.Get("choices").First()
	begins := first.Get("delta").Get("role").Set() && answer.StopWord(first.Get("finish_reason").String()) == ""
	if !begins || s.finished() {
		return false
	}
	c := s.a.choice(first)
	if c.roles != 1 || c.text.Len()+c.thinking.Len() == 0 {
		return false
	}
	s.a = assembly{single: s.a.single}
	s.flags.Flag(answer.FlagRestarted)
	s.ids = 0
	s.a.head(v)
	return true
}

func (s *Stream) delta(v jsonscan.Value) (content bool) {
	c := s.a.choice(v)
	delta := v.Get("delta")
	if delta.Get("role").Set() {
		c.roles++
	}
	if c.finish != "" && s.second(c, v) {
		return false
	}
	switch {
	case delta.Set():
		content = c.add(delta)
	case v.Get("message").Set() && c.text.Len() == 0: // the whole answer as one event
		content = c.add(v.Get("message"))
		s.flags.Flag(answer.FlagNotStreamed)
	default:
		content = c.text.AddValue(v.Get("text"))
	}
	if word := answer.StopWord(v.Get("finish_reason").String()); word != "" {
		var conflict bool
		c.finish, conflict = answer.LaterStop(c.finish, word)
		c.finishID, c.conflict = s.lastID, c.conflict || conflict
	}
	if v.Get("error").Says() { // OpenRouter
		s.serverError(v)
	}
	return content
}

// second reports whether a delta belongs to another answer than the one of
// the choice, which is complete: it has text, and another id. It is dropped.
func (s *Stream) second(c *choice, v jsonscan.Value) bool {
	if v.Get("delta").Get("content").String() == "" || c.finishID == s.lastID {
		return false
	}
	s.flags.Flag(answer.FlagSecondAnswer)
	return true
}

// serverError takes an error that stands in the stream. Once every choice is
// finished it is only a warning.
func (s *Stream) serverError(v jsonscan.Value) *nightshift.Error {
	err := providers.Classify(0, nil, v.Raw())
	if err == nil {
		return nil
	}
	if s.finished() {
		s.flags.Flag(answer.FlagErrorAfterEnd)
		return nil
	}
	err.MaybeBilled = err.MaybeBilled || len(s.a.choices) > 0
	return s.fail(err)
}

// finished reports whether every choice that was seen has a finish reason,
// and one of the model's; one is enough where one choice was asked for.
func (s *Stream) finished() bool {
	return s.a.allFinished() || s.a.single && s.a.count(true) > 0
}

// End returns the answer when the stream has ended, by its marker or
// otherwise. The error is that of Event, or class cut (empty_response without
// a single event) when the answer is not whole; the Response then holds the
// text and usage that had come.
//
// An answer is whole when every choice has a finish reason. [DONE] proves
// nothing, because gateways send it after cut streams too, unless the options
// say that the endpoint never sends a finish reason.
func (s *Stream) End() (resp nightshift.Response, err *nightshift.Error) {
	s.a.fill(&resp)
	defer s.flag(&resp)
	if err := s.failure(); err != nil {
		s.a.readUsage(&resp)
		return resp, err
	}
	s.a.finish(&resp, nil)
	if !s.done {
		resp.Flag("no_done_marker")
	}
	if s.malformed != nil {
		resp.Flag(answer.FlagMalformed)
	}
	return resp, answer.Empty(&resp)
}

// failure says why there is no whole answer; nil when there is.
func (s *Stream) failure() *nightshift.Error {
	switch {
	case s.err != nil:
		return s.err
	case s.finished():
		return nil
	case s.a.brokenOff(jsonscan.Value{}) != nil:
		return s.a.brokenOff(jsonscan.Value{})
	case s.malformed != nil && s.done:
		return answer.Unreadable(s.malformed)
	case s.malformed != nil:
		return answer.Cut("the stream ended in the middle of an event")
	case s.done && s.opt.DoneMarkerOnly && len(s.a.choices) > 0:
		return nil
	case s.chunks == 0 && !s.done:
		return answer.Nothing()
	case s.done:
		err := answer.Cut("the stream ended with [DONE] but without a finish_reason")
		err.Hint = "if this endpoint never sends a finish_reason, set done_marker_only: true for it"
		return err
	}
	return answer.Cut("the stream ended before the answer did: no finish_reason came")
}

// flag adds what was noticed chunk by chunk.
func (s *Stream) flag(resp *nightshift.Response) {
	for _, f := range s.flags.Flags {
		resp.Flag(f)
	}
}
