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
	return run(ctx, b.program, append(runArgs(chatPath, url, rows, out, concurrency), more...)...)
}

func runArgs(path, url, rows, out string, concurrency int) []string {
	args := []string{"run", "--dataset", rows, "--auth", "none", "--concurrency", strconv.Itoa(concurrency), "--out", out,
		"--quiet"}
	if path == messagesPath {
		return append(args, "--model", "anthropic/sim-large", "--base-url", url, "--max-tokens", "1000")
	}
	return append(args, "--model", "openai/sim-large", "--base-url", url+"/v1")
}

// A comparison is a whole run beside the bare loop, against one server.
type comparison struct {
	what       string // what the figures are called by
	path       string
	stream     bool
	url, rows  string
	n          int // rows
	reach, aim float64
	most       float64 // microseconds a request beyond the bare loop that are to be reached
}

// wholeRuns compares the program with the bare loop, against the simulator.
func (b *bench) wholeRuns(ctx context.Context) ([]figure, error) {
	url, end, err := b.server(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return b.comparisons(ctx, []comparison{
		{what: "non-streamed, 1 KB prompts and answers", path: chatPath},
		{what: "streamed, 1 KB prompts and answers", path: chatPath, stream: true},
	}, comparison{url: url, n: b.rows, reach: 0.5, aim: 0.75, most: 60}, 1000)
}

// cheapRuns compares them against a server that takes next to nothing of the
// processors, with short rows.
func (b *bench) cheapRuns(ctx context.Context) ([]figure, error) {
	url, end, err := b.serverAs(ctx, "canned")
	if err != nil {
		return nil, err
	}
	defer end()
	return b.comparisons(ctx, []comparison{
		{what: "chat, short rows, a server that costs little", path: chatPath},
		{what: "messages, short rows, a server that costs little", path: messagesPath},
		{what: "chat streamed, short rows, a server that costs little", path: chatPath, stream: true},
		{what: "messages streamed, short rows, a server that costs little", path: messagesPath, stream: true},
	}, comparison{url: url, n: b.rows * 3 / 2, reach: 0.75, aim: 0.9, most: 40}, 60)
}

// comparisons measures several, which have the rest in common, with prompts of
// that many bytes.
func (b *bench) comparisons(ctx context.Context, list []comparison, common comparison, size int) ([]figure, error) {
	common.rows = b.path("whole.jsonl")
	if err := writeRows(common.rows, common.n, size); err != nil {
		return nil, err
	}
	var figures []figure
	for _, c := range list {
		what, path, stream := c.what, c.path, c.stream
		c = common
		c.what, c.path, c.stream = what, path, stream
		f, err := b.pairsOf(ctx, c)
		if err != nil {
			return nil, err
		}
		figures = append(figures, f...)
	}
	return figures, nil
}

// pairsOf runs floor and program in turn, so that both meet the same other
// work on the machine.
func (b *bench) pairsOf(ctx context.Context, c comparison) ([]figure, error) {
	out := b.path("whole")
	loop := []string{"floor", "-url", c.url, "-path", c.path, "-rows", c.rows, "-out", b.path("floor.jsonl"),
		"-concurrency", strconv.Itoa(concurrency)}
	program := runArgs(c.path, c.url, c.rows, out, concurrency)
	if c.stream {
		loop, program = append(loop, "-stream"), append(program, "--stream")
	}
	var bare, ours []usage
	for range b.pairs {
		u, err := run(ctx, b.self, loop...)
		if err != nil {
			return nil, err
		}
		bare = append(bare, u)
		if u, err = run(ctx, b.program, program...); err != nil {
			return nil, err
		}
		ours = append(ours, u)
		os.RemoveAll(out)
	}
	return c.figures(bare, ours), nil
}

func (c comparison) figures(bare, ours []usage) []figure {
	perSecond := func(us []usage) float64 {
		return float64(c.n) / median(us, func(u usage) time.Duration { return u.wall }).Seconds()
	}
	cpu := func(us []usage) float64 {
		return float64(median(us, func(u usage) time.Duration { return u.cpu }).Microseconds()) / float64(c.n)
	}
	ratio := perSecond(ours) / perSecond(bare)
	beyond := cpu(ours) - cpu(bare)
	return []figure{
		{
			name:     fmt.Sprintf("whole run, %s, %d at once", c.what, concurrency),
			measured: fmt.Sprintf("%.0f requests/s", perSecond(ours)), floor: fmt.Sprintf("%.0f requests/s", perSecond(bare)),
			ratio: fmt.Sprintf("%.2f", ratio), reach: fmt.Sprintf("≥ %v", c.reach), aim: fmt.Sprintf("≥ %v", c.aim),
			reached: ratio >= c.reach,
		},
		{
			name:     "processor time of a request beyond the bare loop, " + c.what,
			measured: fmt.Sprintf("%.0f µs (%.0f µs in all)", beyond, cpu(ours)), floor: fmt.Sprintf("%.0f µs", cpu(bare)),
			ratio: fmt.Sprintf("%.2f", cpu(ours)/cpu(bare)), reach: fmt.Sprintf("≤ %v µs", c.most), aim: "≤ 25 µs",
			reached: beyond <= c.most,
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
var stages = []string{
	"runner.(*walk).row", "providers.(*Client).Complete", "wire.(*Wire).Send", "wire.(*attempt).post",
	"wire.(*attempt).read",
	"http.(*persistConn).writeLoop", "http.(*persistConn).readLoop", "limits.(*Limiter).Wait",
	"store.(*attemptLog).Sending", "store.(*Shard).Put", "runner.(*walk).record",
	"store.(*Shard).Commit", "store.(*Shard).sync",
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
		for _, s := range stages {
			if strings.Contains(line, s) && !strings.Contains(line, s+".") && !strings.Contains(line, s+"-") {
				b.WriteString(line)
				break
			}
		}
	}
	return b.String()
}
