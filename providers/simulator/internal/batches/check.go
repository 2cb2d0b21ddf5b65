package batches

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// endpoints are what OpenAI's batches may ask.
var endpoints = []string{"/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings",
	"/v1/moderations"}

// mostRows is how many rows a batch may have.
func (s *Service) mostRows(st style) int {
	switch {
	case s.cfg.MaxRows > 0:
		return s.cfg.MaxRows
	case st == openai:
		return 50_000
	case st == mistral:
		return 1_000_000
	}
	return 100_000
}

// scan calls f with each line of an input file that is not blank; the error is
// its first one.
func (f *file) scan(each func(number int, at int64, line []byte) *failure) *failure {
	in := bufio.NewReaderSize(f.data.reader(), 1<<16)
	at := int64(0)
	for number := 1; ; number++ {
		line, err := in.ReadBytes('\n')
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 {
			if bad := each(number, at, line); bad != nil {
				return bad
			}
		}
		at += int64(len(line))
		if err != nil {
			if err != io.EOF {
				return &failure{code: "invalid_request", message: "The file cannot be read: " + err.Error()}
			}
			return nil
		}
	}
}

// firstModel is the model that the first row of a file asks for.
func (f *file) firstModel() (model string) {
	_ = f.scan(func(_ int, _ int64, line []byte) *failure {
		model, _ = modelOf(line)
		return &failure{} // one line is enough
	})
	return model
}

// modelOf is the model of a row, and whether it wants a stream.
func modelOf(line []byte) (model string, stream bool) {
	type named struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	var w struct {
		Body, Params, Request named
	}
	_ = json.Unmarshal(line, &w) // other checks say what is wrong
	for _, n := range []named{w.Body, w.Params, w.Request} {
		if n.Model != "" || n.Stream {
			return n.Model, n.Stream
		}
	}
	return "", false
}

// check validates a batch as the vendor does, and takes its rows up; mu is held.
func (s *Service) check(b *batch) *failure {
	f := b.input
	switch {
	case f == nil || f.deleted || b.is(failedFileNotFound):
		id := b.name
		if f != nil {
			id = f.id
		}
		return &failure{code: "invalid_request", param: "input_file_id",
			message: fmt.Sprintf("Cannot find file %s, or organization org-simulator does not have access to it.", id)}
	case f.purpose != "batch" && f.purpose != "batch-api" && b.style == openai:
		return &failure{code: "invalid_request", param: "input_file_id",
			message: "Invalid purpose of the input file: expected 'batch', got '" + f.purpose + "'."}
	}
	if bad := s.checkRows(b); bad != nil {
		return bad
	}
	if len(b.rows) == 0 {
		return &failure{code: "empty_file", message: "The batch input file has no requests."}
	}
	if b.is(failedLine) && b.style == openai {
		return &failure{code: "invalid_request", line: len(b.rows)/2 + 1, param: "body",
			message: "The request body of this line is not valid."}
	}
	return s.checkQueue(b)
}

func (s *Service) checkRows(b *batch) *failure {
	seen := map[string]bool{}
	return b.input.scan(func(number int, at int64, line []byte) *failure {
		var w wireRow
		if json.Unmarshal(line, &w) != nil {
			return &failure{"invalid_json_line", "This line is not parseable as valid JSON.", "", number}
		}
		if bad := b.checkRow(&w, line); bad != nil {
			bad.line = number
			return bad
		}
		if seen[w.id()] && b.style != mistral {
			return &failure{"duplicate_custom_id",
				"The custom_id for this request is a duplicate of another request: " + w.id(), "custom_id", number}
		}
		seen[w.id()] = true
		if len(b.rows) >= s.mostRows(b.style) {
			return &failure{code: "invalid_request",
				message: fmt.Sprintf("The batch has more than %d requests.", s.mostRows(b.style))}
		}
		b.rows = append(b.rows, row{at: at, size: int32(len(line)), id: w.id()})
		if s.cfg.Queue > 0 {
			b.queued += int64(s.model.Describe(b.question(&w, b.created)).Input)
		}
		return nil
	})
}

// checkRow says what is wrong with a line. Only OpenAI looks so closely.
func (b *batch) checkRow(w *wireRow, line []byte) *failure {
	if b.style != openai || b.foreign {
		return nil
	}
	model, stream := modelOf(line)
	missing := ""
	switch {
	case w.CustomID == nil:
		missing = "custom_id"
	case w.Method == "" && b.shape != shapeTogether:
		missing = "method"
	case w.URL == "" && b.shape != shapeTogether:
		missing = "url"
	case len(w.Body) == 0:
		missing = "body"
	case model == "":
		missing = "model"
	}
	switch {
	case missing != "":
		return &failure{code: "missing_required_parameter", param: missing,
			message: "Missing required parameter: '" + missing + "'."}
	case w.URL != "" && w.URL != b.endpoint:
		return &failure{code: "invalid_url", param: "url",
			message: "The URL provided for this request does not match the batch endpoint: " + b.endpoint + "."}
	case model != b.model:
		return &failure{code: "mismatched_model", param: "body.model",
			message: "The provided model '" + model + "' does not match the other requests' model '" + b.model + "'."}
	case stream:
		return &failure{code: "streaming_unsupported", param: "body.stream",
			message: "Streaming is not supported in batches."}
	}
	return nil
}

// checkQueue sees whether the prompts of a batch fit into the queue of their
// model, which other batches of the project fill.
func (s *Service) checkQueue(b *batch) *failure {
	waiting := int64(0)
	for _, other := range s.batches {
		if other.phase == running && other.project == b.project && other.model == b.model {
			waiting += other.queued
		}
	}
	limit := s.cfg.Queue
	if !b.is(failedTokenLimit) && (limit == 0 || waiting+b.queued <= limit) {
		return nil
	}
	if limit == 0 {
		limit = 2_000_000
	}
	return &failure{code: "token_limit_exceeded",
		message: fmt.Sprintf("Enqueued token limit reached for %s in organization "+
			"org-simulator. Limit: %s enqueued tokens. Please try again once some in_progress batches have been completed.",
			b.model, thousands(limit))}
}

// thousands writes a number with commas.
func thousands(n int64) string {
	digits := fmt.Sprint(n)
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	return strings.Join(groups, ",")
}
