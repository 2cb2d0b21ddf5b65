package chat

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// A stream assembles a streamed answer from its chunks.
type stream struct {
	answer.Events
	opt     answer.StreamOptions
	a       assembly
	lastID  string // id of the last chunk that had one
	ids     int    // how often the id changed
	changed bool   // the last chunk's id differs from the one before
}

func newStream(opt answer.StreamOptions) *stream {
	return &stream{opt: opt, a: assembly{single: opt.Choices == 1}}
}

// Done implements [answer.Stream].
func (s *stream) Done() bool { return s.DoneWord }

// Event implements [answer.Stream].
func (s *stream) Event(data []byte) (content bool, err *nightshift.Error) {
	root, bad, take := s.Scan(data, s.finished())
	switch {
	case !take:
	case s.DoneWord:
		s.afterDone(root)
	case bad != nil:
		s.Unreadable(root, bad, s.serverError)
	default:
		s.Count++
		content = s.chunk(root)
		s.Mark()
	}
	return content, s.Err
}

// afterDone takes what follows the end marker: of it only usage counts.
func (s *stream) afterDone(v rawjson.Value) {
	if usage := topUsage(v); usage.Set() {
		s.a.usage.Add(usage)
		if !v.Get("choices").First().Exists() {
			return
		}
	}
	s.Flag(answer.FlagAfterEnd)
}

func (s *stream) chunk(v rawjson.Value) (content bool) {
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
func (s *stream) watchID(v rawjson.Value) {
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
func (s *stream) restarted(v rawjson.Value) bool {
	if !s.changed || s.ids != 1 || s.Count < 3 {
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
	s.Flag(answer.FlagRestarted)
	s.ids = 0
	s.a.head(v)
	return true
}

func (s *stream) delta(v rawjson.Value) (content bool) {
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
		s.Flag(answer.FlagNotStreamed)
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
func (s *stream) second(c *choice, v rawjson.Value) bool {
	if v.Get("delta").Get("content").String() == "" || c.finishID == s.lastID {
		return false
	}
	s.Flag(answer.FlagSecondAnswer)
	return true
}

// serverError takes an error that stands in the stream.
func (s *stream) serverError(v rawjson.Value) { s.Fault(v, s.finished(), len(s.a.choices) > 0) }

// finished reports whether every choice that was seen has a finish reason,
// and one of the model's; one is enough where one choice was asked for.
func (s *stream) finished() bool {
	return s.a.allFinished() || s.a.single && s.a.count(true) > 0
}

// End implements [answer.Stream].
//
// An answer is whole when every choice has a finish reason. [DONE] proves
// nothing, because gateways send it after cut streams too, unless the options
// say that the endpoint never sends a finish reason.
func (s *stream) End() (resp nightshift.Response, err *nightshift.Error) {
	s.a.fill(&resp)
	defer s.AddFlags(&resp)
	if err := s.failure(); err != nil {
		s.a.readUsage(&resp)
		return resp, err
	}
	s.a.finish(&resp, nil)
	if !s.DoneWord {
		resp.Flag("no_done_marker")
	}
	if s.Malformed != nil {
		resp.Flag(answer.FlagMalformed)
	}
	return resp, answer.Empty(&resp)
}

// failure says why there is no whole answer; nil when there is.
func (s *stream) failure() *nightshift.Error {
	switch {
	case s.Err != nil:
		return s.Err
	case s.finished():
		return nil
	case s.a.brokenOff(rawjson.Value{}) != nil:
		return s.a.brokenOff(rawjson.Value{})
	case s.Malformed == nil && s.DoneWord && s.opt.DoneMarkerOnly && len(s.a.choices) > 0:
		return nil
	}
	return s.NoFinishReason()
}
