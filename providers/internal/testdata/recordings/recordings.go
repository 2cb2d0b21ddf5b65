// Package recordings holds what is expected of the recorded exchanges that lie
// beside the checkout, in ../shared/recorded and ../shared/recorded-more: short
// facts in expectations.json, and in a file for each format of the latter.
// A person checks them against each file; TestRecordings -update writes what
// the program reads. The recordings themselves are other people's and are not part
// of this repository.
//
// Expectations serves whoever replays them: the decoders from the bodies
// alone, the wire from whole HTTP answers.
package recordings

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"nightshift"
)

// An Expectation is what one recorded answer must be read as.
type Expectation struct {
	File string `json:"file"` // name of the recording without .json
	// Line is 1-based when the recording is a batch's result file and this
	// expectation is of the answer in one of its lines; 0 for the whole body.
	Line   int    `json:"line,omitempty"`
	Note   string `json:"note,omitempty"`
	Status int    `json:"status"` // HTTP status
	// Format is the format of the answer; empty when the body is none.
	Format   nightshift.Protocol `json:"format,omitempty"`
	Streamed bool                `json:"streamed,omitempty"`
	// DoneMarkerOnly is set where the endpoint never sends a finish reason and
	// must be configured so; without it the answer is cut.
	DoneMarkerOnly bool `json:"done_marker_only,omitempty"`

	Class       nightshift.ErrorClass `json:"class,omitempty"` // empty when it is an answer
	ID          string                `json:"id,omitempty"`
	Model       string                `json:"model,omitempty"`
	Fingerprint string                `json:"fingerprint,omitempty"`
	Text        Digest                `json:"text,omitzero"`
	Thinking    Digest                `json:"thinking,omitzero"`
	ToolCalls   []nightshift.ToolCall `json:"tool_calls,omitempty"`
	Choices     []Choice              `json:"choices,omitempty"` // when there is more than one
	Stop        nightshift.StopReason `json:"stop,omitempty"`
	RawStop     string                `json:"raw_stop,omitempty"`
	Sequence    string                `json:"stop_sequence,omitempty"`
	Usage       nightshift.Usage      `json:"usage,omitzero"`
	HasUsage    bool                  `json:"has_usage,omitempty"` // a usage object came
	Flags       []string              `json:"flags,omitempty"`
}

// A Choice is what one of several answers must be read as.
type Choice struct {
	Text      Digest                `json:"text,omitzero"`
	ToolCalls []nightshift.ToolCall `json:"tool_calls,omitempty"`
	RawStop   string                `json:"raw_stop,omitempty"`
}

// A Digest stands for a text. The zero Digest stands for none at all.
type Digest struct {
	Present bool   `json:"present"`
	Bytes   int    `json:"bytes"`
	SHA     string `json:"sha"`   // first 12 hex digits of the SHA-256
	Start   string `json:"start"` // how it begins
}

// Of returns the digest of a text.
func Of(text *string) Digest {
	if text == nil {
		return Digest{}
	}
	sum := sha256.Sum256([]byte(*text))
	start := []rune(*text)
	return Digest{true, len(*text), hex.EncodeToString(sum[:])[:12], string(start[:min(len(start), 28)])}
}

func (d Digest) String() string {
	if !d.Present {
		return "none"
	}
	return fmt.Sprintf("%q… (%d bytes, %s)", d.Start, d.Bytes, d.SHA)
}

// An Exchange is one recording.
type Exchange struct {
	Request struct {
		Method, URL string
		Headers     map[string]string
		Body        string
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    string
	}
}

// ErrAbsent is returned where the recordings are not beside the checkout.
var ErrAbsent = errors.New("needs ../shared/recorded, which is not there")

// Dir finds the recordings from the working directory upwards.
func Dir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		recorded := filepath.Join(dir, "..", "shared", "recorded")
		if _, err := os.Stat(recorded); err != nil {
			return "", ErrAbsent
		}
		return recorded, nil
	}
	return "", ErrAbsent
}

// More is the folder of further recordings beside the one that [Dir] finds.
func More(dir string) string { return dir + "-more" }

// Load reads the recording that an expectation is of, from dir or the folder of
// further ones.
func Load(dir, file string) (Exchange, error) {
	var x Exchange
	raw, err := os.ReadFile(filepath.Join(dir, file+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		raw, err = os.ReadFile(filepath.Join(More(dir), file+".json"))
	}
	if err != nil {
		return x, err
	}
	if err := json.Unmarshal(raw, &x); err != nil {
		return x, fmt.Errorf("%s: %w", file, err)
	}
	return x, nil
}

// Body returns the part of a recording's body that an expectation is of: the
// whole, or the answer inside a line of a batch's results.
func (e Expectation) Body(x Exchange) (string, error) {
	if e.Line == 0 {
		return x.Response.Body, nil
	}
	lines := strings.Split(x.Response.Body, "\n")
	if e.Line > len(lines) {
		return "", fmt.Errorf("%s has no line %d", e.File, e.Line)
	}
	var row struct {
		Result   struct{ Message json.RawMessage }
		Response struct{ Body json.RawMessage }
	}
	if err := json.Unmarshal([]byte(lines[e.Line-1]), &row); err != nil {
		return "", fmt.Errorf("%s, line %d: %w", e.File, e.Line, err)
	}
	if row.Result.Message != nil {
		return string(row.Result.Message), nil
	}
	return string(row.Response.Body), nil
}

// Name is the file, and the line where it is of one.
func (e Expectation) Name() string {
	if e.Line == 0 {
		return e.File
	}
	return fmt.Sprintf("%s:%d", e.File, e.Line)
}

//go:embed expectations*.json
var tables embed.FS

// Expectations returns what is expected of every recording, by name. A
// recording whose lines hold answers has one for the whole and one for each
// line.
func Expectations() []Expectation {
	var all []Expectation
	for _, name := range Tables() {
		all = append(all, Table(name)...)
	}
	return all
}

// Tables are the files of expectations.
func Tables() []string {
	names, err := fs.Glob(tables, "*.json")
	if err != nil {
		panic(err) // the pattern is a good one
	}
	return names
}

// Table returns the expectations of one file.
func Table(name string) []Expectation {
	var all []Expectation
	text, err := tables.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		panic(name + ": " + err.Error())
	}
	return all
}
