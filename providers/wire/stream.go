package wire

import (
	"bytes"
	"errors"
	"io"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/sse"
)

// readStream reads an event stream to its end and assembles the answer. What
// had come is kept when it breaks off.
func (a *attempt) readStream(b *body, form kind) {
	s := &streamed{attempt: a}
	from := io.MultiReader(bytes.NewReader(b.raw), b)
	var events events = sse.NewReader(from, a.wire.maxLine)
	if form == list {
		events = sse.NewArrayReader(from, a.wire.maxLine)
	}
	err := s.readAll(events)
	events.Close()
	a.ex.Response.Raw = a.clean(b.keep())
	if a.ex.Response.Latency == 0 {
		a.ex.Response.Latency = time.Since(a.watch.started)
	}
	a.endStream(s, err)
	if e := a.ex.Err; e != nil {
		a.bodyWait(s.fault, e)
	}
}

// events are what a stream consists of.
type events interface {
	Next() (sse.Event, error)
	Close()
}

// endStream settles what came: an answer that is whole is one, even when the
// connection broke after it.
func (a *attempt) endStream(s *streamed, err error) {
	e := s.end()
	if open, ok := s.format.(formats.OpenEnded); ok && err != nil && e == nil && open.OpenEnded() {
		e = a.brokenOff(err)
	}
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
	broken := a.brokenOff(err)
	if e.Code == providers.CodeNotReady { // the server goes on with it
		broken.Code = e.Code
	}
	a.fail(broken)
}

// A streamed is a stream while it is read.
type streamed struct {
	*attempt
	format formats.Stream    // nil until an event shows which it is
	failed *nightshift.Error // what the server said, or what we could not read
	fault  []byte            // the event that said so
	named  *nightshift.Error // what an event of the name error said, in no known shape
	told   bool              // somebody knows the id of the answer
}

// readAll feeds events to the format until the stream ends; nil for a clean
// end.
func (s *streamed) readAll(events events) error {
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
	data := s.keyed.redactor.Live(ev.Data)
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
	s.accepted()
	if e != nil {
		s.failed, s.fault = e, bytes.Clone(data)
	}
}

// accepted passes on, once, under which id the server makes the answer in the
// background.
func (s *streamed) accepted() {
	b, ok := s.format.(formats.BackgroundStream)
	if !ok || s.told || s.prepared.Accepted == nil {
		return
	}
	if id := b.Background(); id != "" {
		s.told = true
		s.prepared.Accepted(id)
	}
}

func (s *streamed) content() {
	if s.ex.Response.FirstToken == 0 {
		s.ex.Response.FirstToken = time.Since(s.watch.started)
		s.begun()
	}
	s.watch.progress()
}

// choose picks the format by the shape of an event, and reports whether there
// is one to give the event to. Events that show nothing (pings, keep-alive
// chunks) are passed over, unless they are errors.
func (s *streamed) choose(data []byte, name string) bool {
	format, err := eventFormat(data)
	switch {
	case format != nil:
		s.open(format)
	case name == "error":
		s.failed, s.fault = providers.ClassifyEvent(data), bytes.Clone(data)
	case err != nil: // [DONE], or not to be read: the format will say
		s.open(s.wire.format)
	default:
		if e := providers.Classify(0, nil, data); e != nil {
			s.failed, s.fault = e, bytes.Clone(data)
		}
	}
	return s.format != nil
}

func (s *streamed) open(f formats.Format) {
	s.format = f.NewStream(
		formats.StreamOptions{DoneMarkerOnly: s.wire.endpoint.DoneMarkerOnly, Choices: s.prepared.Choices})
}

// end takes over the answer as far as it came.
func (s *streamed) end() *nightshift.Error {
	if s.format == nil {
		s.open(s.wire.format)
	}
	known := s.ex.Response
	r, e := s.format.End()
	s.ex.Response = r
	s.merge(&known)
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

// eventFormat says which format an event belongs to; nil when it does not
// show.
func eventFormat(data []byte) (formats.Format, error) {
	doc := rawjson.Borrow()
	defer doc.Return()
	root, err := doc.Scan(data)
	if err != nil || root.Kind() != rawjson.Object {
		return nil, errors.Join(err, errNoObject)
	}
	f, _ := formats.RecogniseEvent(root)
	return f, nil
}

var errNoObject = errors.New("an event is no JSON object")
