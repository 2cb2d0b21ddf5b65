package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/heap"
	"nightshift/internal/words"
	"nightshift/runner"
	"nightshift/runner/store"
)

// instant is the role of a run whose provider answers at once: the dataset,
// the runner and the store as they are, and no network.
func instant(args []string) error {
	f := flag.NewFlagSet("instant", flag.ExitOnError)
	rows := f.String("rows", "", "JSONL file with prompts")
	out := f.String("out", "", "run directory")
	models := f.Int("models", 1, "how many models answer")
	_ = f.Parse(args) // exits on error
	// As the program has it (cmd/nightshift/memory.go).
	defer heap.Keep(16<<20-int64(*models)*concurrency*(16<<10), 40)()

	data, err := datasets.Open(context.Background(), datasets.Spec{Paths: []string{*rows}})
	if err != nil {
		return err
	}
	defer data.Close()
	id := store.Identity{
		Name: "instant", PlanHash: "h", Plan: json.RawMessage(`{}`), DatasetHash: data.Info().Hash,
		DatasetRows: data.Info().Rows, Epochs: 1,
	}
	var pools []runner.Pool
	for i := range *models {
		name := fmt.Sprintf("instant-%d", i)
		id.Models = append(id.Models, name)
		pools = append(pools, runner.Pool{Model: name, ModelID: name, Endpoint: "none",
			Protocol: nightshift.Protocols()[0], Provider: atOnce{}, Concurrency: concurrency})
	}
	for _, s := range data.Chunks() {
		id.Chunks = append(id.Chunks, store.Chunk{First: s.First, Rows: s.Rows, Hash: s.Hash})
	}
	st, err := store.Open(*out, id, store.Options{})
	if err != nil {
		return err
	}
	r := &runner.Run{
		Name: "instant", Store: st, Dataset: data, Epochs: 1, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Pools: pools,
	}
	stops, err := r.Do(context.Background(), context.Background())
	if len(stops) > 0 {
		err = errors.Join(err, stops[0].Err)
	}
	return errors.Join(err, st.Close("finished"))
}

// atOnce answers every request with a short text.
type atOnce struct{}

func (atOnce) Complete(_ context.Context, req nightshift.Request) (nightshift.Response, error) {
	if err := req.AttemptLog.Sending(nightshift.Intent{Attempt: 1, WorstTokens: 100}); err != nil {
		return nightshift.Response{}, err
	}
	text := "A short answer: 42."
	u := nightshift.Usage{Input: nightshift.Tokens(10), Output: nightshift.Tokens(6)}
	return nightshift.Response{
		Text: &text, StopReason: nightshift.StopEnd, Usage: u, Status: 200, Latency: time.Millisecond,
		Attempts: []nightshift.Attempt{{N: 1, StartedAt: time.Now(), Status: 200, Usage: u}},
	}, nil
}

const fewRows = 100_000

// memory compares the resident memory of a long run with that of a short one.
func (b *bench) memory(ctx context.Context) ([]figure, error) {
	few, err := b.instantRun(ctx, fewRows)
	if err != nil {
		return nil, err
	}
	many, err := b.instantRun(ctx, b.manyRows)
	if err != nil {
		return nil, err
	}
	ratio := float64(many.rss) / float64(few.rss)
	figures := []figure{{
		name: fmt.Sprintf("resident memory, %s short rows against %s, at %.0f rows/s",
			words.Thousands(int64(b.manyRows)), words.Thousands(int64(fewRows)), float64(b.manyRows)/many.wall.Seconds()),
		measured: fmt.Sprintf("%d MiB", many.rss>>20), floor: fmt.Sprintf("%d MiB", few.rss>>20),
		ratio: fmt.Sprintf("%.2f", ratio),
		reach: "≤ 1.2 × and ≤ 96 MiB", aim: "≤ 64 MiB", reached: ratio <= 1.2 && many.rss <= 96<<20,
	}}
	usual, err := b.usualMemory(ctx)
	return append(figures, usual), err
}

// usualMemory is that of a short run of usual rows, against the simulator.
func (b *bench) usualMemory(ctx context.Context) (figure, error) {
	const n = 8000
	rows, out := b.path("usual.jsonl"), b.path("usual")
	defer os.RemoveAll(out)
	if err := writeRows(rows, n, 1000); err != nil {
		return figure{}, err
	}
	url, end, err := b.server(ctx)
	if err != nil {
		return figure{}, err
	}
	defer end()
	u, err := b.nightshift(ctx, url, rows, out, concurrency)
	return figure{
		name:     fmt.Sprintf("resident memory, %s rows of 1 KB, %d at once", words.Thousands(n), concurrency),
		measured: fmt.Sprintf("%d MiB", u.rss>>20), reach: "≤ 96 MiB", aim: "≤ 64 MiB", reached: u.rss <= 96<<20,
	}, err
}

func (b *bench) instantRun(ctx context.Context, n int) (usage, error) {
	rows, out := b.path("instant-"+strconv.Itoa(n)+".jsonl"), b.path("instant-"+strconv.Itoa(n))
	if err := writeRows(rows, n, 60); err != nil {
		return usage{}, err
	}
	defer os.RemoveAll(out)
	defer os.Remove(rows)
	return run(ctx, b.self, "instant", "-rows", rows, "-out", out)
}
