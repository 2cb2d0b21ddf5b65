package responses

import (
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
)

// A stream assembles a streamed answer from its events.
type stream struct {
	answer.Events
	a        assembly
	terminal bool              // one of the events that end an answer has been seen
	failed   *nightshift.Error // what that event said
	whole    *nightshift.Response
}

func newStream() *stream { return &stream{} }

// Done implements [answer.Stream]. [DONE], which some servers and gateways
// add, is no end.
func (s *stream) Done() bool { return s.terminal }

// Event implements [answer.Stream].
func (s *stream) Event(data []byte) (content bool, err *nightshift.Error) {
	root, bad, take := s.Scan(data, s.terminal)
	switch {
	case !take:
	case bad != nil:
		s.Unreadable(root, bad, s.serverError)
	case s.terminal:
		s.afterEnd(root)
	default:
		s.Count++
		content = s.event(root)
		s.Mark()
	}
	return content, s.Err
}

// afterEnd takes what follows the end.
func (s *stream) afterEnd(ev rawjson.Value) {
	switch kind := ev.Get("type").String(); {
	case kind == "error" || ev.Get("error").Says():
		s.serverError(ev)
	case kind == "response.created":
		s.Flag(answer.FlagSecondAnswer)
	default:
		s.Flag(answer.FlagAfterEnd)
	}
}

// event takes one event by the type in its data: some servers leave the name
// beside it out.
func (s *stream) event(ev rawjson.Value) (content bool) {
	kind := ev.Get("type").String()
	name, mine := strings.CutPrefix(kind, "response.")
	switch {
	case mine:
		return s.named(name, ev)
	case kind == "error" || ev.Get("error").Says():
		s.serverError(ev)
	case kind == "" && (Format{}).Recognise(ev):
		return s.wholeAnswer(ev)
	}
	return false
}

// named takes an event of the kind response.NAME. Unknown kinds mean nothing.
func (s *stream) named(name string, ev rawjson.Value) (content bool) {
	switch name {
	case "created":
		s.created(ev.Get("response"))
	case "queued", "in_progress":
		s.a.head(ev.Get("response"))
	case "completed", "incomplete", "failed", "cancelled":
		s.end(name, ev.Get("response"))
	case "output_item.added":
		return s.added(ev)
	case "output_item.done":
		s.itemDone(ev)
	case "content_part.done", "reasoning_part.done", "reasoning_summary_part.done":
		s.partDone(ev)
	default:
		if what, piece := strings.CutSuffix(name, ".delta"); piece {
			return s.delta(what, ev)
		}
		if what, whole := strings.CutSuffix(name, ".done"); whole {
			s.done(what, ev)
		}
	}
	return false
}

// created begins the answer. A second one means that a gateway turned to
// another upstream after it had sent a part: the answer begins anew, the parts
// are never joined.
func (s *stream) created(response rawjson.Value) {
	if len(s.a.items) > 0 && response.Get("id").String() != s.a.id {
		s.Flag(answer.FlagRestarted)
		s.a = assembly{}
	}
	s.a.head(response)
}

// item returns the item that an event speaks of, by its place in the output:
// ids may change from event to event. Where a server does not number them, the
// last one is meant.
func (s *stream) item(ev rawjson.Value, kind string) *item {
	n, numbered := ev.Get("output_index").Int()
	var last *item
	for _, it := range s.a.items {
		if !numbered || it.index == n {
			last = it
		}
	}
	if last == nil {
		last = &item{index: n, kind: kind}
		s.a.items = append(s.a.items, last)
	}
	return last
}

func (s *stream) added(ev rawjson.Value) (content bool) {
	n, numbered := ev.Get("output_index").Int()
	if !numbered {
		n = int64(len(s.a.items))
	}
	it := readItem(ev.Get("item"), n)
	it.raw = nil // it is only begun
	for _, known := range s.a.items {
		if known.index == n {
			known.replace(it)
			return it.size() > 0
		}
	}
	s.a.items = append(s.a.items, it)
	return it.size() > 0
}

func (s *stream) itemDone(ev rawjson.Value) {
	whole := readItem(ev.Get("item"), 0)
	if s.item(ev, whole.kind).replace(whole) {
		s.a.replaced = true
	}
}

// A piece is what a kind of event carries.
type piece struct {
	item  string // kind of the item that it belongs to
	part  string // kind of the part; empty for the input of a call
	index string // the field that numbers the part
	whole string // the field of the whole in the event of its end
}

// pieces are the events .delta and .done that carry words of the answer.
var pieces = map[string]piece{
	"output_text":             {"message", kindText, "content_index", "text"},
	"refusal":                 {"message", kindRefusal, "content_index", "refusal"},
	"reasoning_text":          {"reasoning", kindReasoning, "content_index", "text"},
	"reasoning":               {"reasoning", kindReasoning, "content_index", "text"},
	"reasoning_summary_text":  {"reasoning", kindSummary, "summary_index", "text"},
	"reasoning_summary":       {"reasoning", kindSummary, "summary_index", "text"},
	"function_call_arguments": {"function_call", "", "", "arguments"},
	"custom_tool_call_input":  {"custom_tool_call", "", "", "input"},
}

func (s *stream) delta(what string, ev rawjson.Value) (content bool) {
	p, known := pieces[what]
	if !known {
		return ev.Get("delta").Says() // what a tool of the server's does
	}
	it := s.item(ev, p.item)
	delta := ev.Get("delta")
	if delta.Kind() == rawjson.Object {
		delta = delta.Get("text")
	}
	if p.part == "" {
		return it.input.AddValue(delta)
	}
	n, _ := ev.Get(p.index).Int()
	return it.part(p.part, n).text.AddValue(delta)
}

// done takes the whole of what came in pieces.
func (s *stream) done(what string, ev rawjson.Value) {
	p, known := pieces[what]
	if !known {
		return
	}
	it := s.item(ev, p.item)
	to := &it.input
	if p.part != "" {
		n, _ := ev.Get(p.index).Int()
		to = &it.part(p.part, n).text
	}
	s.settle(to, ev.Get(p.whole))
}

// settle takes a whole text for its pieces, unless it is empty.
func (s *stream) settle(pieces *answer.Text, whole rawjson.Value) {
	var t answer.Text
	if t.AddValue(whole); t.Len() == 0 || t.String() == pieces.String() {
		return
	}
	s.a.replaced = s.a.replaced || pieces.Len() > 0
	*pieces = t
}

func (s *stream) partDone(ev rawjson.Value) {
	v := ev.Get("part")
	kind, index := v.Get("type").String(), "content_index"
	switch kind {
	case kindSummary:
		index = "summary_index"
	case kindText, kindRefusal, kindReasoning:
	default:
		return
	}
	n, _ := ev.Get(index).Int()
	s.settle(&s.item(ev, "").part(kind, n).text, v.Get(said(kind)))
}

// end takes one of the events that end an answer. Its response is believed
// over its name, which some servers choose wrongly; its output may be empty
// although items came.
func (s *stream) end(name string, response rawjson.Value) {
	s.terminal = true
	s.a.status = name
	s.a.head(response)
	s.a.complete(response.Get("output"))
	s.failed = s.a.failed(response)
}

// complete takes the output of the event that ends a stream: each item for the
// one that came in pieces, where the two lists agree in their kinds; else what
// the stream did not have.
func (a *assembly) complete(list rawjson.Value) {
	var whole assembly
	whole.output(list)
	if a.agrees(whole.items) {
		for _, it := range whole.items {
			a.take(it)
		}
		return
	}
	for _, it := range whole.items {
		if !a.has(it.kind) {
			it.index = int64(len(a.items))
			a.items = append(a.items, it)
		}
	}
}

// agrees reports whether every item that came has its whole in a list.
func (a *assembly) agrees(list []*item) bool {
	for _, it := range a.items {
		if it.index >= int64(len(list)) || it.index < 0 || list[it.index].kind != it.kind {
			return false
		}
	}
	return true
}

func (a *assembly) take(whole *item) {
	for _, it := range a.items {
		if it.index == whole.index {
			a.replaced = it.replace(whole) || a.replaced
			return
		}
	}
	a.items = append(a.items, whole)
}

func (a *assembly) has(kind string) bool {
	for _, it := range a.items {
		if it.kind == kind {
			return true
		}
	}
	return false
}

// wholeAnswer takes an answer that a gateway sent as one event.
func (s *stream) wholeAnswer(v rawjson.Value) bool {
	s.whole = &nightshift.Response{}
	s.Err = Format{}.Decode(s.whole, v)
	s.whole.Flag(answer.FlagNotStreamed)
	s.terminal = true
	return true
}

// serverError takes an error that stands in the stream, whatever its shape. A
// server that breaks off may have reasoned for minutes without a word of it.
func (s *stream) serverError(v rawjson.Value) {
	s.Fault(v, s.terminal, len(s.a.items) > 0)
	if s.Err != nil && s.Err.Class == nightshift.ClassServer {
		s.Err.MaybeBilled = true
	}
}

// End implements [answer.Stream]. An answer is whole with one of the three
// events that end one, and with nothing else.
func (s *stream) End() (resp nightshift.Response, err *nightshift.Error) {
	defer s.AddFlags(&resp)
	if s.whole != nil {
		return *s.whole, s.Err
	}
	if !s.terminal {
		s.a.status = "" // in progress is no reason to stop
	}
	s.a.fill(&resp)
	if !s.terminal {
		resp.StopReason = ""
	}
	if err := s.failure(); err != nil {
		if err.Class == nightshift.ClassCut && s.Background() != "" {
			err.Code = providers.CodeNotReady
		}
		s.a.readUsage(&resp)
		return resp, err
	}
	s.a.finish(&resp, nil)
	if s.Malformed != nil {
		resp.Flag(answer.FlagMalformed)
	}
	return resp, answer.Empty(&resp)
}

// Background returns the id of an answer that the server goes on with when the
// stream breaks off; empty for any other.
func (s *stream) Background() (id string) {
	if s.a.background && !s.terminal {
		return s.a.id
	}
	return ""
}

// failure says why there is no whole answer; nil when there is.
func (s *stream) failure() *nightshift.Error {
	switch {
	case s.Err != nil:
		return s.Err
	case s.terminal:
		return s.failed
	}
	return s.Incomplete("response.completed")
}
