package estimate

import (
	"cmp"
	"fmt"
	"math"
	"text/tabwriter"

	"nightshift/internal/words"
	"nightshift/reports/compare"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// comparisonPower is how often a true difference is to be found.
const comparisonPower = 0.8

// guessedShare is the share of rows that only one of two models is taken to have
// right where nothing is known. With the same models and benchmarks it is some 10
// to 30 %.
const guessedShare = 0.2

// usualGaps are the differences that rows are counted for unless one is asked for.
var usualGaps = []float64{0.02, 0.05, 0.10}

// A comparisonForecast says what differences between models the rows can show,
// and how many rows a difference needs.
type comparisonForecast struct {
	Comparisons int     `json:"comparisons"` // of models with the baseline
	Alpha       float64 `json:"alpha"`       // of all of them together
	Power       float64 `json:"power"`
	Rows        int     `json:"rows"`
	Pilot       string  `json:"pilot,omitempty"` // the run that the scorers' spread is from
	// Scorers say how far scores lie apart; one without a name where that is a
	// guess.
	Scorers []scorerForecast `json:"scorers"`
	// Stopping is of runs that may stop early; absent for others.
	Stopping *stoppingForecast `json:"stopping,omitempty"`
}

type scorerForecast struct {
	Scorer string `json:"scorer,omitempty"`
	// Share is that of the rows which only one of two models has right; null where
	// scores are not right or wrong.
	Share    *float64    `json:"share_differing"`
	Variance float64     `json:"variance"` // of a row's difference
	Shows    *float64    `json:"shows"`    // the smallest difference; null when there is none
	Needs    []rowsToSee `json:"needs"`

	pilot compare.Pilot
}

type rowsToSee struct {
	Difference float64 `json:"difference"`
	Rows       *int    `json:"rows"` // null when no number would do
}

// compared says what the comparison of a plan's models can show. Holm's method
// tests the smallest of m p-values at alpha / m, and the rows are counted for that.
func (f *Forecast) compared(p *plan.Resolved, o Options) error {
	if len(p.Models) < 2 || len(p.Scorers) == 0 {
		if o.Detect != 0 || o.Pilot != "" {
			return session.Usagef("--detect and --pilot are about a comparison: the plan needs two models and a scorer")
		}
		return nil
	}
	c := &comparisonForecast{Comparisons: len(p.Models) - 1, Alpha: p.Alpha, Power: comparisonPower,
		Rows: int(f.Dataset.Selected - f.Dataset.Bad), Pilot: o.Pilot}
	pilots := []compare.Pilot{{Share: guessedShare, Variance: guessedShare}}
	if o.Pilot != "" {
		var err error
		var ok bool
		if pilots, ok, err = compare.Pilots(o.Pilot, p.Epochs); err != nil {
			return session.Usagef("--pilot: %w", err)
		} else if !ok {
			return session.Usagef("--pilot: %s has no two models with scores of the same rows", o.Pilot)
		}
	}
	gaps := usualGaps
	if o.Detect != 0 {
		gaps = []float64{o.Detect}
	}
	for _, pilot := range pilots {
		c.Scorers = append(c.Scorers, c.scorer(pilot, gaps))
	}
	f.Comparison = c
	if rule := scoring.StopRule(p.Stopping); rule != (scoring.StopRule{}) && c.Rows > 0 {
		c.Stopping = f.stopping(rule, pilots[0], gaps)
	}
	return nil
}

func (c *comparisonForecast) scorer(pilot compare.Pilot, gaps []float64) scorerForecast {
	alpha := c.Alpha / float64(c.Comparisons)
	s := scorerForecast{Scorer: pilot.Scorer, Share: stats.Defined(pilot.Share), Variance: pilot.Variance, pilot: pilot}
	if c.Rows > 0 {
		s.Shows = stats.Defined(pilot.Shows(c.Rows, c.Power, alpha))
	}
	for _, gap := range gaps {
		need := rowsToSee{Difference: gap}
		if n := pilot.Needs(gap, c.Power, alpha); n >= 0 {
			need.Rows = &n
		}
		s.Needs = append(s.Needs, need)
	}
	return s
}

// spread says in words what is assumed.
func (s scorerForecast) spread(pilot string) string {
	text := fmt.Sprintf("the differences of rows have a standard deviation of %.2f", math.Sqrt(s.Variance))
	if s.Share != nil {
		text = fmt.Sprintf("only one model of two is right on %.3g %% of rows", 100**s.Share)
	}
	switch {
	case pilot == "":
		return text + " (a guess; --pilot RUN measures it)"
	case s.pilot.Clusters:
		return fmt.Sprintf("%s in %s, with what clusters have in common", text, pilot)
	}
	return text + " in " + pilot
}

func (f *Forecast) printComparison(p *printer) {
	c := f.Comparison
	if c == nil {
		return
	}
	together := ""
	if c.Comparisons > 1 {
		together = " together"
	}
	p.line("\ncomparison (%s at the %.3g %% level%s; a true difference is found %.0f times in 100)",
		words.Counted(int64(c.Comparisons), "comparison"), 100*c.Alpha, together, 100*c.Power)
	t := tabwriter.NewWriter(p.w, 2, 8, 2, ' ', 0)
	fmt.Fprintf(t, "  scorer\t%s show", words.Counted(int64(c.Rows), "row"))
	for _, n := range c.Scorers[0].Needs {
		fmt.Fprintf(t, "\trows for %s", points(&n.Difference))
	}
	fmt.Fprintln(t)
	for _, s := range c.Scorers {
		fmt.Fprintf(t, "  %s\t%s", s.name(), points(s.Shows))
		for _, n := range s.Needs {
			rows := "no number does"
			if n.Rows != nil {
				rows = words.Thousands(int64(*n.Rows))
			}
			fmt.Fprintf(t, "\t%s", rows)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
	for _, s := range c.Scorers {
		p.line("  %s: %s", s.name(), s.spread(c.Pilot))
	}
	f.printStopping(p)
}

func (s scorerForecast) name() string { return words.Visible(cmp.Or(s.Scorer, "right or wrong")) }

// points is a difference of scores between 0 and 1, in hundredths.
func points(d *float64) string {
	if d == nil {
		return "nothing"
	}
	return fmt.Sprintf("%.3g points", 100**d)
}
