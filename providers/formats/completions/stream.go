package completions

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// A stream assembles a streamed answer from its chunks.
type stream struct {
	answer.Events
	opt    answer.StreamOptions
	a      assembly
	pieces bool // Writer's events, which hold text alone
	lastID string
	ids    int // how often the id of the chunks changed
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
	s.a.usage.Add(v.Get("usage"))
	if !v.Get("usage").Set() || v.Get("choices").First().Exists() {
		s.Flag(answer.FlagAfterEnd)
	}
}

func (s *stream) chunk(v rawjson.Value) (content bool) {
	if isPiece(v) {
		s.pieces = true
		return s.a.choice(rawjson.Value{}).text.AddValue(v.Get("value"))
	}
	choices := v.Get("choices")
	if s.anotherAnswer(v) {
		if s.finished() {
			s.Flag(answer.FlagSecondAnswer)
			return false
		}
		s.a, s.ids = assembly{}, 0
		s.Flag(answer.FlagRestarted)
	}
	s.a.head(v)
	for c := choices.First(); c.Exists(); c = c.Next() {
		content = s.a.choice(c).take(c) || content
	}
	if fault := v.Get("error"); fault.Says() || !fault.Set() && !choices.First().Exists() && !v.Get("usage").Set() {
		s.serverError(v)
	}
	return content
}

// anotherAnswer reports whether a chunk with text begins another answer, as a
// gateway does whose upstream failed in the middle of one: the id, which was the
// same in all chunks so far, is another. Servers that change ids as they go are left
// alone. Two answers are never joined.
func (s *stream) anotherAnswer(v rawjson.Value) bool {
	id := v.Get("id").String()
	if id == "" || id == s.lastID {
		return s.ids == 1 && s.finished() && hasText(v)
	}
	if s.lastID != "" {
		s.ids++
	}
	s.lastID = id
	return s.ids == 1 && (s.Count > 3 || s.finished()) && hasText(v)
}

func hasText(v rawjson.Value) bool { return v.Get("choices").First().Get("text").String() != "" }

// serverError takes an error that stands in the stream.
func (s *stream) serverError(v rawjson.Value) { s.Fault(v, s.finished(), len(s.a.choices) > 0) }

// finished reports whether every choice that was seen has come to its end, and
// as many were seen as were asked for; fewer are all where the end marker came.
func (s *stream) finished() bool {
	return s.a.finished() && (s.DoneWord || int64(len(s.a.choices)) >= s.opt.Choices)
}

// OpenEnded implements [answer.OpenEnded]: Writer's streams hold nothing that
// says that the answer is complete.
func (s *stream) OpenEnded() bool { return s.pieces && !s.DoneWord }

// End implements [answer.Stream]. An answer is whole when every choice has a
// finish reason. [DONE] proves nothing, because gateways send it after cut
// streams too, unless the options say that the endpoint never sends a finish
// reason.
func (s *stream) End() (resp nightshift.Response, err *nightshift.Error) {
	s.a.fill(&resp)
	defer s.AddFlags(&resp)
	if err := s.failure(); err != nil {
		s.a.usage.Read(&resp, s.a.tier)
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
	case s.a.brokenOff() != nil:
		return s.a.brokenOff()
	case s.Malformed == nil && (s.pieces || s.DoneWord && s.opt.DoneMarkerOnly && len(s.a.choices) > 0):
		return nil
	}
	return s.NoFinishReason()
}
