package main

import (
	"context"
	"fmt"
	"os"
)

// batchRows is how many rows travel in one batch.
const batchRows = 20_000

// batchPlan sends all rows in batches to a server that has them done at once.
const batchPlan = `
dataset: {path: %q}
out: %q
models: [{name: m, endpoint: server, model: sim-large, mode: batch}]
endpoints: {server: {preset: openai, base_url: %q, auth: none}}
batch: {max_requests: %d, poll: 1s..2s}
`

// batches runs many rows in batches, and a tenth of them, whose memory is
// compared: it should not grow with the rows.
func (b *bench) batches(ctx context.Context) ([]figure, error) {
	few, err := b.inBatches(ctx, b.manyRows/10)
	if err != nil {
		return nil, err
	}
	many, err := b.inBatches(ctx, b.manyRows)
	if err != nil {
		return nil, err
	}
	rate := float64(b.manyRows) / many.wall.Seconds()
	return []figure{
		{
			name:     fmt.Sprintf("%d rows in batches of %d, from the dataset to the report", b.manyRows, batchRows),
			measured: fmt.Sprintf("%.0f rows/s, the server's work included", rate),
			reach:    "–", aim: "–", reached: true,
		},
		{
			name:     fmt.Sprintf("memory of %d rows in batches", b.manyRows),
			measured: fmt.Sprintf("%d MiB resident", many.rss>>20),
			floor:    fmt.Sprintf("%d MiB with %d rows", few.rss>>20, b.manyRows/10),
			ratio:    fmt.Sprintf("%.2f", float64(many.rss)/float64(few.rss)),
			reach:    "≤ 1.3", aim: "64 MiB of heap", reached: float64(many.rss) <= 1.3*float64(few.rss),
		},
	}, nil
}

// inBatches runs n rows in batches against a server of their own.
func (b *bench) inBatches(ctx context.Context, n int) (usage, error) {
	url, end, err := b.server(ctx)
	if err != nil {
		return usage{}, err
	}
	defer end()
	rows, plan, out := b.path("batches.jsonl"), b.path("batches.yaml"), b.path("batches")
	if err := writeRows(rows, n, 1000); err != nil {
		return usage{}, err
	}
	text := fmt.Sprintf(batchPlan, rows, out, url+"/v1", batchRows)
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		return usage{}, err
	}
	defer os.RemoveAll(out)
	return run(ctx, b.program, "run", "--quiet", plan)
}
