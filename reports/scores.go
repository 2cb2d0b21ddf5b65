package reports

import (
	"math"
	"slices"

	"nightshift"
	"nightshift/reports/compare"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/store/view"
)

// A scoreSummary is what one scorer said of one model. Mean and interval are
// over the rows that have a score; how many those are stands beside them.
// They are null where there is none.
type scoreSummary struct {
	Model    string   `json:"model"`
	Scorer   string   `json:"scorer"`
	Answers  int64    `json:"answers"`   // scores of any status, repetitions included
	Scored   int64    `json:"scored"`    // of them with a comparison
	NoAnswer int64    `json:"no_answer"` // nothing to compare was found: counted as 0
	Unscored int64    `json:"unscored"`  // the scorer failed
	Errors   int64    `json:"errors"`    // the request failed
	Items    int64    `json:"items"`     // dataset rows behind the mean
	Mean     *float64 `json:"mean"`
	Lower    *float64 `json:"lower"` // 95 % interval
	Upper    *float64 `json:"upper"`
	// Method is "confidence sequence" where the run may stop early; Items are then those
	// that count, in the order of sending.
	Method string `json:"interval_method,omitempty"`
}

// scoreTally collects a ScoreSummary: the mean over repetitions of each item,
// items one after the other.
type scoreTally struct {
	scoreSummary
	row    int64
	sum    float64
	n      int64
	epochs int
	values []float64
	// label says which rows depend on each other, and clusters are those of the values;
	// nil where none do.
	label    func(row int64) int32
	clusters []int32
	// byRow has all rows, NaN for those without a score, where the run may stop early.
	byRow map[int64]float64
}

// scoredRow is what a summary reads of a Score.
type scoredRow struct {
	Row    int64                  `parquet:"row"`
	Epoch  int32                  `parquet:"epoch"`
	Model  string                 `parquet:"model,dict"`
	Scorer string                 `parquet:"scorer,dict"`
	Value  *float64               `parquet:"value,optional"`
	Status nightshift.ScoreStatus `parquet:"status,dict"`
}

func (t *scoreTally) add(s *scoredRow) {
	if s.Row != t.row {
		t.flush()
		t.row = s.Row
	}
	t.Answers++
	t.epochs = max(t.epochs, int(s.Epoch)+1)
	switch s.Status {
	case nightshift.Scored:
		t.Scored++
	case nightshift.NoAnswer:
		t.NoAnswer++
	case nightshift.Unscored:
		t.Unscored++
	case nightshift.NotRun:
		t.Errors++
	}
	if s.Value != nil && !math.IsNaN(*s.Value) {
		t.sum += *s.Value
		t.n++
	}
}

func (t *scoreTally) flush() {
	if t.byRow != nil && t.row >= 0 {
		t.byRow[t.row] = t.sum / float64(t.n) // 0/0 is NaN
	}
	if t.n > 0 {
		t.values = append(t.values, t.sum/float64(t.n))
		if t.label != nil {
			t.clusters = append(t.clusters, t.label(t.row))
		}
	}
	t.sum, t.n, t.row = 0, 0, -1
}

// close makes the summary.
func (t *scoreTally) close(order *scoring.Order) scoreSummary {
	t.flush()
	s := t.scoreSummary
	if order != nil {
		return t.sequential(*order)
	}
	s.Items = int64(len(t.values))
	if s.Items == 0 {
		return s
	}
	e, err := stats.Score(t.values, stats.Options{Epochs: t.epochs, Clusters: t.clusters})
	if err != nil {
		return s
	}
	s.Mean, s.Lower, s.Upper = known(e.Mean), known(e.Lower), known(e.Upper)
	return s
}

// sequential makes the summary of a run that may stop early.
func (t *scoreTally) sequential(order scoring.Order) scoreSummary {
	s := t.scoreSummary
	s.Method = "confidence sequence"
	q, ok := order.Sequence(t.byRow)
	if s.Items = int64(q.N()); !ok || s.Items == 0 {
		return s
	}
	v := q.Interval(0.05)
	s.Mean, s.Lower, s.Upper = known(q.Mean()), known(v.Lower), known(v.Upper)
	return s
}

// known is nil where there is no number.
func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// scoreSummaries reads the score tables of a run.
func scoreSummaries(dir string, models []string) ([]scoreSummary, error) {
	sent, err := scoring.ReadOrder(dir)
	if err != nil {
		return nil, err
	}
	tallies := map[[2]string]*scoreTally{}
	var order [][2]string
	var label func(row int64) int32
	var t *scoreTally // of the score before
	for s, err := range view.AllScores[scoredRow](dir) {
		if err != nil {
			return nil, err
		}
		if t == nil || t.Model != s.Model || t.Scorer != s.Scorer {
			key := [2]string{s.Scorer, s.Model}
			if len(order) == 0 {
				if label, err = compare.DependentRows(dir); err != nil {
					return nil, err
				}
			}
			if t = tallies[key]; t == nil {
				t = &scoreTally{scoreSummary: scoreSummary{Model: s.Model, Scorer: s.Scorer}, row: -1, label: label}
				if sent != nil {
					t.byRow = map[int64]float64{}
				}
				tallies[key] = t
				order = append(order, key)
			}
		}
		t.add(&s)
	}
	slices.SortStableFunc(order, func(a, b [2]string) int {
		if a[0] != b[0] {
			return 0 // scorers in the order of their tables
		}
		return slices.Index(models, a[1]) - slices.Index(models, b[1])
	})
	if len(order) == 0 {
		return nil, nil
	}
	kinds, err := scorerTypes(dir)
	if err != nil {
		return nil, err
	}
	if sent != nil {
		fillRows(tallies)
	}
	var all []scoreSummary
	for _, key := range order {
		t := tallies[key]
		if kinds[key[0]] == compare.Pairwise {
			t.epochs *= 2 // a verdict is a win, half of one or none: two answers
		}
		all = append(all, t.close(sent))
	}
	return all, nil
}

// fillRows gives each scorer of a model the rows that only others of the model score, those of other datasets,
// as rows without a score.
func fillRows(tallies map[[2]string]*scoreTally) {
	rows := map[string]map[int64]bool{}
	for _, t := range tallies {
		t.flush()
		if rows[t.Model] == nil {
			rows[t.Model] = map[int64]bool{}
		}
		for row := range t.byRow {
			rows[t.Model][row] = true
		}
	}
	for _, t := range tallies {
		for row := range rows[t.Model] {
			if _, scored := t.byRow[row]; !scored {
				t.byRow[row] = math.NaN()
			}
		}
	}
}

// scorerTypes are the types of a run's scorers by name.
func scorerTypes(dir string) (map[string]string, error) {
	e, err := scoring.ReadEvaluation(dir)
	types := map[string]string{}
	for _, s := range e.Scorers {
		types[s.Name] = s.Type
	}
	return types, err
}
