package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats/chat"
	"nightshift/providers/formats/messages"
	"nightshift/providers/internal/jsonscan"
	"nightshift/providers/sse"
)

// An assembler puts a streamed answer together.
type assembler interface {
	Event(data []byte) (content bool, err *nightshift.Error)
	End() (nightshift.Response, *nightshift.Error)
	Done() bool
}

// readStream reads an event stream to its end and assembles the answer. What
// had come is kept when it breaks off.
func (a *attempt) readStream(ctx context.Context, b *body) {
	events := sse.NewReader(io.MultiReader(bytes.NewReader(b.raw), b), a.wire.maxLine)
	s := &streamed{attempt: a}
	err := s.readAll(events)
	a.ex.Response.Raw = a.clean(b.raw)
	if a.ex.Response.Latency == 0 {
		a.ex.Response.Latency = time.Since(a.watch.started)
	}
	a.endStream(ctx, s, err)
	if e := a.ex.Err; e != nil {
		a.bodyWait(s.fault, e)
	}
}

// endStream settles what came: an answer that is whole is one, even when the
// connection broke after it.
func (a *attempt) endStream(ctx context.Context, s *streamed, err error) {
	e := s.end()
	if err == nil || e == nil {
		if err != nil && !a.watch.isDraining() {
			a.ex.Response.Flag("cut_after_end")
		}
		if e != nil {
			a.fail(e)
		}
		return
	}
	if s.failed != nil {
		a.fail(s.failed)
		return
	}
	a.fail(a.brokenOff(ctx, err))
}

// A streamed is a stream while it is read.
type streamed struct {
	*attempt
	format assembler         // nil until an event shows which it is
	failed *nightshift.Error // what the server said, or what we could not read
	fault  []byte            // the event that said so
	named  *nightshift.Error // what an event of the name error said, in no known shape
}

// readAll feeds events to the format until the stream ends; nil for a clean
// end.
func (s *streamed) readAll(events *sse.Reader) error {
	for s.failed == nil {
		ev, err := events.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if ev.Comment {
			continue
		}
		s.take(ev)
		if s.done() && s.ex.Response.Latency == 0 {
			s.ex.Response.Latency = time.Since(s.watch.started)
			s.watch.drain()
		}
	}
	return nil
}

func (s *streamed) done() bool { return s.format != nil && s.format.Done() }

func (s *streamed) take(ev sse.Event) {
	data := s.wire.redactor.Live(ev.Data)
	if len(data) != len(ev.Data) {
		s.ex.Response.Flag("key_redacted")
	}
	if s.format == nil && !s.choose(data, ev.Name) {
		return
	}
	if ev.Name == "error" && !s.done() {
		s.named, s.fault = providers.ClassifyEvent(data), bytes.Clone(data)
		s.named.MaybeBilled = true
		if !looksLikeJSON(data) {
			return // words, which no format reads
		}
	}
	content, e := s.format.Event(data)
	if content {
		s.content()
	}
	if e != nil {
		s.failed, s.fault = e, bytes.Clone(data)
	}
}

func (s *streamed) content() {
	if s.ex.Response.FirstToken == 0 {
		s.ex.Response.FirstToken = time.Since(s.watch.started)
	}
	s.watch.progress()
}

// choose picks the format by the shape of an event, and reports whether there
// is one to give the event to. Events that show nothing (pings, keep-alive
// chunks) are passed over, unless they are errors.
func (s *streamed) choose(data []byte, name string) bool {
	shape, err := eventShape(data)
	switch {
	case shape == "" && name == "error":
		s.failed, s.fault = providers.ClassifyEvent(data), bytes.Clone(data)
	case shape == nightshift.Messages:
		s.format = messages.NewStream()
	case shape == nightshift.Chat:
		s.format = chat.NewStream(s.wire.chatOptions(s.prepared.Choices))
	case err != nil: // [DONE], or not to be read: the format will say
		s.format = s.own()
	default:
		if e := providers.Classify(0, nil, data); e != nil {
			s.failed, s.fault = e, bytes.Clone(data)
		}
	}
	return s.format != nil
}

// own is the format of the URL that was asked.
func (s *streamed) own() assembler {
	if s.wire.endpoint.Protocol == nightshift.Chat || s.wire.endpoint.DoneMarkerOnly {
		return chat.NewStream(s.wire.chatOptions(s.prepared.Choices))
	}
	return messages.NewStream()
}

// end takes over the answer as far as it came.
func (s *streamed) end() *nightshift.Error {
	if s.format == nil {
		s.format = s.own()
	}
	r, e := s.format.End()
	s.merge(&r)
	if e == nil && s.named != nil {
		s.ex.Response.Flag("error_after_end")
	}
	if e != nil && s.failed == nil {
		s.failed = s.named
	}
	if s.failed != nil {
		e = s.failed
	}
	return e
}

func looksLikeJSON(data []byte) bool {
	data = bytes.TrimSpace(data)
	return len(data) > 0 && (data[0] == '{' || data[0] == '[')
}

// eventShape says which format an event belongs to; "" when it does not show.
func eventShape(data []byte) (nightshift.Protocol, error) {
	doc := jsonscan.Borrow()
	defer doc.Return()
	root, err := doc.Scan(data)
	if err != nil || root.Kind() != jsonscan.Object {
		return "", errors.Join(err, errNoObject)
	}
	switch root.Get("type").String() {
	case "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "message":
		return nightshift.Messages, nil
	}
	object := root.Get("object").String()
	if root.Get("choices").Exists() || object == "chat.completion.chunk" || object == "chat.completion" {
		if root.Get("error").Says() && !root.Get("choices").Exists() {
			return "", nil
		}
		return nightshift.Chat, nil
	}
	if root.Get("message").Get("usage").Exists() || root.Get("content_block").Set() {
		return nightshift.Messages, nil
	}
	return "", nil
}

var errNoObject = errors.New("an event is no JSON object")
