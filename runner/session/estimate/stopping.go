package estimate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"text/tabwriter"

	"nightshift/internal/words"
	"nightshift/reports/compare"
	"nightshift/reports/scoring"
)

const (
	simulatedRuns = 41     // of which the middle one is half of all, the fifth from the end nine of ten
	simulatedRows = 20_000 // no run is followed further
)

// A stoppingForecast says how many rows are sent until one comparison of a run that may stop
// early needs no more. It is simulated by the code that decides, with the spread of
// the first scorer; null where the run comes to its last row, or beyond Looked.
type stoppingForecast struct {
	Runs        int         `json:"simulated_runs"`
	Looked      int         `json:"simulated_rows"`
	Differences []rowsUntil `json:"differences"`
}

type rowsUntil struct {
	Difference float64  `json:"difference"`
	Half       *int     `json:"rows_half"` // of the runs send no more
	Most       *int     `json:"rows_nine_of_ten"`
	USD        *float64 `json:"cost_usd_half"` // of all models, by the estimate's mean cost of a row
}

// stopping says it for each of the differences, and for none at all.
func (f *Forecast) stopping(rule scoring.StopRule, pilot compare.Pilot, gaps []float64) *stoppingForecast {
	c := f.Comparison
	s := &stoppingForecast{Runs: simulatedRuns, Looked: min(c.Rows, simulatedRows)}
	for _, gap := range append([]float64{0}, gaps...) {
		until := make([]int, simulatedRuns)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range until {
			until[i] = rowsToClose(rule, differencesOf(r, pilot, gap, s.Looked), c.Alpha/float64(c.Comparisons))
		}
		slices.Sort(until)
		known := func(n int) *int {
			if n > s.Looked {
				return nil
			}
			return &n
		}
		one := rowsUntil{Difference: gap, Half: known(until[simulatedRuns/2]), Most: known(until[simulatedRuns*9/10])}
		if cost := f.Total.CostUSD; cost != nil && one.Half != nil {
			usd := cost.Likely * float64(*one.Half) / float64(c.Rows)
			one.USD = &usd
		}
		s.Differences = append(s.Differences, one)
	}
	return s
}

// differencesOf draws the differences of n rows whose mean is the gap.
func differencesOf(r *rand.Rand, pilot compare.Pilot, gap float64, n int) []float64 {
	d := make([]float64, n)
	for i := range d {
		if math.IsNaN(pilot.Share) {
			d[i] = min(max(gap+math.Sqrt(pilot.Variance)*r.NormFloat64(), -1), 1)
			continue
		}
		share := max(pilot.Share, gap)
		switch u := r.Float64(); {
		case u < (share+gap)/2:
			d[i] = 1
		case u < share:
			d[i] = -1
		}
	}
	return d
}

// rowsToClose is after how many differences a comparison needs no more; one more than there are
// when it never does. What is decided stays decided.
func rowsToClose(rule scoring.StopRule, d []float64, alpha float64) int {
	units := make([]int32, len(d))
	for i := range units {
		units[i] = int32(i)
	}
	closed := func(n int) bool { return rule.Closed(d[:n], units[:n], alpha) }
	high := 25
	for high < len(d) && !closed(high) {
		high *= 2
	}
	if high >= len(d) {
		if high = len(d); !closed(high) {
			return len(d) + 1
		}
	}
	low := high / 2
	if high <= 25 {
		low = 0
	}
	for low+1 < high {
		if mid := (low + high) / 2; closed(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

func (f *Forecast) printStopping(p *printer) {
	s := f.Comparison.Stopping
	if s == nil {
		return
	}
	last := "all " + words.Thousands(int64(f.Comparison.Rows))
	if s.Looked < f.Comparison.Rows {
		last = "more than " + words.Thousands(int64(s.Looked))
	}
	rows := func(n *int) string {
		if n == nil {
			return last
		}
		return words.Thousands(int64(*n))
	}
	p.line("\nstopping early (rows until one comparison needs no more, of %d simulated runs; those in flight come on top)",
		s.Runs)
	t := tabwriter.NewWriter(p.w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "  true difference\thalf of the runs\tnine of ten\tcost of half")
	for _, one := range s.Differences {
		name := "none"
		if one.Difference > 0 {
			name = points(&one.Difference)
		}
		cost := "not known"
		if one.USD != nil {
			cost = words.Dollars(*one.USD, f.Total.CostAtLeast)
		} else if one.Half == nil && f.Total.CostUSD != nil {
			cost = "as estimated"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", name, rows(one.Half), rows(one.Most), cost)
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
	p.line("  the estimate above is of all rows, the most that a run sends")
}
