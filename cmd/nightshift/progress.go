package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers/limits"
	"nightshift/reports/render"
	"nightshift/runner/session"
	"nightshift/runner/store/view"
)

// plainEvery is how often a run that is not watched says where it stands.
const plainEvery = 30 * time.Second

// barEvery is how often progress lines are drawn: often enough for the eye after
// the terminal changed its size.
const barEvery = 500 * time.Millisecond

// A display shows where a run stands, and leads the log past the progress lines
// while there are any.
type display struct {
	out  io.Writer
	log  *switchWriter
	mode string // "bar", "plain" or "none"
	size func() (width, height int)
}

func (a *app) display(log *switchWriter, mode string) *display {
	return &display{out: a.err, log: log, mode: mode, size: func() (int, int) { return sizeOf(a.err) }}
}

// start shows a run until end is called.
func (d *display) start(state func() session.State) (end func()) {
	p := newProgress(d, state)
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

// A progress shows a state while a run goes on: as a line with a bar for each
// model on a terminal, as a line every 30 s elsewhere. Logs go through its Write,
// which puts them above the lines.
type progress struct {
	mu      sync.Mutex
	out     io.Writer
	mode    string // "bar", "plain" or "none"
	block   block  // with "bar"
	last    []string
	stop    chan struct{}
	stopped sync.WaitGroup
}

// newProgress starts showing what snapshot returns. Close ends it.
func newProgress(d *display, snapshot func() session.State) *progress {
	p := &progress{out: d.out, mode: d.mode, block: block{out: d.out, size: d.size}, stop: make(chan struct{})}
	if p.mode == "bar" {
		p.show(snapshot())
	}
	if p.mode != "none" {
		p.stopped.Go(func() { p.loop(snapshot) })
	}
	return p
}

func (p *progress) loop(snapshot func() session.State) {
	every := barEvery
	if p.mode == "plain" {
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

// Close shows the last state and leaves it there.
func (p *progress) Close(last session.State) {
	close(p.stop)
	p.stopped.Wait()
	if p.mode != "none" {
		p.show(last)
	}
}

// Write lets a log line through above the progress lines. A terminal would break it
// in the middle of a word.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode != "bar" {
		return p.out.Write(b)
	}
	p.block.clear()
	width, _ := p.block.size()
	_, err := io.WriteString(p.out, folded(string(b), width))
	p.block.draw(p.last)
	return len(b), err
}

func (p *progress) show(s session.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == "plain" {
		fmt.Fprintln(p.out, line(s))
		return
	}
	width, height := p.block.size()
	p.last = progressLines(s, width, height, time.Now())
	p.block.draw(p.last)
}

// line says in one line where a run stands, rows of earlier starts included.
func line(s session.State) string {
	var texts []string
	for _, p := range runParts(s, time.Now()) {
		texts = append(texts, p.text)
	}
	return strings.Join(texts, "  ")
}

// runParts say where the whole run stands.
func runParts(s session.State, now time.Time) []part {
	sum := s.Run.Totals.Sum()
	perHour, inFlight := 0.0, 0
	for _, m := range s.Run.Pace {
		perHour += m.PerHour
	}
	for _, e := range s.Endpoints {
		inFlight += e.InFlight
	}
	parts := append([]part{{words.Thousands(sum.Rows) + "/" + words.Counted(s.Items, "row"), 1}}, ratePart(perHour)...)
	parts = append(parts,
		part{words.Short(sum.BilledInputTokens.N()+sum.BilledOutputTokens.N()) + " tok", 7}, costPart(sum))
	parts = append(parts, failedPart(sum)...)
	if inFlight > 0 {
		parts = append(parts, part{fmt.Sprintf("%d in flight", inFlight), 8})
	}
	for _, text := range batchWords(s.Batches, now) {
		parts = append(parts, part{text, 9})
	}
	if left, ok := s.TimeLeft(); ok && left > 0 && s.Batches.Away == 0 {
		parts = append(parts, part{words.Duration(left) + " left", 3})
	}
	if note := holding(s); note != "" {
		parts = append(parts, part{note, 5})
	}
	return parts
}

func ratePart(perHour float64) []part {
	if perHour <= 0 {
		return nil
	}
	return []part{{fmt.Sprintf("%.1f/s", perHour/3600), 6}}
}

func costPart(t view.Tally) part {
	return part{words.Dollars(t.Cost.Dollars(), t.CostUnknown > 0), 4}
}

func failedPart(t view.Tally) []part {
	if n := t.Outcomes[nightshift.OutcomeFailed]; n > 0 {
		return []part{{fmt.Sprintf("%d failed", n), 2}}
	}
	return nil
}

// progressLines has a line for each model of a run and, where there are several,
// one for all of them. Each is narrower than the terminal, and together they are
// lower.
func progressLines(s session.State, width, height int, now time.Time) []string {
	models := slices.Clone(s.Run.Pace)
	if len(models) < 2 {
		name := s.Name
		if len(models) == 1 {
			name = models[0].Model
		}
		return []string{progressLine(name, s.Run.Totals.Sum().Rows, s.Items, 0, runParts(s, now), width)}
	}
	all := progressLine("all", s.Run.Totals.Sum().Rows, s.Items, nameColumns(models, width), runParts(s, now), width)
	left := ""
	if room := max(height-3, 1); len(models) > room {
		slices.SortStableFunc(models, func(a, b view.ModelPace) int { return cmp.Compare(done(a), done(b)) })
		left = fmt.Sprintf("and %s", words.Counted(int64(len(models)-room), "other model"))
		models = models[:room]
	}
	var lines []string
	for _, m := range models {
		lines = append(lines, progressLine(m.Model, m.Done, m.Items, nameColumns(models, width), modelParts(s, m), width))
	}
	if left != "" {
		lines = append(lines, fitted([]part{{left, 0}}, width-1))
	}
	return append(lines, all)
}

// done is 1 for a model that has nothing left to do, else 0.
func done(m view.ModelPace) int {
	if m.Done >= m.Items {
		return 1
	}
	return 0
}

// nameColumns is how wide the names of models are shown.
func nameColumns(models []view.ModelPace, width int) int {
	widest := 0
	for _, m := range models {
		widest = max(widest, render.Columns(render.Plain(m.Model)))
	}
	return min(widest, max(8, width/4))
}

// modelParts say where one model of a run stands.
func modelParts(s session.State, m view.ModelPace) []part {
	t := s.Run.Totals.Models[m.Model]
	parts := append([]part{{fmt.Sprintf("%d/%d", m.Done, m.Items), 1}}, ratePart(m.PerHour)...)
	parts = append(append(parts, costPart(t)), failedPart(t)...)
	if m.TimeLeft != nil && *m.TimeLeft > 0 {
		parts = append(parts, part{words.Duration(*m.TimeLeft) + " left", 3})
	}
	for _, e := range s.Endpoints {
		if note := holdingNow(e); note != "" && slices.Contains(e.Models, m.Model) {
			parts = append(parts, part{note, 5})
		}
	}
	return parts
}

// progressLine is a name, a bar and parts in one line that is narrower than the
// terminal. The name takes up at least so many columns.
func progressLine(name string, rows, of int64, columns int, parts []part, width int) string {
	name = render.Shorten(render.Plain(name), max(columns, 8, width/4))
	name += strings.Repeat(" ", max(columns-render.Columns(name), 0))
	return fitted(append([]part{{name + drawBar(rows, of, barColumns(width)), 0}}, parts...), width-1)
}

// barColumns is how wide a bar is drawn: 5 at 40 columns, 20 from 100 on, and none
// below 30.
func barColumns(width int) int {
	if width < 30 {
		return 0
	}
	return min(width/4-5, 20)
}

// drawBar draws a bar with its share in percent; without columns only the share.
func drawBar(rows, of int64, columns int) string {
	bar := progressbar.NewOptions64(max(of, 1),
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetWidth(columns),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetRenderBlankState(true),
	)
	bar.Set64(min(rows, max(of, 1)))
	text := strings.TrimRight(strings.TrimPrefix(bar.String(), "\r"), " ")
	if columns == 0 {
		return strings.TrimSuffix(text, " ||")
	}
	return text
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
		if note := holdingNow(e); note != "" {
			notes = append(notes, e.Name+": "+note)
		}
	}
	if state.Budget.Waiting > 0 {
		notes = append(notes, "waiting for budget")
	}
	return strings.Join(notes, ", ")
}

// holdingNow is what holds the requests of one endpoint back at this moment.
func holdingNow(e session.Endpoint) string {
	s := e.Limiter
	if wait := time.Until(s.PausedUntil); wait > 0 {
		return "paused " + wait.Round(time.Second).String()
	}
	if s.LimitedBy == limits.LimitNothing || s.Waiting == 0 {
		return ""
	}
	return limitedNow(s)
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
