package compare

import (
	"embed"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift/internal/words"
	"nightshift/reports/render"
	"nightshift/reports/scoring"
)

//go:embed assets
var assets embed.FS

// Text writes the history for a terminal.
func (h *History) Text(w io.Writer) error { return h.document(render.ScreenOf(w)).WriteText(w) }

// Markdown writes the history for a page.
func (h *History) Markdown(w io.Writer) error { return h.document(render.Screen{}).WriteMarkdown(w) }

// JSON writes the history as indented JSON.
func (h *History) JSON(w io.Writer) error { return render.JSON(w, h) }

func (h *History) document(screen render.Screen) *render.Document {
	d := &render.Document{Heading: "## ", Screen: screen}
	d.Lead(h.headline())
	for _, f := range h.findings() {
		d.Finding(f)
	}
	for _, g := range h.grids() {
		if screen.Columns > 0 && screen.Columns < narrow {
			withoutYears(g)
		}
		d.Grid(g)
	}
	d.Remarks("Left out", "! ", render.Remarked(h.leftOut()))
	return d
}

// narrow is below how many columns of a terminal times have no year.
const narrow = 60

// withoutYears takes the years from the times of a grid that has them.
func withoutYears(g render.Grid) {
	at := slices.Index(g.Head, began)
	for _, r := range g.Rows {
		if _, rest, ok := strings.Cut(r[max(at, 0)], "-"); at >= 0 && ok {
			r[at] = rest
		}
	}
}

// findings are what became of each model since the run before.
func (h *History) findings() []render.Finding {
	var all []render.Finding
	for _, c := range h.Changes[:min(len(h.Changes), 1)] {
		for _, d := range c.Deltas {
			all = append(all, d.finding())
		}
	}
	return all
}

func (h *History) leftOut() []string {
	var all, others []string
	for _, l := range h.LeftOut {
		if l.otherData >= 0 {
			others = append(others, sprintf("%s (%s)", l.Run, render.Counted(l.otherData, "row")))
		}
	}
	for _, l := range h.LeftOut {
		if l.otherData < 0 || len(others) < 2 {
			all = append(all, l.Run+": "+l.Why)
		}
	}
	if len(others) > 1 {
		all = append(all, sprintf("%d runs are of other datasets than the newest: %s. Name the runs of one dataset to "+
			"see them, or --any-dataset to pair rows by id", len(others), join(others, ", ")))
	}
	return all
}

func (h *History) grids() []render.Grid {
	all := []render.Grid{h.leaderGrid(), h.trendGrid()}
	if h.scorers != nil {
		all = append(all, h.datasetGrid())
	}
	if g := h.changeGrid(); len(g.Rows) > 0 {
		all = append(all, g)
	}
	return all
}

func (h *History) leaderGrid() render.Grid {
	g := newGrid("Leaderboard", "Leaderboard", "run", "score", intervalHead(h.leaderMethods(), 0.05), "scored/total",
		"per 1,000")
	g.Texts = 2
	g.Head = append(g.Head, h.newest().datasets()...)
	for _, l := range h.Leaders {
		per := render.Unknown
		if l.of.Cost.String() != render.Unknown {
			per = shownAs(l.of.Per1000, words.Money)
		}
		s := l.of.Score
		g.Add(append([]string{l.Model, l.Run, shownAs(s.Mean, asScore), s.Interval.String(),
			render.Count(s.Scored+s.NoAnswer) + "/" + render.Count(s.Total), per}, l.of.datasetCells()...)...)
	}
	g.Note = "Each model as it did in the newest run that has it. A place is no verdict: nightshift compare tests " +
		"differences."
	return g
}

// leaderMethods are how the leaderboard's intervals were made.
func (h *History) leaderMethods() (methods []string) {
	for _, l := range h.Leaders {
		methods = append(methods, l.of.Score.Method)
	}
	return methods
}

// changeMethods are how the intervals of all differences were made.
func (h *History) changeMethods() (methods []string) {
	for _, c := range h.Changes {
		for _, d := range c.Deltas {
			methods = append(methods, d.Method)
		}
	}
	return methods
}

// intervalHead heads a column of intervals that were made so. Those of runs that may stop early
// are confidence sequences, with the probability alpha of an error.
func intervalHead(methods []string, alpha float64) string {
	switch {
	case !slices.Contains(methods, bySequence):
		return "95 % interval"
	case slices.ContainsFunc(methods, func(m string) bool { return m != bySequence }):
		return "95 % interval or sequence"
	}
	return sprintf("%.3g %% confidence sequence", 100*(1-alpha))
}

// bySequence reports whether the run's intervals are confidence sequences.
func (r *pastRun) bySequence() bool {
	return slices.ContainsFunc(r.Models, func(m pastModel) bool { return m.Score.Method == bySequence })
}

// notes say what the run's figures are of, where that is not the whole run.
func (r *pastRun) notes() (notes []string) {
	switch r.State {
	case "finished":
	case scoring.Decided:
		notes = append(notes, r.Label+" was stopped when its comparison was decided: figures are of the rows that count")
	default:
		notes = append(notes, sprintf("%s is not finished (%s): figures are of what is on record", r.Label, r.State))
	}
	if r.bySequence() {
		notes = append(notes, "Intervals of "+r.Label+" are confidence sequences: they hold at any time, and are wider")
	}
	return notes
}

// began is the head of the times at which runs began.
const began = "began (UTC)"

// trendGrid has a line for each run and a column for each model.
func (h *History) trendGrid() render.Grid {
	g := newGrid("Trend", "Trend", began)
	g.Texts, g.Of = 2, "run"
	names := h.models()
	g.Head = append(g.Head, names...)
	for _, r := range h.Runs {
		cells := []string{r.Label, when(r.Started)}
		for _, name := range names {
			cell := ""
			if m := r.model(name); m != nil {
				cell = shownAs(m.Score.Mean, asScore) + m.Score.Interval.half(1)
			}
			cells = append(cells, cell)
		}
		g.Add(cells...)
		g.Notes = append(g.Notes, r.notes()...)
	}
	return g
}

// datasets are the names of those that the run's average is made of.
func (r *pastRun) datasets() (names []string) {
	for _, m := range r.Models[:min(1, len(r.Models))] {
		for _, d := range m.Datasets {
			names = append(names, d.Dataset)
		}
	}
	return names
}

// datasetCells are the scores that the model's average is made of.
func (m *pastModel) datasetCells() (cells []string) {
	for _, d := range m.Datasets {
		cells = append(cells, shownAs(d.Score.Mean, asScore)+d.Score.Interval.half(1))
	}
	return cells
}

// datasetGrid has a line for each model of each run: its average, and what that is made of.
func (h *History) datasetGrid() render.Grid {
	g := newGrid("Trend by dataset", "Trend by dataset", "model", "average", "std. error")
	g.Texts, g.Of = 2, "run"
	g.Head = append(g.Head, h.newest().datasets()...)
	for _, r := range h.Runs {
		for _, m := range r.Models {
			se := shownAs(m.Score.SE, func(v float64) string { return sprintf("%.3f", v) })
			g.Add(append([]string{r.Label, m.Model, shownAs(m.Score.Mean, asScore), se}, m.datasetCells()...)...)
		}
	}
	return g
}

// changeGrid compares the newest run with each earlier one.
func (h *History) changeGrid() render.Grid {
	methods := h.changeMethods()
	p := "p"
	head := intervalHead(methods, h.Alpha)
	if strings.HasSuffix(head, bySequence) {
		p = "always-valid p"
	}
	g := newGrid("Changes of "+h.newest().Label, h.newest().Label+" vs", "model", "", "delta", head, "win/tie/loss", p,
		"adj. p")
	g.Texts = 3
	for _, name := range h.newest().datasets() {
		g.Head = append(g.Head, "Δ "+name)
	}
	for _, c := range h.Changes {
		for k, d := range c.Deltas {
			cells := append([]string{c.Since, d.Label}, d.cells()...)
			for _, part := range c.Datasets {
				cells = append(cells, part.Deltas[k].cell())
			}
			g.Add(cells...)
			if d.Verdict != notShown {
				g.Notes = append(g.Notes, c.Since+": "+d.sentence())
			}
		}
		if len(c.Deltas) == 0 {
			g.Notes = append(g.Notes, c.Since+": none of its models is in "+h.newest().Label)
		}
	}
	g.Note = "Rows are paired by id. Adjusted p are corrected for all comparisons of this table."
	return g
}

// chart draws a line for each model.
func (h *History) chart() render.Chart {
	var all []render.Series
	for _, name := range h.models() {
		s := render.Series{Name: name}
		for i := range h.Runs {
			r := &h.Runs[i]
			m := r.model(name)
			if m == nil || m.Score.Mean == nil {
				continue
			}
			p := render.Moment{At: *r.Started, Y: *m.Score.Mean, Tip: sprintf("%s in %s: %s, %s %s", name, r.Label,
				asScore(*m.Score.Mean), intervalHead([]string{m.Score.Method}, 0.05), m.Score.Interval)}
			if m.Score.Interval != nil {
				p.Low, p.High = &m.Score.Interval.Lower, &m.Score.Interval.Upper
			}
			s.Moments = append(s.Moments, p)
		}
		all = append(all, s)
	}
	c := render.Chart{ID: "trend", Title: "Scores over time", YLabel: "score by " + h.Scorer.Name,
		Summary: "bars are " + intervalHead(h.leaderMethods(), 0.05) + "s", Table: h.trendGrid()}
	return render.Trend(c, all)
}

// historyData is what the template sees.
type historyData struct {
	Policy, Headline, Made string
	Banner                 []render.Finding
	Charts                 []render.Chart
	Grids                  []render.Grid
	LeftOut                []string
}

// HTML writes the history as one page that loads nothing.
func (h *History) HTML(w io.Writer) error {
	t, err := historyPage()
	if err != nil {
		return err
	}
	d := historyData{Policy: t.Policy, Headline: h.headline(), Made: h.Created.Format(time.DateTime + " UTC"),
		Banner: h.findings(), LeftOut: h.leftOut()}
	if c := h.chart(); !c.Empty() {
		d.Charts = append(d.Charts, c)
	}
	for _, g := range h.grids() {
		g.Notes = slices.DeleteFunc(append([]string{g.Note}, g.Notes...), func(s string) bool { return s == "" })
		d.Grids = append(d.Grids, noted(g))
	}
	return t.Execute(w, d)
}

var historyPage = sync.OnceValues(func() (*render.Page, error) {
	return render.NewPage(assets, "history",
		"default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'", historyData{})
})
