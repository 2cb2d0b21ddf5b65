package reports

import (
	"encoding/json"
	"errors"
	"math"
	"slices"

	"nightshift"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/store"
)

// A Preference is what one pairwise judge says.
type Preference struct {
	scoring.Described
	Pairs []PreferredPair `json:"pairs"`
	// Ratings place three or more models on one scale; nil for two, or when
	// they never met.
	Ratings  []ModelRating `json:"ratings,omitempty"`
	Smoothed bool          `json:"smoothed,omitempty"` // some model never won or never lost
	Note     string        `json:"note,omitempty"`
}

// A PreferredPair is one model against another, by item.
type PreferredPair struct {
	Label    string   `json:"label"`
	Against  string   `json:"against"`
	N        int      `json:"n"`
	Unscored int      `json:"unscored"`
	WinRate  *float64 `json:"win_rate"` // a tie counts half
	SE       *float64 `json:"se"`
	Interval *Range   `json:"interval"`
	P        *float64 `json:"p"`
	Adjusted *float64 `json:"p_adjusted"`
	Win      int      `json:"win"`
	Tie      int      `json:"tie"`
	Loss     int      `json:"loss"`
	Verdict  Verdict  `json:"verdict"`
	Why      string   `json:"why"`
}

// A ModelRating is a model's place on a Bradley-Terry scale with mean 1000.
type ModelRating struct {
	Label    string  `json:"label"`
	Rating   float64 `json:"rating"`
	Interval *Range  `json:"interval"`
}

type preferenceRow struct {
	Row    int64                  `parquet:"row"`
	Epoch  int32                  `parquet:"epoch"`
	Model  string                 `parquet:"model,dict"`
	Value  *float64               `parquet:"value,optional"`
	Status nightshift.ScoreStatus `parquet:"status,dict"`
	Params string                 `parquet:"params,dict"`
}

// preferences adds what pairwise judges say, and what is known of all judges.
func (m *matrix) preferences(c *Comparison) error {
	for _, d := range m.scorers {
		if d.Type != pairwise {
			continue
		}
		p, err := m.preference(c, d)
		if err != nil {
			return err
		}
		c.Preferences = append(c.Preferences, *p)
	}
	for _, r := range m.runs {
		judges, err := scoring.ReadJudges(r.dir)
		if err != nil {
			return err
		}
		c.Judges = append(c.Judges, judges...)
	}
	for _, j := range c.Judges {
		if c.JudgeCost == nil {
			c.JudgeCost = &Money{}
		}
		c.JudgeCost.add(j.CostNanoUSD, j.CostUnknown > 0)
	}
	return nil
}

// A meeting is all that a judge said of two models: by item, the mean over
// epochs of what the first took from the second.
type meeting struct {
	a, b     int // columns
	values   []float64
	unscored int
}

func (m *matrix) preference(c *Comparison, d scoring.Described) (*Preference, error) {
	p := &Preference{Described: d}
	meetings, err := m.meetings(d)
	if err != nil {
		return nil, err
	}
	var ps []float64
	for _, met := range meetings {
		pair, raw, err := m.preferred(met)
		if err != nil {
			return nil, err
		}
		p.Pairs, ps = append(p.Pairs, pair), append(ps, raw)
	}
	for i, adjusted := range stats.Holm(ps) {
		p.Pairs[i].Adjusted = defined(adjusted)
		p.Pairs[i].decide(c.Alpha)
	}
	return p, m.rate(p, meetings)
}

// meetings reads a table of preferences.
func (m *matrix) meetings(d scoring.Described) ([]*meeting, error) {
	var order []*meeting
	for _, r := range m.runs {
		columns := map[string]int{}
		for _, c := range m.columns {
			if c.run == r {
				columns[c.Model] = c.index
			}
		}
		found := map[[2]int]*meeting{}
		sums := map[*meeting][]int{}
		against, params := "", ""
		for s, err := range store.ScoreRows[preferenceRow](r.dir, d.Table()) {
			if err != nil {
				return nil, err
			}
			if s.Params != params {
				params, against = s.Params, opponent(s.Params)
			}
			a, known := columns[s.Model]
			b, knownToo := columns[against]
			at, there := r.table.find(s.Row, -1)
			if !known || !knownToo || !there {
				continue
			}
			met := found[[2]int{a, b}]
			if met == nil {
				met = &meeting{a: a, b: b, values: make([]float64, len(m.keys))}
				found[[2]int{a, b}], sums[met] = met, make([]int, len(m.keys))
				order = append(order, met)
			}
			if s.Value == nil {
				met.unscored++
				continue
			}
			item := r.items[at]
			met.values[item] += *s.Value
			sums[met][item]++
		}
		for met, n := range sums {
			for i := range met.values {
				met.values[i] /= float64(n[i]) // 0/0 is NaN: not judged
			}
		}
	}
	return order, nil
}

// opponent reads the other model of a pair from the parameters of its scores.
func opponent(params string) string {
	var p struct {
		Against string `json:"against"`
	}
	if json.Unmarshal([]byte(params), &p) != nil {
		return ""
	}
	return p.Against
}

// preferred compares what the first of two models took with an even split.
func (m *matrix) preferred(met *meeting) (PreferredPair, float64, error) {
	even := make([]float64, len(met.values))
	for i := range even {
		even[i] = 0.5
	}
	s, err := stats.Compare(met.values, even, m.statsOptions(2)) // never 0 or 1 alone: t and sign flips
	if err != nil {
		return PreferredPair{}, 0, err
	}
	p := PreferredPair{
		Label: m.columns[met.a].Label, Against: m.columns[met.b].Label, N: s.N, Unscored: met.unscored,
		WinRate: defined(s.MeanA), SE: defined(s.SE), P: defined(s.P), Win: s.Win, Tie: s.Tie, Loss: s.Loss,
	}
	if r := rangeOf(s.Interval); r != nil {
		p.Interval = &Range{math.Max(0, r.Lower+0.5), math.Min(1, r.Upper+0.5)}
	}
	return p, s.P, nil
}

func (p *PreferredPair) decide(alpha float64) {
	switch {
	case p.N == 0 || p.WinRate == nil:
		p.Verdict, p.Why = Withheld, "no verdict: no pair was judged"
	case p.Adjusted != nil && *p.Adjusted < alpha && *p.WinRate > 0.5:
		p.Verdict, p.Why = Better, sprintf("preferred to %s", p.Against)
	case p.Adjusted != nil && *p.Adjusted < alpha && *p.WinRate < 0.5:
		p.Verdict, p.Why = Worse, sprintf("%s is preferred", p.Against)
	default:
		p.Verdict, p.Why = NotShown, sprintf("no preference shown (%s pairs)", count(int64(p.N)))
	}
}

// rate places three or more models on one scale.
func (m *matrix) rate(p *Preference, meetings []*meeting) error {
	var players []int
	for _, met := range meetings {
		players = append(players, met.a, met.b)
	}
	slices.Sort(players)
	players = slices.Compact(players)
	if len(players) < 3 {
		return nil
	}
	var games []stats.Game
	for _, met := range meetings {
		a, b := slices.Index(players, met.a), slices.Index(players, met.b)
		for item, v := range met.values {
			if !math.IsNaN(v) {
				games = append(games, stats.Game{A: a, B: b, Points: v, Prompt: m.promptOf(item)})
			}
		}
	}
	ratings, err := stats.BradleyTerry(len(players), games, m.bootstrap(len(players)*len(players)*len(meetings)))
	if errors.Is(err, stats.ErrUnconnected) {
		p.Note = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	p.Smoothed = ratings.Smoothed
	for i, player := range players {
		p.Ratings = append(p.Ratings, ModelRating{m.columns[player].Label, ratings.Ratings[i], rangeOf(ratings.Ranges[i])})
	}
	slices.SortStableFunc(p.Ratings, func(a, b ModelRating) int {
		if a.Rating > b.Rating {
			return -1
		}
		return 1
	})
	if p.Smoothed {
		p.Note = "some model won or lost everything: half a win each way was added to every pair that met"
	}
	return nil
}

// promptOf labels an item with its cluster, or by itself.
func (m *matrix) promptOf(item int) int32 {
	if m.labels != nil {
		return m.labels[item]
	}
	return int32(item)
}
