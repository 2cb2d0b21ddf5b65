package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const concurrency = 64

// prompt is about n bytes and asks for an answer of about 1 KB.
func prompt(i, n int) string {
	const filler = "Consider the harbour, the railway, the library and the market of the old town, and who keeps them. "
	p := fmt.Sprintf("Report %d, in detail. ", i)
	for len(p) < n {
		p += filler
	}
	return p[:n]
}

// writeRows writes a dataset of n prompts of that many bytes.
func writeRows(path string, n, size int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		fmt.Fprintf(w, "{\"prompt\":%q}\n", prompt(i, size))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// nightshift runs the program over a dataset against a server.
func (b *bench) nightshift(ctx context.Context, url, rows, out string, concurrency int, more ...string) (usage, error) {
	args := []string{
		"run", "--dataset", rows, "--model", "openai/sim-large", "--base-url", url + "/v1", "--auth", "none",
		"--concurrency", strconv.Itoa(concurrency), "--out", out, "--quiet",
	}
	return run(ctx, b.program, append(args, more...)...)
}

// wholeRuns compares the program with the bare loop.
func (b *bench) wholeRuns(ctx context.Context) ([]figure, error) {
	rows := b.path("whole.jsonl")
	if err := writeRows(rows, b.rows, 1000); err != nil {
		return nil, err
	}
	url, end, err := b.server(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	var figures []figure
	for _, stream := range []bool{false, true} {
		f, err := b.pairsOf(ctx, url, rows, stream)
		if err != nil {
			return nil, err
		}
		figures = append(figures, f...)
	}
	return figures, nil
}

// pairsOf runs floor and program in turn, so that both meet the same other
// work on the machine.
func (b *bench) pairsOf(ctx context.Context, url, rows string, stream bool) ([]figure, error) {
	word, flags, extra := "non-streamed", []string{}, []string{}
	if stream {
		word, flags, extra = "streamed", []string{"-stream"}, []string{"--stream"}
	}
	var bare, ours []usage
	for i := range b.pairs {
		u, err := run(
			ctx, b.self,
			append([]string{"floor", "-url", url, "-rows", rows, "-out", b.path("floor.jsonl"), "-concurrency",
				strconv.Itoa(concurrency)}, flags...)...)
		if err != nil {
			return nil, err
		}
		bare = append(bare, u)
		out := b.path(fmt.Sprintf("whole-%s-%d", word, i))
		if u, err = b.nightshift(ctx, url, rows, out, concurrency, extra...); err != nil {
			return nil, err
		}
		ours = append(ours, u)
		os.RemoveAll(out)
	}
	return b.compare(word, bare, ours), nil
}

func (b *bench) compare(word string, bare, ours []usage) []figure {
	n := float64(b.rows)
	perSecond := func(us []usage) float64 {
		return n / median(us, func(u usage) time.Duration { return u.wall }).Seconds()
	}
	cpu := func(us []usage) float64 {
		return float64(median(us, func(u usage) time.Duration { return u.cpu }).Microseconds()) / n
	}
	ratio := perSecond(ours) / perSecond(bare)
	beyond := cpu(ours) - cpu(bare)
	return []figure{
		{
			name:     fmt.Sprintf("whole run, %s, 1 KB prompts and answers, %d at once", word, concurrency),
			measured: fmt.Sprintf("%.0f requests/s", perSecond(ours)), floor: fmt.Sprintf("%.0f requests/s", perSecond(bare)),
			ratio: fmt.Sprintf("%.2f", ratio), reach: "≥ 0.5", aim: "≥ 0.75", reached: ratio >= 0.5,
		},
		{
			name:     "processor time of a request beyond the bare loop, " + word,
			measured: fmt.Sprintf("%.0f µs (%.0f µs in all)", beyond, cpu(ours)), floor: fmt.Sprintf("%.0f µs", cpu(bare)),
			ratio: fmt.Sprintf("%.2f", cpu(ours)/cpu(bare)), reach: "≤ 60 µs", aim: "≤ 25 µs", reached: beyond <= 60,
		},
	}
}

func median(us []usage, of func(usage) time.Duration) time.Duration {
	var all []time.Duration
	for _, u := range us {
		all = append(all, of(u))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// profileRun is the top of the processor profile of one more whole run.
func (b *bench) profileRun(ctx context.Context) (string, error) {
	rows := b.path("whole.jsonl")
	if err := writeRows(rows, b.rows, 1000); err != nil {
		return "", err
	}
	url, end, err := b.server(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	name := b.path("cpu.prof")
	if _, err := b.nightshift(ctx, url, rows, b.path("profiled"), concurrency, "--cpuprofile", name); err != nil {
		return "", err
	}
	top, err := output(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=400", b.program, name)
	if err != nil {
		return "", err
	}
	return pick(top), nil
}

// stages are the functions that a request's processor time is told apart by.
var versions = []string{
	"runner.(*walk).row", "providers.(*Client).Complete", "wire.(*Wire).Send", "wire.(*attempt).post",
	"wire.(*attempt).read",
	"http.(*persistConn).writeLoop", "http.(*persistConn).readLoop", "limits.(*Limiter).Wait", "store.(*witness).Sending",
	"store.(*Shard).Put", "runner.(*walk).record", "store.(*Shard).Commit", "store.(*Shard).sync",
	"datasets.(*Dataset).Read", "reports.summarize",
	"runtime.gcBgMarkWorker", "runtime.schedule", "runtime.mallocgc", "syscall.Syscall", "syscall.RawSyscall6",
}

// pick leaves of a profile the lines that say where a request's time goes.
func pick(top string) string {
	var b strings.Builder
	for line := range strings.Lines(top) {
		if strings.HasPrefix(line, "Duration:") {
			b.WriteString(line)
		}
		for _, s := range versions {
			if strings.Contains(line, s) && !strings.Contains(line, s+".") && !strings.Contains(line, s+"-") {
				b.WriteString(line)
				break
			}
		}
	}
	return b.String()
}
