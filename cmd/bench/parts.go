package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nightshift/datasets"
	"nightshift/internal/fsx"
	"nightshift/reports/scorers"
)

// scorers measures the scorers that big runs use, on all processors.
func (b *bench) scorers(context.Context) ([]figure, error) {
	solution := strings.Repeat("She sells 16 - 3 - 4 = 9 duck eggs a day at $2 each.\n", 4) + "A: 18"
	schema := map[string]any{"type": "object", "required": []string{"city"},
		"properties": map[string]any{"city": map[string]any{"type": "string"}, "temp": map[string]any{"type": "number"}}}
	var figures []figure
	for _, c := range []struct {
		kind         string
		params       map[string]any
		text, target string
	}{
		{"exact", map[string]any{"normalize": []string{"strip", "lower"}}, "  Paris, the capital of France",
			"paris, the capital of france"},
		{"number", nil, solution, "18"},
		{"regex", map[string]any{"pattern": `A: (-?\d+)`}, solution, "18"},
		{"json_schema", map[string]any{"schema": schema}, `{"city": "Paris", "temp": 21.5}`, ""},
	} {
		s, err := scorers.New(scorers.Spec{Type: c.kind, Params: c.params})
		if err != nil {
			return nil, err
		}
		before, begun := fsx.ProcessorTime(), time.Now()
		rate, err := scoreRate(s, scorers.Answer{Text: c.text}, c.target)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.kind, err)
		}
		figures = append(figures, figure{
			name: "scorer " + c.kind,
			measured: fmt.Sprintf("%.0f rows/s, with %.1f processors", rate,
				(fsx.ProcessorTime()-before).Seconds()/time.Since(begun).Seconds()),
			reach: "≥ 200,000 rows/s", reached: rate >= 200_000,
		})
	}
	return figures, nil
}

// scoreRate scores for a second on every processor.
func scoreRate(s scorers.Scorer, a scorers.Answer, text string) (float64, error) {
	target := scorers.OneTarget(text)
	var n, wrong atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Since(begun) < time.Second {
				for range 1000 {
					if r := s.Score(a, target); r.Value == nil || *r.Value != 1 {
						wrong.Add(1)
					}
				}
				n.Add(1000)
			}
		})
	}
	wg.Wait()
	if wrong.Load() > 0 {
		return 0, fmt.Errorf("%d of %d scores are not 1", wrong.Load(), n.Load())
	}
	return float64(n.Load()) / time.Since(begun).Seconds(), nil
}

// indexing measures the first pass over datasets of large and of tiny rows.
func (b *bench) indexing(ctx context.Context) ([]figure, error) {
	usual, err := b.indexingOf(ctx, 400_000, 1000, "rows of 1 KB")
	if err != nil {
		return nil, err
	}
	tiny, err := b.indexingOf(ctx, 3_000_000, 55, "rows of 70 bytes")
	return []figure{usual, tiny}, err
}

func (b *bench) indexingOf(ctx context.Context, rows, size int, what string) (figure, error) {
	path := b.path("index.jsonl")
	if err := writeRows(path, rows, size); err != nil {
		return figure{}, err
	}
	defer os.Remove(path)
	info, err := os.Stat(path)
	if err != nil {
		return figure{}, err
	}
	read, err := readTime(path)
	if err != nil {
		return figure{}, err
	}
	var best, cpu time.Duration
	for range 3 {
		begun, before := time.Now(), fsx.ProcessorTime()
		d, err := datasets.Open(ctx, datasets.Spec{Paths: []string{path}, Spool: b.dir})
		if err != nil {
			return figure{}, err
		}
		took, used := time.Since(begun), fsx.ProcessorTime()-before
		d.Close()
		if best == 0 || took < best {
			best, cpu = took, used
		}
	}
	rate, bare := float64(info.Size())/1e9/best.Seconds(), float64(info.Size())/1e9/read.Seconds()
	return figure{
		name:     fmt.Sprintf("indexing a dataset (%.1f GB, %s; best of 3)", float64(info.Size())/1e9, what),
		measured: fmt.Sprintf("%.2f GB/s, with %.1f processors", rate, cpu.Seconds()/best.Seconds()),
		floor:    fmt.Sprintf("%.1f GB/s, reading alone", bare), ratio: fmt.Sprintf("%.2f", rate/bare),
		reach: "≥ 0.4 GB/s", aim: "1 GB/s", reached: rate >= 0.4,
	}, nil
}

func readTime(path string) (time.Duration, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	begun := time.Now()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return time.Since(begun), err
}

// resume runs the store's own benchmark of a resumed run.
func (b *bench) resume(ctx context.Context) ([]figure, error) {
	out, err := output(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkResume$", "-benchtime", "3x",
		"./runner/store")
	if err != nil {
		return nil, err
	}
	ms, err := metric(out, "ms-to-first-send")
	if err != nil {
		return nil, err
	}
	return []figure{{
		name: "resume decision, 10 M rows with 9.9 M done, to the first request", measured: fmt.Sprintf("%.2f s", ms/1000),
		reach: "≤ 5 s", aim: "≤ 1 s", reached: ms <= 5000,
	}}, nil
}

// metric finds a figure in what `go test -bench` printed.
func metric(out, unit string) (float64, error) {
	m := regexp.MustCompile(`([0-9.e+]+) ` + regexp.QuoteMeta(unit)).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no %s in\n%s", unit, out)
	}
	return strconv.ParseFloat(m[1], 64)
}

// parquet runs the store's own benchmark of ways to write a Parquet file.
func (b *bench) parquet(ctx context.Context) ([]figure, error) {
	out, err := output(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkCodec$", "-benchtime", "3x",
		"./runner/store/parquetfile")
	if err != nil {
		return nil, err
	}
	var figures []figure
	for line := range strings.Lines(out) {
		name, rest, _ := strings.Cut(line, " ")
		name, ok := strings.CutPrefix(name, "BenchmarkCodec/")
		if !ok {
			continue
		}
		name = name[:strings.LastIndexByte(name, '-')]
		size, err := metric(rest, "%-of-raw")
		if err != nil {
			return nil, err
		}
		speed, err := metric(rest, "MB/cpu-s")
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{
			name:     "Parquet, " + strings.ReplaceAll(name, "_", " "),
			measured: fmt.Sprintf("%.1f %% of the raw bytes, %.0f MB/s of processor time", size, speed),
			reach:    "documented", reached: true,
		})
	}
	if len(figures) == 0 {
		return nil, fmt.Errorf("no figures in\n%s", out)
	}
	return figures, nil
}

// startUp measures from starting the program on 1,000 rows to the first
// request at the server.
func (b *bench) startUp(ctx context.Context) ([]figure, error) {
	rows := b.path("thousand.jsonl")
	if err := writeRows(rows, 1000, 1000); err != nil {
		return nil, err
	}
	var first atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first.CompareAndSwap(0, time.Now().UnixNano())
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(
			w, `{"id":"x","object":"chat.completion","created":1,"model":"sim-large","choices":[{"index":0,`+
				`"message":{"role":"assistant","content":"Yes."},"finish_reason":"stop"}],`+
				`"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}))
	defer server.Close()
	var took []time.Duration
	for i := range 9 {
		first.Store(0)
		begun := time.Now()
		if _, err := b.nightshift(ctx, server.URL, rows, b.path(fmt.Sprintf("start-%d", i)), concurrency); err != nil {
			return nil, err
		}
		took = append(took, time.Unix(0, first.Load()).Sub(begun))
	}
	slices.Sort(took)
	ms := float64(took[len(took)/2].Microseconds()) / 1000
	return []figure{{
		name: "start-up to the first request, 1,000 rows (median of 9)", measured: fmt.Sprintf("%.0f ms", ms),
		reach: "≤ 20 ms", aim: "≤ 10 ms", reached: ms <= 20,
	}}, nil
}
