package simulator

import (
	"strconv"
	"strings"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/requests"
)

// A reply is a generated answer, before it takes the form of a protocol.
type reply struct {
	id      string
	model   string // as named in the answer
	created int64  // Unix seconds
	choices []choice
	tokens  ledger.Tokens // what is billed
	forced  bool          // a named tool was forced

	extra    ledger.Tokens // part of tokens that a compaction step used
	mode     string        // usage mode
	twice    bool          // usage reported twice
	noUsage  bool
	badUsage bool
}

// A choice is one answer of a reply.
type choice struct {
	thinking string
	text     string
	null     bool // content null instead of ""
	calls    []call
	refusal  bool
	stop     string // one of the stop words, or a raw word after "="
	sequence string // which stop sequence was met
	output   int    // tokens, reasoning included
	reasoned int    // of which reasoning
}

type call struct {
	id, name, arguments string
	custom              bool // arguments are text
}

// Why an answer ended, in the simulator's words.
const (
	stopEnd      = "end"
	stopMax      = "max_tokens"
	stopSequence = "stop_sequence"
	stopTool     = "tool_use"
	stopRefusal  = "refusal"
	stopFilter   = "content_filter"
	stopPause    = "pause"
)

func messagesStop(stop string) string {
	switch stop {
	case stopEnd:
		return "end_turn"
	case stopFilter:
		return "refusal"
	case stopPause:
		return "pause_turn"
	}
	return strings.TrimPrefix(stop, "=")
}

func (r *reply) chatStop(c *choice) string {
	switch c.stop {
	case stopEnd, stopSequence, stopRefusal, stopPause:
		return "stop"
	case stopMax:
		return "length"
	case stopTool:
		if r.forced { // as the vendor does when a tool was named
			return "stop"
		}
		return "tool_calls"
	}
	return strings.TrimPrefix(c.stop, "=")
}

// A rendering is what goes over the wire.
type rendering struct {
	status      int
	contentType string
	pieces      []piece // the body in the order of sending
	ending      ending
}

// A piece is sent at once. Tokens is how much had been generated when it is.
type piece struct {
	data   []byte
	tokens int
	tail   bool // what ends an answer: not sent when it is cut
}

// An ending is what happens after the last piece.
type ending int

const (
	endWell  ending = iota
	endReset        // the connection breaks
	endEOF          // the body ends as if it were whole, without a length
	endStall        // nothing more comes, then the connection breaks
	endDrip         // the whole body comes a byte at a time
)

func (r *rendering) add(data []byte, tokens int, tail bool) {
	r.pieces = append(r.pieces, piece{data, tokens, tail})
}

func (r *rendering) size() int {
	n := 0
	for _, p := range r.pieces {
		n += len(p.data)
	}
	return n
}

// chunks cuts a text as it is streamed: a few tokens at a time, with the
// number of tokens up to the end of each.
func chunks(text string, s seed) (parts []string, tokens []int) {
	n := 0
	for i := uint64(0); len(text) > 0; i++ {
		want := 2 + int(s.WithInt(i).Bits()%5)
		at := 0
		for ; want > 0 && at < len(text); want-- {
			at += answers.NextToken(text[at:])
			n++
		}
		parts, tokens = append(parts, text[:at]), append(tokens, n)
		text = text[at:]
	}
	return parts, tokens
}

// render gives a reply the form of the request's protocol.
func (x *exchange) render(r *reply) rendering {
	switch {
	case x.ask.Embed != nil:
		return whole(x.embeddingBody(r), r)
	case x.ask.Response != nil && x.ask.Response.Background && r == x.reply:
		return x.enqueue(r)
	case x.ask.Response != nil && x.ask.Stream:
		return x.responseStream(r)
	case x.ask.Response != nil:
		return whole(x.responseBody(r), r)
	case x.ask.Completion != nil && x.ask.Stream:
		return x.completionStream(r)
	case x.ask.Completion != nil:
		return whole(x.completionBody(r), r)
	case x.ask.Protocol == requests.Gemini && x.ask.Stream:
		return x.geminiStream(r)
	case x.ask.Protocol == requests.Gemini:
		return whole(x.geminiBody(r), r)
	case x.ask.Protocol == requests.Messages && x.ask.Stream:
		return x.messagesStream(r)
	case x.ask.Protocol == requests.Messages:
		return whole(x.messagesBody(r), r)
	case x.ask.Stream:
		return x.chatStream(r)
	}
	return whole(x.chatBody(r), r)
}

func whole(body []byte, r *reply) rendering {
	out := rendering{status: 200, contentType: "application/json"}
	out.add(body, int(r.tokens.Output), false)
	return out
}

// ident makes an id of letters and digits from random bits.
func ident(prefix string, s seed, length int) string {
	const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz123456789"
	b := make([]byte, 0, len(prefix)+length)
	b = append(b, prefix...)
	for i := 0; i < length; {
		bits := s.WithInt(uint64(i)).Bits()
		for j := 0; j < 10 && i < length; j++ {
			b = append(b, alphabet[bits%uint64(len(alphabet))])
			bits /= uint64(len(alphabet))
			i++
		}
	}
	return string(b)
}

func itoa(n int) string { return strconv.Itoa(n) }
