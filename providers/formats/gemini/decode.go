package gemini

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// Decode implements the format. An answer without candidates is one when its
// prompt was blocked.
func (Format) Decode(resp *nightshift.Response, root rawjson.Value) *nightshift.Error {
	var a assembly
	a.take(answerOf(root))
	for _, c := range a.candidates {
		if c.finish == "" {
			c.finish = c.paused
		}
	}
	a.fill(resp)
	if resp.StopReason == "" {
		resp.StopReason = impliedStop(resp)
	}
	a.finish(resp, root.Doc())
	if e := a.brokenOff(); e != nil {
		return e
	}
	return a.empty(resp)
}

// impliedStop is why a whole answer ended that does not say.
func impliedStop(resp *nightshift.Response) nightshift.StopReason {
	switch {
	case len(resp.ToolCalls) > 0:
		return nightshift.StopToolUse
	case resp.Text != nil:
		return nightshift.StopEnd
	}
	return ""
}

// An assembly is an answer as far as it has come, whole or in pieces.
type assembly struct {
	id, model   string
	candidates  []*candidate
	block       string // why the prompt was blocked
	usage       []byte // the last usage object
	usageShrank bool   // which counts less than an earlier one
	notFinite   bool   // which held NaN or Infinity, null now
}

// A candidate is one of the answers to a request.
type candidate struct {
	index    int64
	text     answer.Text
	thinking answer.Text
	calls    []*call
	finish   string
	message  string // what the server says of the finish
	conflict bool   // a plain end came after another reason
	queries  int    // searches that the server did
	tools    bool   // there were parts of the server's own tools, or files
	running  bool   // code was sent to run, and no result has come
	paused   string // a finish reason that came then: the server goes on in streams
}

// A call is one function call.
type call struct {
	id, name  string
	arguments string
	pieces    *node // of arguments that come in pieces
	open      bool  // more of it follows
}

// take takes an answer, or a piece of one, and reports whether it held content.
func (a *assembly) take(v rawjson.Value) (content bool) {
	keep(&a.id, v.Get("responseId"))
	keep(&a.model, v.Get("modelVersion"))
	switch reason := word(v.Get("promptFeedback").Get("blockReason")); reason {
	case "", "0", "BLOCK_REASON_UNSPECIFIED":
	default:
		a.block = reason
	}
	list := v.Get("candidates")
	for i, c := int64(0), list.First(); c.Exists(); i, c = i+1, c.Next() {
		content = a.candidate(c, i).take(c) || content
	}
	a.addUsage(v.Get("usageMetadata"))
	return content
}

func keep(s *string, v rawjson.Value) {
	if text := v.String(); text != "" {
		*s = text
	}
}

// candidate finds the candidate that a piece belongs to; without an index its
// place in the list is one.
func (a *assembly) candidate(v rawjson.Value, place int64) *candidate {
	index := place
	if n, ok := v.Get("index").Int(); ok {
		index = max(n, 0)
	}
	for _, c := range a.candidates {
		if c.index == index {
			return c
		}
	}
	c := &candidate{index: index}
	a.candidates = append(a.candidates, c)
	return c
}

func (c *candidate) take(v rawjson.Value) (content bool) {
	for p := v.Get("content").Get("parts").First(); p.Exists(); p = p.Next() {
		content = c.part(p) || content
	}
	if reason := word(v.Get("finishReason")); c.running && stopReason(reason) == nightshift.StopEnd {
		c.paused = reason
	} else if reason != "" {
		var conflict bool
		c.finish, conflict = later(c.finish, reason)
		c.conflict = c.conflict || conflict
	}
	keep(&c.message, v.Get("finishMessage"))
	c.queries = max(c.queries, v.Get("groundingMetadata").Get("webSearchQueries").Count())
	return content
}

// part takes one part. An empty text that carries a signature is no text.
func (c *candidate) part(p rawjson.Value) (content bool) {
	text := p.Get("text")
	switch f := p.Get("functionCall"); {
	case f.Set():
		c.call(f)
		return true
	case !text.Set():
		c.running = p.Get("executableCode").Set() || c.running && !p.Get("codeExecutionResult").Set()
		c.tools = c.tools || p.First().Exists()
		return p.First().Exists() && !p.First().KeyIs("thoughtSignature")
	case p.Get("thought").IsTrue():
		return c.thinking.AddValue(text)
	case text.Is("") && p.Get("thoughtSignature").Set():
		return false
	}
	return c.text.AddValue(text)
}

// call takes a function call, or a piece of the one that is open.
func (c *candidate) call(f rawjson.Value) {
	last := (*call)(nil)
	if n := len(c.calls); n > 0 && c.calls[n-1].open {
		last = c.calls[n-1]
	}
	if named := f.Get("name"); last == nil || named.Set() && !named.Is("") {
		last = &call{id: f.Get("id").String(), name: named.String(), arguments: "{}"}
		c.calls = append(c.calls, last)
	}
	if args := f.Get("args"); args.Set() {
		last.arguments = compact(answer.Arguments(args))
	}
	for piece := f.Get("partialArgs").First(); piece.Exists(); piece = piece.Next() {
		if last.pieces == nil {
			last.pieces = &node{}
		}
		last.pieces.put(piece)
	}
	last.open = f.Get("willContinue").IsTrue()
}

// compact takes out the indentation that servers give to all of an answer.
func compact(arguments string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(arguments)) != nil {
		return arguments
	}
	return b.String()
}

func (c *candidate) toolCalls() (calls []nightshift.ToolCall) {
	for _, f := range c.calls {
		if f.pieces != nil {
			f.arguments = string(f.pieces.append(nil))
		}
		calls = append(calls, nightshift.ToolCall{ID: f.id, Name: f.name, Arguments: f.arguments})
	}
	return calls
}

// stop is the finish reason in our words. Calls of functions end with STOP.
func (c *candidate) stop() nightshift.StopReason {
	stop := stopReason(c.finish)
	if stop == nightshift.StopEnd && len(c.calls) > 0 {
		return nightshift.StopToolUse
	}
	return stop
}

func (c *candidate) choice() nightshift.Choice {
	return nightshift.Choice{
		Index: int(c.index), Text: c.text.String(), Thinking: c.thinking.String(), ToolCalls: c.toolCalls(),
		StopReason: c.stop(), RawStopReason: c.finish,
	}
}

// fill writes the answer as far as it has come, without its usage, into an
// empty resp.
func (a *assembly) fill(resp *nightshift.Response) {
	resp.ID, resp.ServedModel = a.id, a.model
	slices.SortStableFunc(a.candidates, func(x, y *candidate) int { return int(x.index - y.index) })
	for i, c := range a.candidates {
		if i == 0 {
			resp.Text, resp.Thinking, resp.ToolCalls = c.text.Pointer(), c.thinking.Pointer(), c.toolCalls()
			resp.StopReason, resp.RawStopReason = c.stop(), c.finish
		}
		if c.conflict {
			resp.Flag(answer.FlagStopConflict)
		}
		if c.tools {
			resp.Flag("other_parts") // the server's own tools, code, images
		}
		if len(a.candidates) > 1 {
			resp.Choices = append(resp.Choices, c.choice())
		}
	}
	if a.block != "" {
		resp.StopReason, resp.RawStopReason = nightshift.StopContentFilter, a.block
	}
	var tags bool
	resp.Text, resp.Thinking, tags = answer.TakeThink(resp.Text, resp.Thinking, resp.StopReason)
	if tags {
		resp.Flag(answer.FlagThinkTags)
	}
}

// finish adds usage and flags to an answer that came to its end.
func (a *assembly) finish(resp *nightshift.Response, doc *rawjson.Doc) {
	a.readUsage(resp)
	answer.Marks(resp, doc)
	answer.MarkStop(resp)
	if resp.RawStopReason == "" {
		resp.Flag(answer.FlagStopMissing)
	}
	answer.MarkToolCalls(resp, resp.ToolCalls)
	if resp.StopReason == nightshift.StopEnd && !answer.Spoke(resp) && (resp.Thinking == nil || *resp.Thinking == "") {
		resp.Flag(answer.FlagEmpty)
	}
}

// brokenOff is the error of an answer that the server could not finish, as it
// says itself.
func (a *assembly) brokenOff() *nightshift.Error {
	for _, c := range a.candidates {
		if name(c.finish) == "OTHER" && strings.Contains(strings.ToLower(c.message), "internal error") {
			return &nightshift.Error{
				Class: nightshift.ClassServer, Code: c.finish, MaybeBilled: true, Message: c.message,
			}
		}
	}
	return nil
}

// empty is the error for what has the form of an answer and is none of a
// model's; see [answer.Empty]. One that says why it ended, and counts what it
// read, is one without words.
func (a *assembly) empty(resp *nightshift.Response) *nightshift.Error {
	if resp.RawStopReason != "" && (resp.StopReason != nightshift.StopEnd || resp.Usage.InputTotal().N() > 0) {
		return nil
	}
	return answer.Empty(resp)
}
