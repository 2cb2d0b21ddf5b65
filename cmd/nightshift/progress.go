package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers/limits"
	"nightshift/runner/session"
)

// plainEvery is how often a run that is not watched says where it stands.
const plainEvery = 30 * time.Second

// A display shows where a run stands, and leads the log past the progress bar
// while there is one.
type display struct {
	out  io.Writer
	log  *switchWriter
	mode string // "bar", "plain" or "none"
}

// start shows a run until end is called.
func (d *display) start(state func() session.State) (end func()) {
	p := newProgress(d.out, d.mode, state)
	d.log.redirect(p)
	return func() {
		d.log.redirect(d.out)
		p.Close(state())
	}
}

// progressMode is how progress is shown.
func (a *app) progressMode(asked string, quiet bool) string {
	switch {
	case quiet:
		return "none"
	case asked != "auto":
		return asked
	case a.isTerminal(a.err):
		return "bar"
	}
	return "plain"
}

// A progress shows a state while a run goes on: as a bar on a terminal, as a
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
func newProgress(out io.Writer, mode string, snapshot func() session.State) *progress {
	p := &progress{out: out, mode: mode, stop: make(chan struct{})}
	first := snapshot()
	if mode == "bar" {
		p.bar = progressbar.NewOptions64(max(first.Items, 1),
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetWidth(20),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetRenderBlankState(true),
			progressbar.OptionSetDescription(line(first)),
		)
	}
	if mode != "none" {
		p.stopped.Go(func() { p.loop(snapshot) })
	}
	return p
}

func (p *progress) loop(snapshot func() session.State) {
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

// Close draws the last state and leaves the line.
func (p *progress) Close(last session.State) {
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

func (p *progress) show(s session.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := line(s)
	if p.bar == nil {
		fmt.Fprintln(p.out, line)
		return
	}
	p.bar.Describe(line)
	p.bar.Set64(min(s.Run.Totals.Sum().Rows, max(s.Items, 1)))
}

// line says in one line where a run stands, rows of earlier starts included.
func line(s session.State) string {
	sum := s.Run.Totals.Sum()
	parts := []string{fmt.Sprintf("%d/%d rows", sum.Rows, s.Items)}
	rate, inFlight := 0.0, 0
	for _, m := range s.Run.Pace {
		rate += m.PerHour / 3600
	}
	if rate > 0 {
		parts = append(parts, fmt.Sprintf("%.1f/s", rate))
	}
	parts = append(parts, words.Short(sum.BilledInputTokens.N()+sum.BilledOutputTokens.N())+" tok",
		words.Dollars(sum.Cost.Dollars(), sum.CostUnknown > 0))
	if n := sum.Outcomes[nightshift.OutcomeFailed]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", n))
	}
	for _, e := range s.Endpoints {
		inFlight += e.InFlight
	}
	if inFlight > 0 {
		parts = append(parts, fmt.Sprintf("%d in flight", inFlight))
	}
	parts = append(parts, batchWords(s.Batches, time.Now())...)
	if left, ok := s.TimeLeft(); ok && left > 0 && s.Batches.Away == 0 {
		parts = append(parts, words.Duration(left)+" left")
	}
	if note := holding(s); note != "" {
		parts = append(parts, note)
	}
	return strings.Join(parts, "  ")
}

// batchWords say where the batches stand that are not collected.
func batchWords(b session.Batches, now time.Time) (parts []string) {
	if b.Away > 0 {
		text := fmt.Sprintf("%s at the provider (%s of %s rows done", words.Counted(int64(b.Away), "batch"),
			words.Thousands(b.Done), words.Thousands(b.Rows))
		if b.ReservedUSD > 0 {
			text += ", at most " + words.Money(b.ReservedUSD) + " reserved"
		}
		if b.Expires.After(now) {
			text += ", the first ends within " + words.Duration(b.Expires.Sub(now))
		}
		parts = append(parts, text+")")
	}
	if b.Ended > 0 {
		parts = append(parts, words.Counted(int64(b.Ended), "batch")+" to be collected")
	}
	if b.Waiting > 0 {
		parts = append(parts, words.Counted(int64(b.Waiting), "batch")+" waiting to be created")
	}
	return parts
}

// holding is what holds requests back at this moment; empty when nothing does.
func holding(state session.State) string {
	var notes []string
	for _, e := range state.Endpoints {
		s := e.Limiter
		switch wait := time.Until(s.PausedUntil); {
		case wait > 0:
			notes = append(notes, fmt.Sprintf("%s paused %s", e.Name, wait.Round(time.Second)))
		case s.LimitedBy != limits.LimitNothing && s.Waiting > 0:
			notes = append(notes, e.Name+": "+limitedNow(s))
		}
	}
	if state.Budget.Waiting > 0 {
		notes = append(notes, "waiting for budget")
	}
	return strings.Join(notes, ", ")
}

// limitedNow names what holds the next request back, with its figures.
func limitedNow(s limits.State) string {
	rate := map[limits.LimitedBy]limits.Rate{
		limits.LimitRequests: s.Requests, limits.LimitTokens: s.Tokens, limits.LimitInput: s.Input,
		limits.LimitOutput: s.Output,
	}[s.LimitedBy]
	switch {
	case rate.Limit > 0:
		return fmt.Sprintf("%s %s/%s a minute", s.LimitedBy, words.Short(int64(rate.Used)),
			words.Short(int64(rate.Limit)))
	case s.LimitedBy == limits.LimitInferred:
		return fmt.Sprintf("%s a minute, inferred", words.Short(int64(s.Inferred)))
	case s.LimitedBy == limits.LimitConcurrency:
		return fmt.Sprintf("at most %d in flight", s.Window)
	case s.LimitedBy == limits.LimitBreaker && s.Failure != nil:
		return fmt.Sprintf("%s (%s)", s.LimitedBy, kindOf(s.Failure.Last))
	}
	return s.LimitedBy.String()
}

// kindOf names an error in few words: its class, and its HTTP status.
func kindOf(e *nightshift.Error) string {
	if e.Status == 0 {
		return string(e.Class)
	}
	return fmt.Sprintf("%s, HTTP %d", e.Class, e.Status)
}
