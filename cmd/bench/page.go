package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// A report is the table and the facts of the machine it was measured on.
type report struct {
	machine  []string
	began    time.Time
	took     time.Duration
	loadThen string
	figures  []figure
	profile  string
}

func newReport(ctx context.Context) *report {
	return &report{machine: machine(ctx), began: time.Now(), loadThen: load()}
}

func (r *report) end() {
	r.took = time.Since(r.began).Round(time.Second)
}

// machine says what this was measured on, as far as the system tells.
func machine(ctx context.Context) []string {
	facts := []string{
		fmt.Sprintf("%s, %s/%s, %d processors", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	if model := procLine("/proc/cpuinfo", "model name"); model != "" {
		facts = append(facts, model)
	}
	if total := procLine("/proc/meminfo", "MemTotal"); total != "" {
		facts = append(facts, "memory "+total)
	}
	if b, err := exec.CommandContext(ctx, "uname", "-sr").Output(); err == nil {
		facts = append(facts, strings.TrimSpace(string(b)))
	}
	if b, err := exec.CommandContext(ctx, "stat", "-f", "-c", "%T", os.TempDir()).Output(); err == nil {
		facts = append(facts, "file system "+strings.TrimSpace(string(b)))
	}
	return facts
}

func procLine(file, key string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s in %v on: %s. Load average before: %s; after: %s.\n\n",
		r.began.UTC().Format("2006-01-02 15:04 UTC"), r.took, strings.Join(r.machine, "; "), r.loadThen, load())
	b.WriteString("| figure | measured | floor | ratio | reach | aim | reached |\n|---|---|---|---|---|---|---|\n")
	for _, f := range r.figures {
		yes := "no"
		if f.reached {
			yes = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", f.name, f.measured, f.floor, f.ratio, f.reach, f.aim, yes)
	}
	if r.profile != "" {
		fmt.Fprintf(
			&b, "\nWhere the processor time of the non-streamed run goes (cumulative; lines overlap):\n\n```\n%s```\n",
			r.profile)
	}
	return b.String()
}

// write writes the page that holds the table.
func (r *report) write(path string) error {
	const head = "# Performance, measured\n\n`make bench` writes this file. " +
		"[docs/performance.md](../performance.md) explains the figures.\n\n"
	return os.WriteFile(path, []byte(head+r.markdown()), 0o644)
}
