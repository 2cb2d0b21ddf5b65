package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"nightshift/runner/store"
)

// plainEvery is how often a run that is not watched says where it stands.
const plainEvery = 30 * time.Second

// Figures are what a run has done so far, rows of earlier starts included.
type figures struct {
	Done, Total, Failed int64
	Tokens              int64
	Cost                float64 // dollars
	CostAtLeast         bool    // some cost is unknown
	InFlight            int
	Note                string       // what the limiter waits for; may be empty
	pace                *pace        // of the models; the same each time
	totals              store.Totals // of the models
}

// A progress shows figures while a run goes on: as a bar on a terminal, as a
// line every 30 s elsewhere. Logs go through its Write, which keeps them apart
// from the bar.
type progress struct {
	mu      sync.Mutex
	out     io.Writer
	bar     *progressbar.ProgressBar // nil when plain or none
	mode    string                   // "bar", "plain" or "none"
	stop    chan struct{}
	stopped sync.WaitGroup
}

// newProgress starts showing what snapshot returns. Close ends it.
func newProgress(out io.Writer, mode string, snapshot func() figures) *progress {
	p := &progress{out: out, mode: mode, stop: make(chan struct{})}
	first := snapshot()
	if mode == "bar" {
		p.bar = progressbar.NewOptions64(max(first.Total, 1),
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetWidth(20),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetRenderBlankState(true),
			progressbar.OptionSetDescription(p.line(first)),
		)
	}
	if mode != "none" {
		p.stopped.Go(func() { p.loop(snapshot) })
	}
	return p
}

func (p *progress) loop(snapshot func() figures) {
	every := time.Second
	if p.bar == nil {
		every = plainEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.show(snapshot())
		case <-p.stop:
			return
		}
	}
}

// Close draws the last figures and leaves the line.
func (p *progress) Close(last figures) {
	close(p.stop)
	p.stopped.Wait()
	switch p.mode {
	case "bar":
		p.show(last)
		fmt.Fprintln(p.out)
	case "plain":
		p.show(last)
	}
}

// Write lets a log line through without tearing the bar.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		return p.out.Write(b)
	}
	p.bar.Clear()
	n, err := p.out.Write(b)
	p.bar.RenderBlank()
	return n, err
}

func (p *progress) show(f figures) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := p.line(f)
	if p.bar == nil {
		fmt.Fprintln(p.out, line)
		return
	}
	p.bar.Describe(line)
	p.bar.Set64(min(f.Done, max(f.Total, 1)))
}

// line is one line of figures.
func (p *progress) line(f figures) string {
	parts := []string{fmt.Sprintf("%d/%d rows", f.Done, f.Total)}
	rate := 0.0
	models := f.pace.take(time.Now(), f.totals)
	for _, m := range models {
		rate += m.PerHour / 3600
	}
	if rate > 0 {
		parts = append(parts, fmt.Sprintf("%.1f/s", rate))
	}
	parts = append(parts, short(f.Tokens)+" tok", dollars(f.Cost, f.CostAtLeast))
	if f.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", f.Failed))
	}
	if f.InFlight > 0 {
		parts = append(parts, fmt.Sprintf("%d in flight", f.InFlight))
	}
	if left, ok := slowest(models); ok && left > 0 {
		parts = append(parts, timeLeft(left)+" left")
	}
	if f.Note != "" {
		parts = append(parts, f.Note)
	}
	return strings.Join(parts, "  ")
}

// short writes a count in three digits or so: 950, 1.2k, 34M.
func short(n int64) string {
	f := float64(n)
	for _, unit := range []string{"", "k", "M", "G"} {
		if f < 999.5 {
			if unit == "" || f >= 99.95 {
				return fmt.Sprintf("%.0f%s", f, unit)
			}
			return fmt.Sprintf("%.1f%s", f, unit)
		}
		f /= 1000
	}
	return fmt.Sprintf("%.0fT", f)
}

// dollars writes money with as many places as it takes to see something.
func dollars(d float64, atLeast bool) string {
	s := fmt.Sprintf("$%.2f", d)
	if d > 0 && d < 1 {
		s = fmt.Sprintf("$%.4f", d)
	}
	if atLeast && d == 0 {
		return "cost unknown"
	}
	if atLeast {
		return "at least " + s
	}
	return s
}

func timeLeft(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()+0.5))
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
