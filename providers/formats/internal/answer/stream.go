package answer

import (
	"bytes"
	"errors"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
)

// A Stream assembles a streamed answer from its events. It is not safe for
// concurrent use.
type Stream interface {
	// Event takes the data of one event. content is true when it carried
	// content of the answer. The error is what the server said in the middle of
	// the stream, or that an event could not be read; the stream is then over,
	// and End returns the same error with what had come by then.
	//
	// Data that is no JSON may be a line that was cut off. It is held against
	// the stream once another event follows it, or by End.
	Event(data []byte) (content bool, err *nightshift.Error)
	// End returns the answer when the stream has ended, by its marker or
	// otherwise. The error is that of Event, or class cut (empty_response
	// without a single event) when the answer is not whole; the Response then
	// holds the text and usage that had come.
	End() (nightshift.Response, *nightshift.Error)
	// Done reports whether the end marker has been seen. What follows it is
	// ignored.
	Done() bool
}

// OpenEnded is a Stream whose answer may be ended by nothing but the end of the
// stream: one that broke off then proves that the answer did.
type OpenEnded interface {
	OpenEnded() bool
}

// StreamOptions are what is known about a stream before it begins.
type StreamOptions struct {
	// DoneMarkerOnly is set for servers that never send a finish reason:
	// [DONE] alone then ends an answer.
	DoneMarkerOnly bool
	// Choices is how many choices were asked for; 0 is not known.
	Choices int64
}

// Events reads the events of a stream, in what all formats share.
type Events struct {
	Count     int  // that could be read
	DoneWord  bool // [DONE] seen
	Malformed error
	Err       *nightshift.Error
	flagged   *nightshift.Response // of which only the flags are used; nil without any
	doc       rawjson.Doc
}

// Scan reads the data of an event. take is false when there is nothing in it,
// or the stream is over by an error. bad is why it is no JSON object. complete
// says whether the answer is whole already.
func (e *Events) Scan(data []byte, complete bool) (root rawjson.Value, bad error, take bool) {
	data = bytes.TrimSpace(data)
	switch {
	case e.Err != nil || len(data) == 0:
		return root, nil, false
	case e.Malformed != nil && !complete:
		e.Err = Unreadable(e.Malformed)
		return root, nil, false
	case string(data) == "[DONE]":
		e.DoneWord = true
		return root, nil, false
	}
	root, bad = e.doc.Scan(data)
	if bad == nil && root.Kind() != rawjson.Object {
		bad = errors.New("an event is no JSON object")
	}
	return root, bad, true
}

// Unreadable deals with data that is no JSON object: a list of one error
// (Gemini), which is passed to fault, nesting that no honest server sends, or a
// line that was cut off.
func (e *Events) Unreadable(root rawjson.Value, bad error, fault func(rawjson.Value)) {
	switch first := root.First(); {
	case first.Get("error").Set():
		fault(first)
	case errors.Is(bad, rawjson.ErrDepth), errors.Is(bad, rawjson.ErrNodes):
		e.Err = Unreadable(bad)
	default:
		e.Malformed = bad
	}
}

// Fault takes an error that stands in the stream. Once the answer is complete
// it is only a warning. It may have been billed when the answer had begun.
func (e *Events) Fault(v rawjson.Value, complete, begun bool) {
	err := providers.Classify(0, nil, v.Raw())
	switch {
	case err == nil:
	case complete:
		e.Flag(flagErrorAfterEnd)
	default:
		err.MaybeBilled = err.MaybeBilled || begun
		e.Err = err
	}
}

// Incomplete says why a stream that brought no end of its answer holds no whole
// one. end is what ends an answer in the format.
func (e *Events) Incomplete(end string) *nightshift.Error {
	switch {
	case e.Malformed != nil && e.DoneWord:
		return Unreadable(e.Malformed)
	case e.Malformed != nil:
		return Cut("the stream ended in the middle of an event")
	case e.Count == 0 && !e.DoneWord:
		return Nothing()
	case e.DoneWord:
		return Cut("the stream ended with [DONE] but without " + end)
	}
	return Cut("the stream ended before the answer did: it has no " + end)
}

// NoFinishReason is [Events.Incomplete] where a finish_reason ends each choice.
func (e *Events) NoFinishReason() *nightshift.Error {
	err := e.Incomplete("finish_reason")
	if e.DoneWord && e.Malformed == nil {
		err.Hint = "if this endpoint never sends a finish_reason, set done_marker_only: true for it"
	}
	return err
}

// Flag notes an oddity of the stream.
func (e *Events) Flag(name string) {
	if e.flagged == nil {
		e.flagged = &nightshift.Response{}
	}
	e.flagged.Flag(name)
}

// Mark notes what was odd about the event that was read last.
func (e *Events) Mark() { mark(e.Flag, &e.doc) }

// AddFlags adds what was noticed event by event.
func (e *Events) AddFlags(resp *nightshift.Response) {
	if e.flagged == nil {
		return
	}
	for _, f := range e.flagged.Flags {
		resp.Flag(f)
	}
}
