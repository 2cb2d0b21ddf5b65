package compare

import (
	"encoding/json"
	"errors"
	"math"
	"slices"

	"nightshift"
	"nightshift/reports/render"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/store/view"
)

// A preference is what one pairwise judge says.
type preference struct {
	scoring.Described
	Pairs []preferredPair `json:"pairs"`
	// Ratings place three or more models on one scale; nil for two, or when
	// they never match.
	Ratings  []modelRating `json:"ratings,omitempty"`
	Smoothed bool          `json:"smoothed,omitempty"` // some model never won or never lost
	Note     string        `json:"note,omitempty"`
}

// A preferredPair is one model against another, by item.
type preferredPair struct {
	Label    string    `json:"label"`
	Against  string    `json:"against"`
	N        int       `json:"n"`
	Unscored int       `json:"unscored"`
	Bounds   *interval `json:"bounds,omitempty"` // what unread verdicts leave possible; only where there are any
	WinRate  *float64  `json:"win_rate"`         // a tie counts half
	SE       *float64  `json:"se"`
	Interval *interval `json:"interval"`
	P        *float64  `json:"p"`
	Adjusted *float64  `json:"p_adjusted"`
	Win      int       `json:"win"`
	Tie      int       `json:"tie"`
	Loss     int       `json:"loss"`
	Verdict  verdict   `json:"verdict"`
	Why      string    `json:"why"`
	Note     string    `json:"note,omitempty"`

	// readings are as it is and, where verdicts are missing, with all of them
	// against and for the model.
	readings []preferenceReading
}

// A preferenceReading is a win rate with its uncertainty.
type preferenceReading struct {
	n        int
	rate, p  float64
	interval stats.Interval
	verdict  verdict
}

// A modelRating is a model's place on a Bradley-Terry scale with mean 1000.
type modelRating struct {
	Label    string    `json:"label"`
	Rating   float64   `json:"rating"`
	Interval *interval `json:"interval"`
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
		if d.Type != Pairwise {
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
			c.JudgeCost = &money{}
		}
		c.JudgeCost.add(j.CostNanoUSD, j.CostUnknown > 0)
	}
	return nil
}

// A pairing is all that a judge said of two models: by item, what the first
// took from the second, how many verdicts were read and how many were not.
type pairing struct {
	a, b         int // columns
	points       []float64
	read, unread []int
	unscored     int
}

// values are the means over epochs by item, with fill for each verdict that
// could not be read; NaN leaves them out.
func (match *pairing) values(fill float64) []float64 {
	means := make([]float64, len(match.points))
	for i, points := range match.points {
		n := match.read[i]
		if !math.IsNaN(fill) {
			points, n = points+fill*float64(match.unread[i]), n+match.unread[i]
		}
		means[i] = points / float64(n) // 0/0 is NaN: not judged
	}
	return means
}

func (m *matrix) preference(c *Comparison, d scoring.Described) (*preference, error) {
	p := &preference{Described: d}
	pairings, err := m.pairings(d)
	if err != nil {
		return nil, err
	}
	if err := m.weigh(p, pairings, c.Alpha); err != nil {
		return nil, err
	}
	return p, m.rate(p, pairings)
}

// weigh adds the win rates of all pairings, with p values adjusted for all of
// them.
func (m *matrix) weigh(p *preference, pairings []*pairing, alpha float64) error {
	var ps []float64
	for _, match := range pairings {
		pair, err := m.preferred(match)
		if err != nil {
			return err
		}
		p.Pairs, ps = append(p.Pairs, pair), append(ps, pair.readings[0].p)
	}
	for i, adjusted := range stats.Holm(ps) {
		pair := &p.Pairs[i]
		pair.Adjusted = stats.Defined(adjusted)
		for k := range pair.readings {
			one := &pair.readings[k]
			family := slices.Clone(ps)
			family[i] = one.p
			one.verdict = verdictOf(one.rate-0.5, stats.Holm(family)[i], alpha)
		}
		pair.decide()
	}
	return nil
}

// pairings reads a table of preferences.
func (m *matrix) pairings(d scoring.Described) ([]*pairing, error) {
	var order []*pairing
	for _, r := range m.runs {
		columns := map[string]int{}
		for _, c := range m.columns {
			if c.run == r {
				columns[c.Model] = c.index
			}
		}
		found := map[[2]int]*pairing{}
		against, params := "", ""
		for s, err := range view.ScoreRows[preferenceRow](r.dir, d.Table()) {
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
			match := found[[2]int{a, b}]
			if match == nil {
				match = &pairing{a: a, b: b, points: make([]float64, m.items), read: make([]int, m.items),
					unread: make([]int, m.items)}
				found[[2]int{a, b}] = match
				order = append(order, match)
			}
			item := r.items[at]
			if m.columns[a].outside(int(item)) || m.columns[b].outside(int(item)) {
				continue
			}
			if s.Value == nil {
				match.unscored++
				match.unread[item]++
				continue
			}
			match.points[item] += *s.Value
			match.read[item]++
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
func (m *matrix) preferred(match *pairing) (preferredPair, error) {
	p := preferredPair{Label: m.columns[match.a].Label, Against: m.columns[match.b].Label, Unscored: match.unscored}
	fills := []float64{math.NaN()}
	if match.unscored > 0 {
		fills = append(fills, 0, 1)
	}
	for _, fill := range fills {
		e, s, err := m.againstEven(match.values(fill))
		if err != nil {
			return p, err
		}
		p.readings = append(p.readings, preferenceReading{n: e.N, rate: e.Mean, p: s.P, interval: e.Interval})
		if math.IsNaN(fill) {
			p.N, p.WinRate, p.SE, p.P, p.Interval = e.N, stats.Defined(e.Mean), stats.Defined(e.SE), stats.Defined(s.P),
				rangeOf(e.Interval)
			p.Win, p.Tie, p.Loss = s.Win, s.Tie, s.Loss
		}
	}
	if len(fills) > 1 {
		p.Bounds = rangeOf(stats.Interval{Lower: p.readings[1].rate, Upper: p.readings[2].rate})
	}
	return p, nil
}

// againstEven is the interval of a win rate and the test of it against one
// half. A point is a win, half a win or none: two answers to an item.
func (m *matrix) againstEven(values []float64) (stats.Estimate, stats.Paired, error) {
	even := make([]float64, len(values))
	for i := range even {
		even[i] = 0.5
	}
	opt := m.statsOptions(2 * m.epochs())
	e, err := m.estimate(values, opt.Epochs)
	if err != nil {
		return e, stats.Paired{}, err
	}
	s, err := stats.Compare(values, even, opt)
	if err == nil && m.arrival != nil {
		s.P = m.arrival.p(values, 0.5)
	}
	return e, s, err
}

func (m *matrix) epochs() int {
	most := 1
	for _, c := range m.columns {
		most = max(most, c.epochs)
	}
	return most
}

// unreadMatters reports whether more verdicts are missing than may be.
func (p *preferredPair) unreadMatters() bool {
	return float64(p.Unscored) > coverageGap*float64(p.Unscored+p.Win+p.Tie+p.Loss)
}

// judged are the readings that count: as it is, and where many verdicts could
// not be read also with those for and against the model. A judge may well fail
// on just the answers that would have lost.
func (p *preferredPair) judged() []preferenceReading {
	if p.unreadMatters() {
		return p.readings
	}
	return p.readings[:1]
}

func (p *preferredPair) decide() {
	if p.N == 0 || p.WinRate == nil {
		p.Verdict, p.Why = withheld, "cannot tell: no pair was judged"
		return
	}
	p.Verdict = p.readings[0].verdict
	for _, r := range p.judged() {
		if r.verdict != p.Verdict {
			p.Why = sprintf("cannot tell: %s verdicts could not be read, with which the win rate lies in %s",
				render.Count(int64(p.Unscored)), p.Bounds.percents())
			p.Verdict = withheld
			return
		}
	}
	switch p.Verdict {
	case better:
		p.Why = sprintf("preferred to %s", p.Against)
	case worse:
		p.Why = sprintf("%s is preferred", p.Against)
	default:
		p.Why = sprintf("no preference shown (%s pairs)", render.Count(int64(p.N)))
		if p.Interval != nil && (p.Interval.Lower > 0.5 || p.Interval.Upper < 0.5) {
			p.Note = "the interval excludes 50 % but no preference is shown: interval and test are different " +
				"methods, and the verdict goes by the test"
		}
	}
}

// gate judges a win rate by its interval, or by itself for point_win_rate.
func (p *preferredPair) gate(g gate) (outcome, string) {
	var holds []bool
	for _, r := range p.judged() {
		v := r.rate
		if g.name == "win_rate" {
			v, _ = g.end(interval(r.interval))
		}
		holds = append(holds, g.holds(v))
	}
	text := sprintf("wins %s against %s", asPercent(*p.WinRate), p.Against)
	if g.name == "win_rate" && p.Interval != nil {
		end, name := g.end(*p.Interval)
		text += sprintf(", %s end of the interval %s", name, asPercent(end))
	}
	o := agreed(holds)
	if o == cannotTell {
		text += sprintf("; %s verdicts could not be read, which could decide it", render.Count(int64(p.Unscored)))
	}
	return o, text
}

// rate places three or more models on one scale.
func (m *matrix) rate(p *preference, pairings []*pairing) error {
	var players []int
	for _, match := range pairings {
		players = append(players, match.a, match.b)
	}
	slices.Sort(players)
	players = slices.Compact(players)
	if len(players) < 3 {
		return nil
	}
	var games []stats.Game
	for _, match := range pairings {
		a, b := slices.Index(players, match.a), slices.Index(players, match.b)
		for item, v := range match.values(math.NaN()) {
			if !math.IsNaN(v) {
				games = append(games, stats.Game{A: a, B: b, Points: v, Prompt: m.promptOf(item)})
			}
		}
	}
	ratings, err := stats.BradleyTerry(len(players), games, m.bootstrap(len(players)*len(players)*len(pairings)))
	if errors.Is(err, stats.ErrUnconnected) {
		p.Note = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	p.Smoothed = ratings.Smoothed
	for i, player := range players {
		if m.arrival != nil { // there is no confidence sequence of ratings
			ratings.Ranges[i] = stats.Interval{Lower: math.NaN(), Upper: math.NaN()}
		}
		p.Ratings = append(p.Ratings, modelRating{m.columns[player].Label, ratings.Ratings[i],
			rangeOf(ratings.Ranges[i])})
	}
	slices.SortStableFunc(p.Ratings, func(a, b modelRating) int {
		if a.Rating > b.Rating {
			return -1
		}
		return 1
	})
	if p.Smoothed {
		p.Note = "some model won or lost everything: half a win each way was added to every pair that match"
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
