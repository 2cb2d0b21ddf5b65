package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"nightshift/providers/simulator"
)

// A cachingCase is 2,000 rows that share so many documents, sent through one format.
type cachingCase struct {
	prefixes int
	protocol string
	least    float64 // of what an oracle could read, that has to be read
}

const (
	cachingRows = 2000
	// cachingTokens is about how long a document is.
	cachingTokens = 4000
	// cachingLatency makes an answer of 40 tokens take 0.4 s.
	cachingLatency = "first=150ms,per_token=6ms"
)

// cachingPlan sends rows that share documents.
const cachingPlan = `
dataset: {path: %q}
out: %q
models: [{name: m, endpoint: server, model: sim-large, stream: true, cache: "%s", params: {max_tokens: 40},
  price: {input: 3, output: 15, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6}}]
endpoints: {server: {protocol: %s, base_url: %q, auth: none, limits: {concurrency: %d}}}
`

// caching compares runs that are sent by their prefixes with the same runs in the
// dataset's order: how long they take, and what is read of what an oracle could.
func (b *bench) caching(ctx context.Context) (figures []figure, err error) {
	for _, c := range []cachingCase{{1, "messages", 0.98}, {1, "chat", 0.98}, {10, "chat", 0.95}, {50, "messages", 0.95},
		{50, "chat", 0.95}} {
		f, err := b.cachingPair(ctx, c)
		if err != nil {
			return nil, err
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (b *bench) cachingPair(ctx context.Context, c cachingCase) (figure, error) {
	rows := b.path("caching.jsonl")
	if err := c.write(rows); err != nil {
		return figure{}, err
	}
	plain, plainTook, err := b.cachingRun(ctx, c, rows, "off")
	if err != nil {
		return figure{}, err
	}
	read, took, err := b.cachingRun(ctx, c, rows, "auto")
	if err != nil {
		return figure{}, err
	}
	ratio := plainTook.Seconds() / took.Seconds()
	const rate = 0.95
	return figure{
		name: fmt.Sprintf("prompt cache, %s, 2,000 rows, %d common texts of 4,000 tokens, 64 at once", c.protocol,
			c.prefixes),
		measured: fmt.Sprintf("%.1f %% read of what could be, %.0f rows/s", 100*read, cachingRows/took.Seconds()),
		floor: fmt.Sprintf("in the dataset's order %.1f %%, %.0f rows/s", 100*plain,
			cachingRows/plainTook.Seconds()),
		ratio:   fmt.Sprintf("%.3f of the rate", ratio),
		reach:   fmt.Sprintf("≥ %.0f %% read, ≥ %.2f of the rate", 100*c.least, rate),
		reached: read >= c.least && ratio >= rate,
	}, nil
}

// write writes the rows: those that share a document are far from each other.
func (c cachingCase) write(path string) error {
	documents := make([]string, c.prefixes)
	for d := range documents {
		for i := 0; len(documents[d]) < 4*cachingTokens; i++ {
			documents[d] += fmt.Sprintf("Section %d of book %d says a thing. ", i, d)
		}
	}
	var b bytes.Buffer
	for i := range cachingRows {
		row := map[string]string{"system": documents[i*7919%c.prefixes], "prompt": fmt.Sprintf("Question %d?", i)}
		line, err := json.Marshal(row)
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

// cachingRun makes one run against a server of its own. read is the share of what an
// oracle could have read.
func (b *bench) cachingRun(ctx context.Context, c cachingCase, rows, mode string) (
	read float64, took time.Duration, err error) {
	url, end, err := b.server(ctx, "-latency", cachingLatency, "-cache", "on")
	if err != nil {
		return 0, 0, err
	}
	defer end()
	plan, out := b.path("caching.yaml"), b.path("caching")
	defer os.RemoveAll(out)
	text := fmt.Sprintf(cachingPlan, rows, out, mode, c.protocol, url+"/v1", concurrency)
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		return 0, 0, err
	}
	u, err := run(ctx, b.program, "run", "--quiet", plan)
	if err != nil {
		return 0, 0, err
	}
	err = awaitLedger(ctx, url, func(l simulator.Ledger) bool {
		read = float64(l.Billed.CacheRead) / float64(max(l.CacheReadable, 1))
		return l.InFlight == 0
	})
	return read, u.wall, err
}
