package nightshift

import "slices"

// A Protocol names a wire format. How one is written and read is the work of
// package formats.
type Protocol string

const (
	Messages Protocol = "messages" // Anthropic Messages
	Chat     Protocol = "chat"     // OpenAI Chat Completions
)

// protocols is the table of the wire formats that there are.
var protocols = []struct {
	name Protocol
	path string // what the URL of its requests ends in
	// versioned is set where base URLs are given without the /v1 that stands
	// before the path.
	versioned bool
}{
	{Messages, "/messages", true},
	{Chat, "/chat/completions", false},
}

// Protocols returns the wire formats that there are.
func Protocols() []Protocol {
	all := make([]Protocol, len(protocols))
	for i, p := range protocols {
		all[i] = p.name
	}
	return all
}

// Valid reports whether p is one of the wire formats.
func (p Protocol) Valid() bool { return slices.Contains(Protocols(), p) }

// Path is what the URL of a request ends in.
func (p Protocol) Path() string {
	for _, known := range protocols {
		if known.name == p {
			return known.path
		}
	}
	return ""
}

// Versioned reports whether base URLs of this format are given without the
// version, /v1, that stands before its path.
func (p Protocol) Versioned() bool {
	for _, known := range protocols {
		if known.name == p {
			return known.versioned
		}
	}
	return false
}
