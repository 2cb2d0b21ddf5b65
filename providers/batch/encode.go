package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
)

// Encode implements [nightshift.Batcher].
func (b *Batcher) Encode(dst []byte, id string, req nightshift.Request) ([]byte, nightshift.BatchCost, error) {
	req.Stream = false
	p, err := b.wire.Prepare(req)
	if err != nil {
		return dst, nightshift.BatchCost{}, err
	}
	body, err := unstreamed(p.Body)
	if err != nil {
		return dst, nightshift.BatchCost{}, err
	}
	cost, err := b.worst(p)
	if err != nil {
		return dst, cost, err
	}
	return b.appendLine(dst, id, body), cost, nil
}

func (b *Batcher) appendLine(dst []byte, id string, body []byte) []byte {
	dst = append(append(append(dst, `{"`...), b.id...), `":`...)
	dst = rawjson.AppendString(dst, id)
	if !b.bare {
		dst = rawjson.AppendString(append(dst, `,"method":"POST","url":`...), b.endpoint())
	}
	dst = append(append(append(dst, `,"`...), b.body...), `":`...)
	return append(append(dst, body...), '}', '\n')
}

// endpoint is the path of the requests, as batches name it.
func (b *Batcher) endpoint() string { return b.prefix + b.Endpoint.Protocol.Path() }

// unstreamed is a request's body on one line and without a wish for a stream,
// which batches refuse.
func unstreamed(body []byte) ([]byte, error) {
	if bytes.Contains(body, []byte(`"stream`)) {
		root, err := rawjson.Scan(body)
		if err != nil {
			return nil, unreadable(err)
		}
		kept := []byte{'{'}
		for m := root.First(); m.Exists(); m = m.Next() {
			if m.KeyIs("stream") || m.KeyIs("stream_options") {
				continue
			}
			if len(kept) > 1 {
				kept = append(kept, ',')
			}
			kept = append(append(rawjson.AppendString(kept, m.Key()), ':'), m.Raw()...)
		}
		body = append(kept, '}')
	}
	if !bytes.ContainsAny(body, "\r\n") {
		return body, nil
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return nil, unreadable(err)
	}
	return line.Bytes(), nil
}

func unreadable(err error) *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassInvalidRequest,
		Message: "the request's body cannot be read: " + err.Error()}
}

// worst is the most that a request can use and cost.
func (b *Batcher) worst(p providers.Prepared) (nightshift.BatchCost, error) {
	c := nightshift.BatchCost{Input: providers.WorstInput(p), Output: p.MaxOutput, Hash: p.Hash}
	c.Queued = b.guess.Cost(b.Model, p).Input
	words := p.Texts == 0 // vectors are no output tokens
	if c.Output == 0 && words {
		c.Output = b.MaxOutput * max(p.Choices, 1)
	}
	if (b.NeedsTokens || b.NeedsCost) && c.Output == 0 && words {
		return c, fmt.Errorf("model %s: nothing bounds the output, so no budget can; set max_tokens: %w",
			b.Model, nightshift.ErrBudget)
	}
	if b.WorstPrice != nil {
		if cost, ok := b.WorstPrice(b.Model, c.Input, c.Output, p.Media); ok {
			c.Cost = cost
			return c, nil
		}
	}
	if b.NeedsCost {
		return c, fmt.Errorf("model %s: no price of batches is known, so no budget in dollars can hold: %w",
			b.Model, nightshift.ErrBudget)
	}
	return c, nil
}

// orderBody is what creates a batch: the parts before and after the rows. after
// is empty where no rows are in it.
func (b *Batcher) orderBody(o nightshift.BatchOrder) (before, after string) {
	window := o.Window
	if window == "" {
		window = windowText(b.Endpoint.Batch.Window)
	}
	metadata := ""
	if len(o.Metadata) > 0 {
		text, _ := rawjson.Marshal(o.Metadata) // of texts, in the order of their names
		metadata = `,"metadata":` + string(text)
	}
	whole := strings.NewReplacer(
		"$file", quoted(o.File.ID), "$name", quoted(strings.TrimSuffix(o.Name, ".jsonl")), "$model", quoted(b.Model),
		"$endpoint", quoted(b.endpoint()), "$window", quoted(window), "$hours", strconv.Itoa(hours(window)),
		"$output", quoted(outputSet(o.File.ID)), "$metadata", metadata, "$rows", "\x00",
	).Replace(b.order)
	before, after, _ = strings.Cut(whole, "\x00")
	return before, after
}

// outputSet names the data set of the results of one of requests.
func outputSet(input string) string { return input + "-out" }

func quoted(s string) string { return string(rawjson.AppendString(nil, s)) }

// rows reads the lines of a file as the elements of a list: with commas in the
// place of their ends. The last line's end is left out.
type rows struct {
	from io.Reader
	left int64 // bytes that are yet to come
}

func (r *rows) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.from.Read(p)
	r.left -= int64(n)
	for at := p[:n]; ; {
		i := bytes.IndexByte(at, '\n')
		if i < 0 {
			return n, err
		}
		at[i] = ','
		at = at[i+1:]
	}
}
