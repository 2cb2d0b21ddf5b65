// Package recordings holds what is expected of the recorded exchanges that lie
// beside the checkout, in ../shared/recorded: short facts, read off each file
// by a person. The recordings themselves are other people's and are not part
// of this repository.
//
// Expectations serves whoever replays them: the decoders from the bodies
// alone, the wire from whole HTTP answers.
package recordings

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"nightshift"
)

// An Expectation is what one recorded answer must be read as.
type Expectation struct {
	File string // name of the recording without .json
	// Line is 1-based when the recording is a batch's result file and this
	// expectation is of the answer in one of its lines; 0 for the whole body.
	Line   int
	Status int // HTTP status
	// Format is the format of the answer; empty when the body is none.
	Format   nightshift.Protocol
	Streamed bool
	// DoneMarkerOnly is set where the endpoint never sends a finish reason and
	// must be configured so; without it the answer is cut.
	DoneMarkerOnly bool

	Class       nightshift.ErrorClass // empty when it is an answer
	ID          string
	Model       string
	Fingerprint string
	Text        Digest
	Thinking    Digest
	ToolCalls   []nightshift.ToolCall
	Choices     []Choice // when there is more than one
	Stop        nightshift.StopReason
	RawStop     string
	Sequence    string // stop sequence met
	Usage       nightshift.Usage
	HasUsage    bool // a usage object came
	Flags       []string
	Note        string
}

// A Choice is what one of several answers must be read as.
type Choice struct {
	Text      Digest
	ToolCalls []nightshift.ToolCall
	RawStop   string
}

// A Digest stands for a text. The zero Digest stands for none at all.
type Digest struct {
	Present bool
	Bytes   int
	SHA     string // first 12 hex digits of the SHA-256
	Start   string // how it begins
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

// Load reads the recording that an expectation is of.
func Load(dir, file string) (Exchange, error) {
	var x Exchange
	raw, err := os.ReadFile(filepath.Join(dir, file+".json"))
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

// Expectations returns what is expected of every recording, by name. A
// recording whose lines hold answers has one for the whole and one for each
// line.
func Expectations() []Expectation { return expectations }

// text is the digest of a text of n bytes.
func text(n int, sha, start string) Digest { return Digest{true, n, sha, start} }

// call is a tool call.
func call(id, name, arguments string) nightshift.ToolCall {
	return nightshift.ToolCall{ID: id, Name: name, Arguments: arguments}
}

// use is a usage: input, cache read, cache written for 5 minutes and for an
// hour, output, reasoning. no is a count that was not reported.
func use(in, read, write5m, write1h, out, reasoning int64) nightshift.Usage {
	return nightshift.Usage{
		Input: count(in), CacheRead: count(read), CacheWrite5m: count(write5m), CacheWrite1h: count(write1h),
		Output: count(out), Reasoning: count(reasoning),
	}
}

const no = -1

func count(n int64) nightshift.Count {
	if n == no {
		return nightshift.Count{}
	}
	return nightshift.Tokens(n)
}

// with adds tier, region, searches and the reported cost in nano-dollars.
func with(u nightshift.Usage, tier, region string, searches, reported int64) nightshift.Usage {
	u.ServiceTier, u.Region, u.Searches = tier, region, count(searches)
	if reported != no {
		n := nightshift.NanoUSD(reported)
		u.Reported = &n
	}
	return u
}
