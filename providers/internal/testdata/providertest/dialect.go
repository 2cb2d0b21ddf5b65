package providertest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// A dialect is how one wire format writes what the suite's servers say, and
// what they must be asked. Texts are given in JSON, counts of output tokens as
// they are to be written; "" leaves usage out.
type dialect interface {
	protocol() nightshift.Protocol
	// auth is how the key is sent.
	auth() providers.Auth
	// path is where a request goes.
	path(stream bool) string
	// header are the headers that a request must have beside those of all.
	header() map[string]string
	// request makes the suite's request one that the format can say.
	request(*nightshift.Request)
	// checkBody looks at a request's body.
	checkBody(tb testing.TB, body []byte, stream bool)

	whole(text, output string) string
	// stream are the events of an answer whose text comes in parts.
	stream(parts []string, output string) []string
	// hollow is a whole answer that says nothing: its content is a list without
	// an element, or null.
	hollow(content, output string) string
	// toolCall is an answer that calls the tool look with {"a":1}; "" where the
	// format has no tools.
	toolCall(stream bool) string
	// stopped gives a good answer, whole or streamed, another reason to end.
	stopped(answer string, why ending) string
	// problem is an error object. kind and code are OpenAI's and Anthropic's words.
	problem(status int, kind, code, message string) string
	// keys are the names under which answers tell their id and their model.
	keys() (id, model string)
	// goesOn reports whether a stream may bring more of the answer after it has
	// said why it ended: it is read to the connection's end.
	goesOn() bool
	// maySayNothing reports whether an answer that says nothing, and counts
	// nothing, is one all the same.
	maySayNothing() bool
}

// An ending is a reason to end other than that all is said.
type ending int

const (
	byUnknown ending = iota // by the word moonset
	byLength
	byRefusal
)

// dialects are those of all wire formats that answer with text.
var dialects = []dialect{messagesDialect{}, chatDialect{}, responsesDialect{}, geminiDialect{}, completionsDialect{}}

// Counts of output tokens.
const (
	counted    = "3"
	notCounted = ""
)

// total is the sum of input tokens and a count of output tokens, where that is
// one.
func total(output string) string {
	n, err := strconv.Atoi(output)
	if err != nil {
		n = outputTokens
	}
	return strconv.Itoa(inputTokens + n)
}

// keyOf is the key that a request carried, in whichever header.
func keyOf(req *http.Request) string {
	for _, d := range dialects {
		name := d.auth().HeaderName()
		if v := req.Header.Get(name); v != "" {
			return strings.TrimPrefix(v, "Bearer ")
		}
	}
	return ""
}
