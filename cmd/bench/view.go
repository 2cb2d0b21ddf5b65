package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"nightshift/internal/words"
)

// mostPage is what a page of view may take after the first look.
const mostPage = 300 * time.Millisecond

// viewed measures the pages of `nightshift view` of a run of many rows: the first
// look, and pages after it.
func (b *bench) viewed(ctx context.Context, run string) ([]figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := exec.CommandContext(ctx, b.program, "view", run)
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	defer func() {
		cancel()
		_ = c.Wait() // it was killed
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, err
	}
	page := strings.TrimSpace(address) + "run/" + filepath.Base(run)
	first, _, err := fetch(ctx, page)
	if err != nil {
		return nil, err
	}
	rows := words.Thousands(int64(b.fileRows))
	figures := []figure{{name: "view, " + rows + " rows of 3 models, the first look", reached: true,
		measured: fmt.Sprintf("%.1f s", first.Seconds())}}
	for _, p := range []struct{ name, query string }{
		{"in order", "?page=9000"},
		{"wrong answers of one category", "?show=wrong&category=c7"},
		{"rows on which models differ", "?show=different"},
		{"sorted by latency", "?sort=-latency"},
		{"sorted by the cost of one model, page 5,000", "?sort=-cost.2&page=5000"},
	} {
		if _, _, err := fetch(ctx, page+p.query); err != nil { // reads the column that is sorted by
			return nil, err
		}
		// Another page of the same question, which is not kept.
		took, _, err := fetch(ctx, page+p.query+"&value=%3E=-1")
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{name: "view: " + p.name, measured: fmt.Sprintf("%d ms", took.Milliseconds()),
			reach: fmt.Sprintf("≤ %d ms", mostPage.Milliseconds()), reached: took <= mostPage})
	}
	search, err := searched(ctx, page, rows)
	if err != nil {
		return nil, err
	}
	figures = append(figures, search)
	if rss, ok := memoryOf(c.Process.Pid); ok {
		figures[0].measured += fmt.Sprintf(", %d MiB after all pages", rss>>20)
	}
	return figures, nil
}

// searched looks for words until all rows were looked at.
func searched(ctx context.Context, page, rows string) (figure, error) {
	f := figure{name: "view: a search through the texts of " + rows + " rows of 3 models", reached: true}
	begun := time.Now()
	first, _, err := fetch(ctx, page+searchQuery)
	for err == nil {
		var text string
		_, text, err = fetch(ctx, page+searchQuery)
		switch {
		case err != nil || strings.Contains(text, "looked at"):
		case !strings.Contains(text, searchFinds):
			return f, fmt.Errorf("%s%s does not show row %s", page, searchQuery, searchFinds)
		default:
			f.measured = fmt.Sprintf("%.1f s, the first page after %d ms", time.Since(begun).Seconds(), first.Milliseconds())
			return f, nil
		}
	}
	return f, err
}

// searchQuery asks for words that some hundred prompts have, and searchFinds is the id of
// the first of their rows.
const searchQuery, searchFinds = "?q=report+4242", "q4242"

// fetch gets a page and says how long it took.
func fetch(ctx context.Context, url string) (took time.Duration, text string, err error) {
	begun := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return time.Since(begun), string(b), err
}

// memoryOf is what a process holds in memory, where the system says it.
func memoryOf(pid int) (bytes int64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10, true
		}
	}
	return 0, false
}
