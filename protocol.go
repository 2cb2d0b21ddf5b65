package nightshift

import (
	"slices"
	"strings"
)

// A Protocol names a wire format. How one is written and read is the work of
// package formats.
type Protocol string

const (
	Messages  Protocol = "messages"  // Anthropic Messages
	Chat      Protocol = "chat"      // OpenAI Chat Completions
	Responses Protocol = "responses" // OpenAI Responses
	// Completions is the format of legacy text completions, for base models.
	Completions Protocol = "completions"

	Embeddings       Protocol = "embeddings"        // OpenAI embeddings
	GeminiEmbeddings Protocol = "gemini_embeddings" // Gemini's batchEmbedContents
	Gemini           Protocol = "gemini"            // Google generateContent and its stream
)

// protocols is the table of the wire formats that there are.
var protocols = []protocolRow{
	{name: Messages, path: "/messages", version: "/v1", versioned: true},
	{name: Chat, path: "/chat/completions", version: "/v1"},
	{name: Responses, path: "/responses", version: "/v1"},
	{name: Completions, path: "/completions", version: "/v1"},
	{name: Embeddings, path: "/embeddings", version: "/v1"},
	{name: GeminiEmbeddings, path: "/models/{model}:batchEmbedContents", version: "/v1beta"},
	{
		name: Gemini, path: "/models/{model}:generateContent",
		streamed: "/models/{model}:streamGenerateContent?alt=sse",
		version:  "/v1beta", versioned: true,
	},
}

// A protocolRow says where the requests of one wire format go.
type protocolRow struct {
	name Protocol
	// path is what the URL of its requests ends in. Where the model stands in
	// the URL, the path has [ModelPlaceholder].
	path string
	// streamed is the path of requests for a stream, with its query; empty
	// where the body alone asks for streams.
	streamed string
	version  string // what stands before the path at most servers
	// versioned is set where base URLs are given without the version, even
	// when they have a path.
	versioned bool
}

// ModelPlaceholder stands for the model id in a path.
const ModelPlaceholder = "{model}"

// Protocols returns the wire formats that there are.
func Protocols() []Protocol {
	all := make([]Protocol, len(protocols))
	for i, p := range protocols {
		all[i] = p.name
	}
	return all
}

// ProtocolNames lists the wire formats for people, such as "messages or chat".
func ProtocolNames() string {
	var b strings.Builder
	for i, p := range protocols {
		switch {
		case i > 0 && i == len(protocols)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(p.name))
	}
	return b.String()
}

// Valid reports whether p is one of the wire formats.
func (p Protocol) Valid() bool { return slices.Contains(Protocols(), p) }

// Path is what the URL of a request ends in.
func (p Protocol) Path() string { return p.row().path }

// StreamPath is Path for requests that ask for a stream, a query included.
func (p Protocol) StreamPath() string {
	if r := p.row(); r.streamed != "" {
		return r.streamed
	}
	return p.Path()
}

// Version is what stands before the path at most servers, such as /v1.
func (p Protocol) Version() string { return p.row().version }

// Versioned reports whether base URLs of this format are given without the
// version that stands before its path.
func (p Protocol) Versioned() bool { return p.row().versioned }

func (p Protocol) row() protocolRow {
	for _, known := range protocols {
		if known.name == p {
			return known
		}
	}
	return protocolRow{}
}

// PathProtocol returns the wire format whose path a URL's path ends in: of
// several, the one with the longest, so that /chat/completions is not taken
// for /completions.
func PathProtocol(path string) (p Protocol, ok bool) {
	longest := 0
	for _, known := range protocols {
		for _, end := range known.endings() {
			if len(end) > longest && strings.HasSuffix(path, end) {
				p, longest = known.name, len(end)
			}
		}
	}
	return p, longest > 0
}

// endings are what the paths of a wire format end in, whatever the model.
func (r protocolRow) endings() []string {
	if !strings.Contains(r.path, ModelPlaceholder) {
		return []string{r.path}
	}
	return []string{r.name.Verb(false), r.name.Verb(true)}
}

// Verb is what follows the model where that stands in the URL, such as
// ":generate"; empty for other formats. stream asks for that of streams.
func (p Protocol) Verb(stream bool) string {
	path := p.Path()
	if stream {
		path, _, _ = strings.Cut(p.StreamPath(), "?")
	}
	_, verb, _ := strings.Cut(path, ModelPlaceholder)
	return verb
}
