package gemini

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// A stream assembles a streamed answer from its pieces, each of which has the
// form of a whole answer.
//
// Nothing marks the end but the end of the body: after a finish reason more may
// come (code that was run, and the words after it), and some servers send one
// with every piece. So all is read, and an error after a finish reason is one.
type stream struct {
	answer.Events
	a assembly
}

// Done implements [answer.Stream]. Some gateways add [DONE].
func (s *stream) Done() bool { return s.DoneWord }

// Event implements [answer.Stream].
func (s *stream) Event(data []byte) (content bool, err *nightshift.Error) {
	root, bad, take := s.Scan(data, false)
	switch {
	case !take:
	case s.DoneWord:
		s.a.addUsage(answerOf(root).Get("usageMetadata"))
		s.Flag(answer.FlagAfterEnd)
	case bad != nil:
		s.Unreadable(root, bad, s.fault)
	default:
		s.Count++
		if s.second(answerOf(root)) {
			return false, nil
		}
		content = s.a.take(answerOf(root))
		if root.Get("error").Says() {
			s.fault(root)
		}
		s.Mark()
	}
	return content, s.Err
}

// second deals with a piece of another answer, which its id tells: when a
// gateway begins anew, what had come is dropped; after a whole answer the other
// is. Two answers are never joined.
func (s *stream) second(v rawjson.Value) bool {
	id := v.Get("responseId").String()
	if id == "" || s.a.id == "" || id == s.a.id {
		return false
	}
	if s.finished() {
		s.Flag(answer.FlagSecondAnswer)
		return true
	}
	s.Flag(answer.FlagRestarted)
	s.a = assembly{}
	return false
}

func (s *stream) fault(v rawjson.Value) { s.Fault(v, false, len(s.a.candidates) > 0) }

// finished reports whether every candidate has a finish reason, or the prompt
// was blocked.
func (s *stream) finished() bool {
	for _, c := range s.a.candidates {
		if c.finish == "" && s.a.block == "" {
			return false
		}
	}
	return len(s.a.candidates) > 0 || s.a.block != ""
}

// End implements [answer.Stream].
func (s *stream) End() (resp nightshift.Response, err *nightshift.Error) {
	s.a.fill(&resp)
	defer s.AddFlags(&resp)
	if err := s.failure(); err != nil {
		s.a.readUsage(&resp)
		if resp.Usage.Known() {
			resp.Flag(answer.FlagUsagePartial) // what had been used by then
		}
		return resp, err
	}
	s.a.finish(&resp, nil)
	if e := s.a.brokenOff(); e != nil {
		return resp, e
	}
	return resp, s.a.empty(&resp)
}

// failure says why there is no whole answer; nil when there is.
func (s *stream) failure() *nightshift.Error {
	switch {
	case s.Err != nil:
		return s.Err
	case s.Malformed == nil && s.finished():
		return nil
	case s.Malformed == nil && s.Count == 0:
		return answer.Nothing()
	}
	return s.Incomplete("finishReason")
}
