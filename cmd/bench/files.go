package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshift/internal/words"
)

const models = 3 // of the run that is read

// files measures what reads the files of a finished run of several models.
func (b *bench) files(ctx context.Context) ([]figure, error) {
	rows, out := b.path("million.jsonl"), b.path("million")
	defer os.RemoveAll(out)
	if err := writeQuestions(rows, b.fileRows); err != nil {
		return nil, err
	}
	if _, err := run(ctx, b.self, "instant", "-rows", rows, "-out", out, "-models", fmt.Sprint(models)); err != nil {
		return nil, err
	}
	one, all := words.Thousands(int64(b.fileRows)), words.Thousands(int64(models*b.fileRows))
	var figures []figure
	for _, c := range []struct {
		name         string
		args         []string
		reach, share float64 // seconds; of the time that counts
	}{
		{"scoring " + all + " answers by their number", []string{"score", out, "--scorer", "number"}, 0, 1},
		{"report of " + one + " rows (a third of that of " + all + ")", []string{"report", out}, 3, 1. / models},
		{"cost of " + all + " rows", []string{"cost", out}, 0, 1},
		{"compare, " + one + " rows of 3 models", []string{"compare", out}, 5, 1},
	} {
		u, err := run(ctx, b.program, c.args...)
		if err != nil {
			return nil, err
		}
		seconds := u.wall.Seconds() * c.share
		f := figure{
			name: c.name, reached: true,
			measured: fmt.Sprintf("%.1f s, %.1f s of processor time, %d MiB", seconds, u.cpu.Seconds()*c.share, u.rss>>20),
		}
		if c.reach > 0 {
			f.reach, f.reached = fmt.Sprintf("≤ %v s", c.reach), seconds <= c.reach
		}
		if c.args[0] == "cost" {
			b.besideDuckDB(ctx, &f, out, seconds)
		}
		figures = append(figures, f)
	}
	viewed, err := b.viewed(ctx, out)
	return append(figures, viewed...), err
}

// writeQuestions writes a dataset of n rows with ids, targets and categories.
func writeQuestions(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		fmt.Fprintf(w, `{"id":"q%d","prompt":%q,"target":"%d","category":"c%d"}`+"\n", i, prompt(i, 60), 42+i%3, i%20)
	}
	return errors.Join(w.Flush(), f.Close())
}

// besideDuckDB compares with DuckDB, where Python has it: the same sums from
// the same columns.
func (b *bench) besideDuckDB(ctx context.Context, f *figure, dir string, seconds float64) {
	const script = `import duckdb, json, sys, time
begun = time.time()
duckdb.sql("""SELECT model, endpoint, outcome, stop_reason, category, served_model, count(*), sum(input_tokens),
    sum(output_tokens), sum(cost_nano_usd), sum(reasoning_tokens), sum(cache_read_tokens), sum(attempts),
    sum(len(attempt_log)) FROM read_parquet(%r) GROUP BY ALL""" % sys.argv[1]).fetchall()
print(json.dumps([time.time() - begun, duckdb.__version__]))`
	f.reach = "≤ 2 × DuckDB"
	said, err := exec.CommandContext(ctx, b.python, "-c", script, filepath.Join(dir, "results", "*.parquet")).Output()
	var theirs float64
	var version string
	if err != nil || json.Unmarshal(said, &[]any{&theirs, &version}) != nil || theirs <= 0 {
		f.floor, f.reached = "no DuckDB here: -python PATH names a Python that has it", false
		return
	}
	f.floor, f.ratio = fmt.Sprintf("%.2f s, DuckDB %s", theirs, version), fmt.Sprintf("%.2f", seconds/theirs)
	f.aim, f.reached = "≤ 1 ×", seconds <= 2*theirs
}

// liveStatus asks where a run stands that has 20,000 rows in its journal.
func (b *bench) liveStatus(ctx context.Context) ([]figure, error) {
	const open = 19_900
	rows, out := b.path("live.jsonl"), b.path("live")
	if err := writeRows(rows, open+100, 60); err != nil {
		return nil, err
	}
	url, end, err := b.serverAs(ctx, "canned", "-most", fmt.Sprint(open))
	if err != nil {
		return nil, err
	}
	defer end()
	live := exec.CommandContext(ctx, b.program, runArgs(chatPath, url, rows, out, concurrency)...)
	if err := live.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = errors.Join(live.Process.Kill(), live.Wait()) }()
	if err := b.untilOnRecord(ctx, out, open); err != nil {
		return nil, err
	}
	var took []time.Duration
	for range 9 {
		u, err := run(ctx, b.program, "status", out)
		if err != nil {
			return nil, err
		}
		took = append(took, u.wall)
	}
	slices.Sort(took)
	ms := took[len(took)/2].Milliseconds()
	return []figure{{
		name: "status of a live run with 20,000 open rows (median of 9)", measured: fmt.Sprintf("%d ms", ms),
		reach: "≤ 50 ms", reached: ms <= 50,
	}}, nil
}

// untilOnRecord waits until a live run says that so many rows are on record.
func (b *bench) untilOnRecord(ctx context.Context, dir string, rows int) error {
	for range 600 {
		said, err := output(ctx, b.program, "status", dir, "--json")
		var st struct {
			Done int `json:"done"`
		}
		if err == nil && json.Unmarshal([]byte(said), &st) == nil && st.Done >= rows {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the run did not come to %d rows", rows)
}

// buildSize measures the stripped program, and how long it takes to build it where
// nothing was built before.
func (b *bench) buildSize(ctx context.Context) ([]figure, error) {
	path, cache := b.path("stripped"), b.path("build-cache")
	defer os.RemoveAll(cache)
	u, err := run(ctx, "env", "GOCACHE="+cache, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path,
		"./cmd/nightshift")
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	deps, err := output(ctx, "go", "list", "-deps", "./cmd/nightshift")
	mb := float64(info.Size()) / 1e6
	return []figure{{
		name:     "a build from nothing",
		measured: fmt.Sprintf("%.0f s, %.0f s of processor time", u.wall.Seconds(), u.cpu.Seconds()),
		reach:    "≤ 60 s", reached: u.wall <= time.Minute,
	}, {
		name:     "the program, stripped",
		measured: fmt.Sprintf("%.1f MB, of %d packages", mb, strings.Count(deps, "\n")),
		reach:    "≤ 30 MB", reached: mb <= 30,
	}}, err
}
