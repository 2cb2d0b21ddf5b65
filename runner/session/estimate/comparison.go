package estimate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/reports/compare"
	"nightshift/reports/scorers"
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

// guessedWithin is the share of a difference's variance that is taken to lie between answers to one
// row, and would be averaged out by endless epochs: between none, where a model always answers
// alike, and all, where rows are equally hard.
const guessedWithin = 0.5

// guessedCorrelation is what the differences of two rows of a cluster are taken to have in common
// (intraclass correlation).
const guessedCorrelation = 0.1

// A guess is what is taken where no pilot tells how far the scores of a row lie apart.
type guess struct {
	Share       float64 `json:"share_differing"` // of rows that only one of two models has right in one answer
	Epochs      int     `json:"epochs"`
	Within      float64 `json:"share_within_rows"`      // of the variance
	Correlation float64 `json:"intraclass_correlation"` // of clusters
	// ClusterRows is how many rows a cluster has as a row sees it, by dataset, "" for one:
	// Σn²/Σn. It is 1 without clusters.
	ClusterRows map[string]float64 `json:"cluster_rows"`
}

// pilot is what the guess makes of a dataset's rows. The variance of a mean of k answers is ω² + σ²/k
// (E. Miller 2024, "Adding error bars to evals", section 3.2), and clusters of m rows make it
// 1 + (m-1)ρ times as large (the design effect: L. Kish, "Survey sampling", 1965).
func (g guess) pilot(dataset string) compare.Pilot {
	size := g.ClusterRows[dataset]
	p := compare.Pilot{Scorer: dataset, Share: g.Share, Variance: g.Share, Clusters: size > 1}
	if g.Epochs > 1 || size > 1 {
		p.Share = math.NaN()
	}
	p.Variance *= 1 - g.Within + g.Within/float64(g.Epochs)
	p.Variance *= 1 + (max(size, 1)-1)*g.Correlation
	return p
}

// words say what is taken.
func (g guess) words() string {
	text := fmt.Sprintf("only one model of two is right on %.3g %% of rows", 100*g.Share)
	if g.Epochs > 1 {
		text += fmt.Sprintf(" in one answer, and %.3g %% of that varies between the %d answers to a row", 100*g.Within,
			g.Epochs)
	}
	sizes := slices.Sorted(maps.Values(g.ClusterRows))
	most := sizes[len(sizes)-1]
	if most <= 1 {
		return text
	}
	text += fmt.Sprintf("; rows of a cluster correlate by %.3g, and a row is in one of %s on average",
		g.Correlation, strconv.FormatFloat(math.Round(10*most)/10, 'f', -1, 64))
	if len(sizes) > 1 {
		text += ", in the dataset with the largest"
	}
	return text
}

// clusterRows are the sizes of clusters as a guess has them. Rows with the same prompt are a cluster.
// Of a large dataset without clusters a part is looked at, as for tokens.
func (j *job) clusterRows(ctx context.Context) (map[string]float64, error) {
	sizes := map[string]float64{}
	rows := j.RowsOf(j.Plan.Models[0].Name)
	if sections := j.Dataset.Sections(); sections != nil {
		for k, one := range sections {
			size, err := clusterRows(ctx, rows.Only(k))
			if err != nil {
				return nil, err
			}
			sizes[one.Name] = size
		}
		return sizes, nil
	}
	size, err := clusterRows(ctx, rows)
	sizes[""] = size
	return sizes, err
}

func clusterRows(ctx context.Context, d *datasets.Dataset) (float64, error) {
	var prompts, clusters []uint64
	var rows []int64
	seed := maphash.MakeSeed()
	read := func(chunk, most int) error {
		for s, err := range d.Read(ctx, chunk) {
			var bad *datasets.RowError
			if errors.As(err, &bad) {
				continue
			}
			if err != nil {
				return err
			}
			cluster := uint64(0)
			if s.Cluster != "" {
				cluster = maphash.String(seed, s.Cluster)
			}
			rows, clusters = append(rows, s.Index), append(clusters, cluster)
			prompts = append(prompts, maphash.String(seed, s.PromptHash()))
			if most--; most == 0 {
				break
			}
		}
		return nil
	}
	places, each := whereToLook(d)
	for _, chunk := range places {
		if err := read(chunk, each); err != nil {
			return 0, err
		}
	}
	clustered := slices.ContainsFunc(clusters, func(c uint64) bool { return c > 0 })
	if each > 0 && clustered { // clusters may be spread over the whole dataset
		prompts, clusters, rows = nil, nil, nil
		for chunk, c := range d.Chunks() {
			if c.Selected == 0 {
				continue
			}
			if err := read(chunk, 0); err != nil {
				return 0, err
			}
		}
	}
	order, err := scoring.NewOrder(0, rows, prompts, clusters)
	if err != nil || order.Sizes == nil {
		return 1, err
	}
	sum := 0.0
	for _, n := range order.Sizes {
		sum += float64(n) * float64(n)
	}
	return sum / float64(len(rows)), nil
}

// usualGaps are the differences that rows are counted for unless one is asked for.
var usualGaps = []float64{0.02, 0.05, 0.10}

// A comparisonForecast says what differences between models the rows can show,
// and how many rows a difference needs.
type comparisonForecast struct {
	Comparisons int     `json:"comparisons"` // of models, or along variants
	Alpha       float64 `json:"alpha"`       // of all of them together
	Power       float64 `json:"power"`
	Rows        int     `json:"rows"`
	Pilot       string  `json:"pilot,omitempty"` // the run that the scorers' spread is from
	// Scorers say how far scores lie apart. Where that is a guess there is one without
	// a name, or of several datasets their average and each dataset.
	Scorers []scorerForecast `json:"scorers"`
	// Guess is what is taken in place of a pilot; absent with one.
	Guess *guess `json:"guess,omitempty"`
	// Stopping is of runs that may stop early; absent for others.
	Stopping *stoppingForecast `json:"stopping,omitempty"`
}

type scorerForecast struct {
	Scorer string `json:"scorer,omitempty"`
	Rows   int    `json:"rows"` // that it scores
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
	Rows       *int    `json:"rows"` // null when no number would do, or none is known
}

// compared says what the comparison of a plan's models can show. Holm's method
// tests the smallest of m p-values at alpha / m, and the rows are counted for that.
func (f *Forecast) compared(ctx context.Context, j *job, o Options) error {
	p := j.Plan
	if len(p.Models) < 2 || len(p.Scorers) == 0 {
		if o.Detect != 0 || o.Pilot != "" {
			return session.Usagef("--detect and --pilot are about a comparison: the plan needs two models and a scorer")
		}
		return nil
	}
	c := &comparisonForecast{Comparisons: comparisons(p), Alpha: p.Alpha, Power: comparisonPower,
		Rows: int(f.Dataset.Selected - f.Dataset.Bad), Pilot: o.Pilot}
	var pilots []compare.Pilot
	if o.Pilot == "" {
		sizes, err := j.clusterRows(ctx)
		if err != nil {
			return err
		}
		c.Guess = &guess{guessedShare, p.Epochs, guessedWithin, guessedCorrelation, sizes}
		pilots = f.guesses(p, *c.Guess)
	} else {
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
		rows, family := f.scored(p, pilot.Scorer)
		c.Scorers = append(c.Scorers, c.scorer(pilot, rows, family, gaps))
	}
	f.Comparison = c
	if rule := scoring.StopRule(p.Stopping); rule != (scoring.StopRule{}) && c.Rows > 0 {
		c.Stopping = f.stopping(rule, pilots[0], gaps)
	}
	return nil
}

// comparisons is how many pairs of models the run compares.
func comparisons(p *plan.Resolved) (n int) {
	var ways []scoring.Way
	baseline := 0
	for i, m := range p.Models {
		ways = append(ways, scoring.Way{Name: m.Name, Variant: m.Variant, VariantOf: cmp.Or(m.VariantOf, m.Name)})
		if m.Name == p.Baseline {
			baseline = i
		}
	}
	for _, opponent := range scoring.Opponents(ways, baseline, p.Along) {
		if opponent >= 0 {
			n++
		}
	}
	return n
}

// guesses are what is taken where no pilot tells: of several datasets for their
// average and for each.
func (f *Forecast) guesses(p *plan.Resolved, g guess) []compare.Pilot {
	if f.Datasets == nil {
		return []compare.Pilot{g.pilot("")}
	}
	var each []compare.Pilot
	rows, byRows, alike := 0.0, 0.0, 0.0 // the sums of n, n·variance and variance/n
	for _, d := range f.Datasets {
		if n := float64(d.Selected - d.Bad); n > 0 && scored(p, d.Name) {
			one := g.pilot(d.Name)
			each, rows = append(each, one), rows+n
			byRows, alike = byRows+n*one.Variance, alike+one.Variance/n
		}
	}
	if len(each) < 2 {
		one := g.pilot("")
		if len(each) == 1 {
			one, one.Scorer = each[0], ""
		}
		return []compare.Pilot{one}
	}
	average := compare.Pilot{Scorer: scorers.Average, Share: math.NaN(), Variance: byRows / rows}
	if k := float64(len(each)); p.Average != plan.AverageRows {
		average.Variance = rows * alike / (k * k) // that of the mean of k means, times the rows
	}
	return append([]compare.Pilot{average}, each...)
}

func scored(p *plan.Resolved, dataset string) bool {
	return slices.ContainsFunc(p.Scorers, func(s plan.ResolvedScorer) bool { return s.Scores(dataset) })
}

// scored is how many rows stand behind the result of a name, and how many such
// results are tested together: those of the datasets are.
func (f *Forecast) scored(p *plan.Resolved, name string) (rows, family int) {
	dataset, _, _ := strings.Cut(name, "/")
	found := -1
	for _, d := range f.Datasets {
		n := int(d.Selected - d.Bad)
		if n == 0 || !scored(p, d.Name) {
			continue
		}
		rows, family = rows+n, family+1
		if d.Name == dataset {
			found = n
		}
	}
	switch {
	case family == 0:
		return int(f.Dataset.Selected - f.Dataset.Bad), 1
	case found >= 0:
		return found, family
	}
	return rows, 1
}

func (c *comparisonForecast) scorer(pilot compare.Pilot, rows, family int, gaps []float64) scorerForecast {
	alpha := c.Alpha / float64(c.Comparisons*family)
	s := scorerForecast{Scorer: pilot.Scorer, Rows: rows, Share: stats.Defined(pilot.Share), Variance: pilot.Variance,
		pilot: pilot}
	if s.unknown() {
		for _, gap := range gaps {
			s.Needs = append(s.Needs, rowsToSee{Difference: gap})
		}
		return s
	}
	if rows > 0 {
		s.Shows = stats.Defined(pilot.Shows(rows, c.Power, alpha))
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

// unknown reports whether the pilot tells nothing: no scores of the same row differ.
func (s scorerForecast) unknown() bool { return s.Variance == 0 }

// spread says in words what the pilot tells.
func (s scorerForecast) spread(pilot string) string {
	if s.unknown() {
		return fmt.Sprintf("no scores of the same row differ in %s, which does not tell how far others lie apart", pilot)
	}
	text := fmt.Sprintf("the differences of rows have a standard deviation of %.2f", math.Sqrt(s.Variance))
	if s.Share != nil {
		text = fmt.Sprintf("only one model of two is right on %.3g %% of rows", 100**s.Share)
	}
	if s.pilot.Clusters {
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
	several := f.Datasets != nil
	if several {
		fmt.Fprint(t, "  scorer\trows\tthey show")
	} else {
		fmt.Fprintf(t, "  scorer\t%s show", words.Counted(int64(c.Rows), "row"))
	}
	for _, n := range c.Scorers[0].Needs {
		fmt.Fprintf(t, "\trows for %s", points(&n.Difference))
	}
	fmt.Fprintln(t)
	for _, s := range c.Scorers {
		fmt.Fprintf(t, "  %s", s.name())
		if several {
			fmt.Fprintf(t, "\t%s", words.Thousands(int64(s.Rows)))
		}
		shows := points(s.Shows)
		if s.unknown() {
			shows = "not known"
		}
		fmt.Fprintf(t, "\t%s", shows)
		for _, n := range s.Needs {
			rows := "no number does"
			if n.Rows != nil {
				rows = words.Thousands(int64(*n.Rows))
			} else if s.unknown() {
				rows = "not known"
			}
			fmt.Fprintf(t, "\t%s", rows)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
	if c.Guess != nil {
		p.line("  %s (a guess; --pilot RUN measures it)", c.Guess.words())
	}
	for _, s := range c.Scorers {
		if c.Guess == nil {
			p.line("  %s: %s", s.name(), s.spread(c.Pilot))
		}
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
