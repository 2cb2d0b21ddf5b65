// Package answer holds what reading an answer takes in every wire format: the
// events of a stream, stop words, token counts, texts that may be absent, and
// the flags for what a server did oddly.
package answer

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"unicode"

	"nightshift"
	"nightshift/internal/rawjson"
)

// Flags that all formats use.
const (
	flagRepaired      = "text_repaired"        // invalid Unicode in a text
	flagRepeatedKey   = "duplicate_keys"       // a key that was read occurs twice in its object
	FlagUsageMissing  = "usage_missing"        // no usage, or 0/0/0 beside an answer
	flagUsageInvalid  = "usage_invalid"        // a count that is none: NaN, negative, over 10^9
	FlagUsagePartial  = "usage_partial"        // no input tokens beside output, or the reverse
	FlagUsageOdd      = "usage_inconsistent"   // counts that contradict each other
	FlagStopMissing   = "stop_reason_missing"  // a whole answer without a stop reason
	FlagStopUnknown   = "stop_reason_unknown"  // a stop reason that we do not know
	FlagAfterEnd      = "events_after_end"     // the stream went on after its end
	flagErrorAfterEnd = "error_after_end"      // an error came when the answer was complete
	FlagRestarted     = "stream_restarted"     // a gateway began anew; the first part was dropped
	FlagSecondAnswer  = "second_answer"        // another answer followed the complete one; it was dropped
	FlagMalformed     = "malformed_event"      // an unreadable event after the answer was complete
	FlagEmpty         = "empty_answer"         // output tokens were counted, but nothing came
	FlagThinkTags     = "think_tags"           // the reasoning stood between <think> tags in the text
	FlagNotStreamed   = "not_streamed"         // the whole answer came as one event
	FlagToolArguments = "tool_arguments_words" // arguments of a tool call that are not valid JSON
	flagNotText       = "text_not_a_string"    // a piece of text came as a number, true, false, a list or an object
	FlagStopConflict  = "stop_reason_conflict" // two stop reasons, of which the one that is no plain end counts
)

// maxTokens is the largest count that is believed.
const maxTokens = 1_000_000_000

// Count reads a token count. bad is true when something is there that is no
// believable count; the count is then unknown.
func Count(v rawjson.Value) (c nightshift.Count, bad bool) {
	if !v.Set() {
		return c, false
	}
	n, ok := v.Int()
	if !ok || n < 0 || n > maxTokens {
		return c, true
	}
	return nightshift.Tokens(n), false
}

// dollars reads a sum of dollars, times scale. Sums that are negative or not
// believable are nil.
func dollars(v rawjson.Value, scale float64) *nightshift.NanoUSD {
	f, ok := v.Float()
	if f *= scale; !ok || f < 0 || f > 1e6 {
		return nil
	}
	n := nightshift.NanoUSD(math.Round(f * 1e9))
	return &n
}

// A Text collects a text that may be absent, which is not the same as empty.
type Text struct {
	only string // the text while it is one piece, which is then never copied
	buf  []byte // the text once it is several
	set  bool
}

// Add appends s, and makes the text present.
func (t *Text) Add(s string) {
	t.set = true
	switch {
	case t.buf != nil:
		t.buf = append(t.buf, s...)
	case t.only == "":
		t.only = s
	case s != "":
		t.buf = make([]byte, 0, 2*(len(t.only)+len(s)))
		t.buf = append(append(t.buf, t.only...), s...)
	}
}

// AddValue appends a piece of text, as [rawjson.Value.Words] reads it, and
// reports whether it held anything.
func (t *Text) AddValue(v rawjson.Value) bool {
	s, ok := v.Words()
	if ok {
		t.Add(s)
	}
	return s != ""
}

// Set reports whether the text is present.
func (t *Text) Set() bool { return t.set }

// Len returns the text's length.
func (t *Text) Len() int {
	if t.buf != nil {
		return len(t.buf)
	}
	return len(t.only)
}

// String returns the text, "" when absent.
func (t *Text) String() string {
	if t.buf != nil {
		return string(t.buf)
	}
	return t.only
}

// Pointer returns the text, nil when absent.
func (t *Text) Pointer() *string {
	if !t.set {
		return nil
	}
	s := t.String()
	return &s
}

// Arguments are a tool call's arguments as [nightshift.ToolCall] has them:
// an object's own text, a string's words, {} for none.
func Arguments(v rawjson.Value) string {
	switch v.Kind() {
	case rawjson.Missing, rawjson.Null:
		return "{}"
	case rawjson.String:
		return OrEmptyObject(v.String())
	}
	return string(v.JSON())
}

// OrEmptyObject returns {} for arguments without a word.
func OrEmptyObject(arguments string) string {
	if strings.TrimSpace(arguments) == "" {
		return "{}"
	}
	return arguments
}

// Marks sets the flags for what was noticed while reading doc.
func Marks(r *nightshift.Response, doc *rawjson.Doc) {
	if doc != nil {
		mark(r.Flag, doc)
	}
}

func mark(flag func(name string), doc *rawjson.Doc) {
	if doc.Repaired {
		flag(flagRepaired)
	}
	if doc.Repeated {
		flag(flagRepeatedKey)
	}
	if doc.NotText {
		flag(flagNotText)
	}
}

// MarkToolCalls flags arguments that are not JSON.
func MarkToolCalls(r *nightshift.Response, calls []nightshift.ToolCall) {
	for _, c := range calls {
		if !json.Valid([]byte(c.Arguments)) {
			r.Flag(FlagToolArguments)
		}
	}
}

// Unreadable is the error for an answer that cannot be read.
func Unreadable(err error) *nightshift.Error {
	e := &nightshift.Error{Class: nightshift.ClassBadResponse, MaybeBilled: true,
		Message: "the answer cannot be read: " + err.Error(), Err: err}
	if errors.Is(err, rawjson.ErrDepth) {
		e.Code = "nesting"
	}
	return e
}

// Shapeless is the error for an answer without the parts that its format
// needs.
func Shapeless(code, message string) *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassBadResponse, Code: code, MaybeBilled: true, Message: message}
}

// Cut is the error for a stream that ended before its answer did.
func Cut(message string) *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassCut, MaybeBilled: true, Message: message}
}

// Nothing is the error for a stream without a single event.
func Nothing() *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassEmptyResponse, MaybeBilled: true,
		Message: "the stream ended without any event"}
}

// Empty is the error for what has the form of an answer and is none of a
// model's: no text, reasoning or tool call, and no output counted. Gateways
// pass their upstream's failures on so. An answer that was refused, filtered
// or ended by its token limit may be empty. nil when r is an answer.
func Empty(r *nightshift.Response) *nightshift.Error {
	switch r.StopReason {
	case nightshift.StopRefusal, nightshift.StopContentFilter, nightshift.StopMaxTokens, nightshift.StopContextWindow,
		nightshift.StopPause:
		return nil
	}
	if Spoke(r) || some(r.Thinking) || r.Usage.Output.N() > 0 {
		return nil
	}
	return &nightshift.Error{
		Class: nightshift.ClassEmptyResponse, MaybeBilled: true,
		Message: "the answer is empty, and no output was counted: a gateway may have swallowed an error",
	}
}

const thinkOpening, thinkClosing = "<think>", "</think>"

// thinkTags are the tags between which reasoning stands at the beginning of a
// text; the second ones are Gemini's.
var thinkTags = [...][2]string{{thinkOpening, thinkClosing}, {"<thought>", "</thought>"}}

// splitThink takes reasoning between tags off the beginning of a text. The
// opening tag <think> may be missing: chat templates write it into the prompt.
// Without the closing tag all of it is reasoning when the answer was cut off
// by its token limit, and none of it otherwise.
func splitThink(text string, cutOff bool) (thinking, rest string, found bool) {
	trimmed := strings.TrimLeftFunc(text, unicode.IsSpace)
	for _, tags := range thinkTags {
		inside, opened := strings.CutPrefix(trimmed, tags[0])
		if !opened {
			continue
		}
		thinking, rest, closed := strings.Cut(inside, tags[1])
		if !closed && !cutOff {
			return "", text, false
		}
		return strings.TrimSpace(thinking), strings.TrimLeftFunc(rest, unicode.IsSpace), true
	}
	return splitClosing(text)
}

// splitClosing splits at a closing tag that has no opening one before it. One
// that is quoted is spoken of.
func splitClosing(text string) (thinking, rest string, found bool) {
	thinking, rest, found = strings.Cut(text, thinkClosing)
	if !found || strings.Contains(thinking, thinkOpening) ||
		thinking != "" && strings.ContainsRune("`'\"", rune(thinking[len(thinking)-1])) {
		return "", text, false
	}
	return strings.TrimSpace(thinking), strings.TrimLeftFunc(rest, unicode.IsSpace), true
}

// TakeThink moves reasoning that stands between tags in a text to where it belongs.
// Beside reasoning that came by itself only a closing tag that the text begins
// with is taken away. found is true when anything was moved.
func TakeThink(text, thinking *string, stop nightshift.StopReason) (newText, newThinking *string, found bool) {
	if text == nil {
		return text, thinking, false
	}
	thought, rest, found := splitThink(*text, stop == nightshift.StopMaxTokens)
	switch {
	case !found, some(thinking) && (thought != "" || rest == ""):
		return text, thinking, false
	case !some(thinking):
		thinking = &thought
	}
	return &rest, thinking, true
}
