package providertest

import (
	"net/http"
	"strings"

	"nightshift"
)

// A Case is one of the forms in which every fault and every good answer is
// tried: a wire format, streamed or not.
type Case struct {
	dialect
	Stream bool
}

// Cases are all forms.
func Cases() (all []Case) {
	for _, d := range dialects {
		all = append(all, Case{d, false}, Case{d, true})
	}
	return all
}

// Protocol is the wire format of the case.
func (c Case) Protocol() nightshift.Protocol { return c.protocol() }

func (c Case) String() string {
	if c.Stream {
		return string(c.Protocol()) + "/stream"
	}
	return string(c.Protocol()) + "/whole"
}

// Request is what the suite asks in every case.
func (c Case) Request() nightshift.Request {
	req := nightshift.Request{
		Model:    Model,
		System:   "Be brief.",
		Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: "Say hello."}},
		Params:   []nightshift.Param{{Name: "max_tokens", Value: []byte("64")}},
		Stream:   c.Stream,
		Key:      "row-1",
	}
	c.request(&req)
	return req
}

// What the suite's servers answer.
const (
	Model = "test-model-1"
	Text  = "Hello there."
	head  = "Hello" // the first part of a streamed Text
	tail  = " there."

	inputTokens  = 7
	outputTokens = 3
)

// good is the whole answer in a case.
func (c Case) good() string { return c.answer(counted, quote(head), quote(tail)) }

// answer is one whose text, in JSON, comes in these parts where it is streamed.
func (c Case) answer(output string, parts ...string) string {
	if c.Stream {
		return strings.Join(c.stream(parts, output), "")
	}
	return c.whole(joined(parts), output)
}

// quote is a text in JSON, for texts that need no more than quotes.
func quote(s string) string { return `"` + s + `"` }

// events are the answer as a stream, an event each.
func (c Case) events() []string {
	return c.stream([]string{quote(head), quote(tail)}, counted)
}

// contentType is what a good answer says it is.
func (c Case) contentType() string {
	if c.Stream {
		return "text/event-stream"
	}
	return "application/json"
}

// echoing is an error in the case's own dialect. It shows the key, as careless
// servers do: whatever comes of it must not.
func (c Case) echoing(req *http.Request, status int, kind, code, message string) string {
	return c.problem(status, kind, code, message+" (you sent "+strings.Join(echo(req), " and ")+")")
}
