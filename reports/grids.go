package reports

import (
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"nightshift"
	"nightshift/reports/compare"
	"nightshift/reports/render"
)

// JSON writes the summary as indented JSON; docs/report.md describes it.
func (s *Summary) JSON(w io.Writer) error { return render.JSON(w, s) }

// Text writes the summary for a terminal, as wide as w says ([render.ScreenOf]).
func (s *Summary) Text(w io.Writer) error { return s.document(render.ScreenOf(w)).WriteText(w) }

// Markdown writes the summary for a page or a pull request.
func (s *Summary) Markdown(w io.Writer) error { return s.document(render.Screen{}).WriteMarkdown(w) }

func (s *Summary) document(screen render.Screen) *render.Document {
	d := &render.Document{Heading: "## ", Screen: screen}
	d.Block("# " + render.Markdown(s.Name))
	d.Lead(s.headline())
	for _, f := range s.findings() {
		d.Finding(f)
	}
	if g := s.glance(); len(g.Rows) > 0 {
		d.Block("## " + g.Title + "\n\n" + g.Markdown())
	}
	for _, g := range s.grids() {
		d.Grid(g)
	}
	var failures []render.Remark
	for _, e := range s.Errors {
		failures = append(failures, render.Remark{Text: e.line(), Hint: e.Hint})
	}
	d.Remarks("Failures", "", failures)
	d.Remarks("Read with care", "! ", render.Remarked(s.allWarnings()))
	return d
}

func (e errorGroup) line() string {
	return sprintf("%s: %s failed with %s, first %s: %s", e.Model, render.Counted(e.Rows, "row"), e.Class, e.FirstID,
		e.Example)
}

func (s *Summary) allWarnings() []string {
	if s.Comparison == nil {
		return s.Warnings
	}
	said := slices.Clone(s.Warnings)
	if slices.ContainsFunc(s.Comparison.Warnings, compare.IsTruncation) {
		said = slices.DeleteFunc(said, func(w string) bool { return strings.Contains(w, cutOff) })
	}
	return slices.Concat(slices.DeleteFunc(slices.Clone(s.Comparison.Warnings), s.saidOfCosts), said)
}

// saidOfCosts reports whether a warning of the comparison says of a model's
// cost what the summary says with its reason.
func (s *Summary) saidOfCosts(warning string) bool {
	return s.any(func(m modelSummary) bool {
		return (m.MaybeBilled > 0 || m.Bill.NoPrice > 0) && strings.HasPrefix(warning, m.Model+": the cost of ")
	})
}

// findings are the verdict strip: the comparison's.
func (s *Summary) findings() []render.Finding {
	if s.Comparison == nil {
		return nil
	}
	return s.Comparison.Verdicts
}

func (s *Summary) headline() string {
	var bases []string
	for _, m := range s.Models {
		bases = append(bases, m.VariantOf)
	}
	h := sprintf("%s: %s × %s", s.Name, render.Counted(s.Dataset.Rows, "row"), Asked(bases))
	if s.Epochs > 1 {
		h += sprintf(" × %d epochs", s.Epochs)
	}
	h += ", " + s.State
	if took := s.took(); took > 0 {
		h += " in " + took.String()
	}
	return h + ", " + s.costWords()
}

// Asked is how many models a run has, and in how many ways each is asked. bases has
// for each model its name without the variant; empty where it has none.
func Asked(bases []string) string {
	models := slices.Compact(slices.Sorted(slices.Values(bases)))
	if slices.Contains(models, "") || len(models) == len(bases) || len(bases)%len(models) != 0 {
		return render.Counted(int64(len(bases)), "model")
	}
	return render.Counted(int64(len(models)), "model") + " × " + render.Counted(int64(len(bases)/len(models)), "variant")
}

// costWords is what the run cost in all, and what of it went to judges.
func (s *Summary) costWords() string {
	cost := s.Total.money()
	if cost == render.Unknown {
		return "cost " + cost
	}
	var judges entry
	for _, j := range s.Judges {
		judges.add(&j.entry)
	}
	if judges.CostNanoUSD == 0 {
		return cost
	}
	return cost + " (of it " + judges.money() + " for judges)"
}

// took is how long the run worked, without the rest between its starts.
func (s *Summary) took() time.Duration {
	d := time.Duration(s.Worked * float64(time.Second))
	if d > time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}

// grids are the tables of every rendering, in their order.
func (s *Summary) grids() []render.Grid {
	all := []render.Grid{s.outcomes(), s.scores(), s.stops(), s.spending(), s.caching(), s.byPrefix(), s.byBatch(),
		s.times(), s.byWorker(), s.bounds()}
	s.split(all)
	if s.Comparison != nil {
		all = append(all, s.Comparison.Tables...)
	}
	return slices.DeleteFunc(all, func(g render.Grid) bool { return len(g.Rows) == 0 || len(g.Head) < 2 })
}

// split gives models and the variants in which they were asked a column each.
func (s *Summary) split(grids []render.Grid) {
	parts := map[string][2]string{}
	for _, m := range s.Models {
		if m.Variant != "" {
			parts[m.Model] = [2]string{m.VariantOf, m.Variant}
		}
	}
	for i := range grids {
		grids[i].SplitNames(parts, "variant")
	}
}

// Outcomes are all outcomes of a row in the order of reading.
var Outcomes = []nightshift.Outcome{
	nightshift.OutcomeOK, nightshift.OutcomeTruncated, nightshift.OutcomeRefused, nightshift.OutcomeEmpty,
	nightshift.OutcomeFailed, nightshift.OutcomeInputError, nightshift.OutcomeUnknown,
}

func (s *Summary) outcomes() render.Grid {
	g := render.Grid{Title: "Rows", Head: []string{"rows"}}
	shown := slices.DeleteFunc(slices.Clone(Outcomes), func(o nightshift.Outcome) bool {
		return o != nightshift.OutcomeOK && o != nightshift.OutcomeFailed && !s.any(func(m modelSummary) bool {
			return m.Outcomes[o] > 0
		})
	})
	notRun := s.any(func(m modelSummary) bool { return m.NotRun() > 0 })
	for _, o := range shown {
		g.Head = append(g.Head, strings.ReplaceAll(string(o), "_", " "))
	}
	if notRun {
		g.Head = append(g.Head, "not run")
	}
	g.Head = append(g.Head, "total", "retries")
	for _, m := range s.Models {
		row := []string{m.Model}
		for _, o := range shown {
			row = append(row, render.Count(m.Outcomes[o]))
		}
		if notRun {
			row = append(row, render.Count(m.NotRun()))
		}
		g.Rows = append(g.Rows, append(row, render.Count(m.Expected), render.Count(m.Retries)))
	}
	return g
}

func (s *Summary) any(is func(modelSummary) bool) bool { return slices.ContainsFunc(s.Models, is) }

// interval is what the bounds of the run's scores are.
func (s *Summary) interval() string {
	for _, c := range s.Scores {
		if c.Method != "" {
			return "95 % " + c.Method
		}
	}
	return "95 % interval"
}

func (s *Summary) scores() render.Grid {
	g := render.Grid{Title: "Scores", Texts: 2,
		Head: []string{"scores", "scorer", "mean", s.interval(), "rows", "scored", "no answer", "unscored", "failed"}}
	for _, c := range s.Scores {
		interval := "-"
		if c.Lower != nil && c.Upper != nil {
			interval = score(c.Lower) + " to " + score(c.Upper)
		}
		g.Rows = append(g.Rows, []string{c.Model, c.Scorer, score(c.Mean), interval, render.Count(c.Items),
			render.Count(c.Scored), render.Count(c.NoAnswer), render.Count(c.Unscored), render.Count(c.Errors)})
	}
	return g
}

func score(v *float64) string {
	if v == nil {
		return "-"
	}
	return sprintf("%.3f", *v)
}

func (s *Summary) stops() render.Grid {
	reasons := map[string]bool{}
	for _, m := range s.Models {
		for r := range m.StopReasons {
			reasons[r] = true
		}
	}
	order := slices.Sorted(maps.Keys(reasons))
	g := render.Grid{Title: "Stop reasons", Head: append([]string{"stop reasons"}, order...)}
	for _, m := range s.Models {
		row := []string{m.Model}
		for _, r := range order {
			row = append(row, render.Count(m.StopReasons[r]))
		}
		g.Rows = append(g.Rows, row)
	}
	if len(order) == 1 && order[0] == string(nightshift.StopEnd) { // the usual end says nothing
		g.Rows = nil
	}
	return g
}

// caching is what the prompt cache had of each model's input.
func (s *Summary) caching() render.Grid {
	g := render.Grid{Title: "Prompt cache",
		Head: []string{"prompt cache", "read", "of input", "written", "saved", "missed", "misses"}}
	g.Note = "Saved is against the same tokens without a cache."
	if slices.ContainsFunc(s.Models, func(m modelSummary) bool { return m.Bill.CacheMisses > 0 }) {
		g.Note += " Missed is what was paid for tokens that should have been in the cache."
	}
	for _, m := range s.Models {
		e := m.Bill
		if e.CacheRead+e.CacheWrite+e.CacheMisses == 0 {
			continue
		}
		g.Rows = append(g.Rows, []string{m.Model, render.Count(e.CacheRead), e.cacheHit(), render.Count(e.CacheWrite),
			render.Money(e.SavedNanoUSD, false), e.missed(), render.Count(e.CacheMisses)})
	}
	return g
}

// spending bills every attempt, in disjoint classes of tokens.
func (s *Summary) spending() render.Grid {
	g := render.Grid{Title: "Tokens and cost", Total: true,
		Head: []string{"tokens and cost", "input", "cached", "output", "reasoning", "cost", "per 1,000"}}
	g.Note = "Input is without cached tokens; output includes reasoning; per 1,000 rows."
	if s.Total.Reused > 0 {
		g.Note += " " + reusedNote(s.Total) + "; per 1,000 counts what they cost there."
	}
	line := func(name string, e entry) {
		each := "-"
		if e.Rows > 0 {
			each = entry{CostNanoUSD: (e.CostNanoUSD + e.ReusedNanoUSD) * 1000 / e.Rows, NoUsage: e.NoUsage, NoPrice: e.NoPrice,
				AtMostNanoUSD: e.AtMostNanoUSD}.money()
		}
		g.Rows = append(
			g.Rows, []string{name, render.Count(e.Input), render.Count(e.CacheRead + e.CacheWrite),
				render.Count(e.Output), render.Count(e.Reasoning), e.money(), each})
	}
	for _, m := range s.Models {
		line(m.Model, m.Bill)
	}
	for _, j := range s.Judges {
		line(innerName(j.Key), j.entry)
	}
	if s.Unsettled != nil {
		line("rows without a record", *s.Unsettled)
	}
	if len(g.Rows) == 1 {
		g.Total = false
		return g
	}
	line("all", s.Total)
	g.Rows[len(g.Rows)-1][6] = "-"
	return g
}

func mostMoney(e entry) string {
	if e.AtMostNanoUSD == nil {
		return "unknown"
	}
	return render.Money(*e.AtMostNanoUSD, false)
}

func (s *Summary) times() render.Grid {
	g := render.Grid{Title: "Latency", Head: []string{"latency", "p50", "p90", "p95", "p99", "max", "first token p50"}}
	for _, m := range s.Models {
		l := m.LatencyMS
		if l.N == 0 {
			continue // batches have none, nor has a model without an answer
		}
		g.Rows = append(
			g.Rows, []string{m.Model, render.Seconds(l.P50), render.Seconds(l.P90), render.Seconds(l.P95),
				render.Seconds(l.P99), render.Seconds(l.Max), render.Seconds(m.FirstTokenMS.P50)})
	}
	return g
}
