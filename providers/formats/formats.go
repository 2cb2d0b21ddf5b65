// Package formats holds the wire formats: how a request is written and an
// answer is read. A format is a value in [All]; what uses formats names none.
// They are pure: no network, no clock, no state between calls.
package formats

import (
	"net/http"
	"slices"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/chat"
	"nightshift/providers/formats/completions"
	"nightshift/providers/formats/embeddings"
	"nightshift/providers/formats/gemini"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
	"nightshift/providers/formats/messages"
	"nightshift/providers/formats/responses"
)

// A Format is one wire format. To add one: a folder that implements it, its
// line in [All], and its line in the table of protocols of package nightshift.
type Format interface {
	conversation.Dialect // its requests; see [Encode]. those without messages embed [conversation.NoMessages]

	// Header returns the headers that its requests need, beside the key's.
	Header() http.Header
	// RequiresMaxTokens reports whether servers refuse a request that does not
	// cap its output tokens.
	RequiresMaxTokens() bool
	// CapNames are the fields of which any one caps the output tokens, the one
	// that may be required first; servers refuse two at once. The slice is not
	// to be changed.
	CapNames() []string
	// Caps returns the most output tokens that a request permits over all its
	// choices, and how many choices it asks for; 0 is not known.
	Caps(body rawjson.Value) (maxOutput, choices int64)
	// AuthScheme is how servers want the key where a plan does not say.
	AuthScheme() string
	// ModelInURL reports whether the model, and the wish for a stream, stand in
	// the URL of a request and not in its body.
	ModelInURL() bool
	// Params brings parameters of a request under the names of this format.
	// Users may give them the names that Chat Completions has; what this format
	// has no name for is noted as untranslatable. own is the row's own body in
	// this format, whose settings the parameters change; missing without one.
	Params(t *conversation.Translation, params []nightshift.Param, own rawjson.Value, model string) []nightshift.Param
	// Measure counts what a body holds of prompt text and of other input.
	Measure(m *body.Meter, root rawjson.Value)
	// UsageParam asks for usage in streams; without a name none is needed.
	UsageParam() nightshift.Param

	// Recognise reports whether a JSON object is an answer in this format, by
	// its shape.
	Recognise(answer rawjson.Value) bool
	// RecogniseEvent does so for an event of a stream.
	RecogniseEvent(event rawjson.Value) bool
	// RecogniseUsage reports whether a usage object beside no answer counts in
	// this format's names.
	RecogniseUsage(usage rawjson.Value) bool
	// Decode reads a whole answer into an empty resp. Response.Raw is left to
	// the caller, who has the body. Unknown fields, parts and stop words are no
	// errors; what was odd about the answer is in resp.Flags. (A Response is
	// large: with one in each frame of the calls, every worker's stack would
	// double.)
	Decode(resp *nightshift.Response, answer rawjson.Value) *nightshift.Error
	// DecodeUsage reads the usage of a body that is an error, or has no answer
	// in it.
	DecodeUsage(resp *nightshift.Response, body rawjson.Value)
	// NewStream returns a Stream that has seen nothing.
	NewStream(StreamOptions) Stream
}

// TextsFormat is a Format of requests that are a list of texts, such as those
// for embeddings. What is answered are vectors: no output tokens, no streams.
type TextsFormat interface {
	Format
	// WriteTexts writes the members of a body that hold the texts, and the
	// parameters.
	WriteTexts(t *conversation.Translation, w *conversation.Writer, texts []string, params []nightshift.Param,
		model string)
	// CountTexts returns how many texts a body holds.
	CountTexts(body rawjson.Value) int64
}

// BackgroundFormat is a Format whose servers can make an answer in the
// background. [Format.Decode] says with the code [providers.CodeNotReady] that
// one is not there yet, and resp.ID under which id it is asked for.
type BackgroundFormat interface {
	Format
	// Background reports whether a request asks for such an answer.
	Background(body rawjson.Value) bool
}

// BackgroundStream is a Stream of an answer that the server goes on with when
// nobody listens.
type BackgroundStream interface {
	Stream
	// Background returns the id of such an answer; empty for any other.
	Background() (id string)
}

// A Stream assembles a streamed answer from its events.
type Stream = answer.Stream

// OpenEnded is a Stream that nothing but the end of the body may end.
type OpenEnded = answer.OpenEnded

// StreamOptions are what is known about a stream before it begins.
type StreamOptions = answer.StreamOptions

// All are the wire formats that there are, in the order in which they are asked
// whether an answer is theirs.
var All = []Format{
	messages.Format{}, responses.Format{}, completions.Format{}, chat.Format{}, gemini.Format{},
	embeddings.Format{}, embeddings.Gemini{},
}

// fallback reads usage that tells no format: Chat's servers use the most names.
var fallback Format = chat.Format{}

// neutral is the format whose names parameters may have in every format.
var neutral conversation.Dialect = chat.Format{}

// Of returns the format of a protocol.
func Of(p nightshift.Protocol) (f Format, ok bool) {
	return first(func(f Format) bool { return f.Protocol() == p })
}

// Recognise returns the format of a whole answer.
func Recognise(answer rawjson.Value) (f Format, ok bool) {
	return first(func(f Format) bool { return f.Recognise(answer) })
}

// RecogniseEvent returns the format of an event of a stream.
func RecogniseEvent(event rawjson.Value) (f Format, ok bool) {
	return first(func(f Format) bool { return f.RecogniseEvent(event) })
}

// ForUsage returns the format to read the usage of a body with. What its shape
// does not tell, the format that was asked for does, unless the names of its
// counts are another's.
func ForUsage(body rawjson.Value, asked nightshift.Protocol) Format {
	if f, ok := Recognise(body); ok {
		return f
	}
	if f, ok := Of(asked); ok && f.RecogniseUsage(body.Get("usage")) {
		return f
	}
	return fallback
}

// Writes reports whether models answer with text, and so with output tokens, in
// a protocol.
func Writes(p nightshift.Protocol) bool {
	f, _ := Of(p)
	_, texts := f.(TextsFormat)
	return !texts
}

// CapNames are the names that cap the output tokens in any format.
func CapNames() (names []string) {
	for _, f := range All {
		for _, name := range f.CapNames() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func first(is func(Format) bool) (Format, bool) {
	for _, f := range All {
		if is(f) {
			return f, true
		}
	}
	return nil, false
}
