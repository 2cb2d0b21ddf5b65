package compare

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshift/internal/words"
	"nightshift/reports/render"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/store/view"
)

// HistoryOptions say of which runs the history is. Only Runs must be given.
type HistoryOptions struct {
	Runs []string // run directories, in any order
	// Names are what people call runs, by their directory, where that is another.
	Names   map[string]string
	Last    int      // only so many of the newest runs; 0 is all
	Scorer  string   // default: the newest run's headline
	Models  []string // names of models; nil is all
	Alpha   float64  // level of significance; default the newest plan's, else 0.05
	AnyData bool     // take runs of other datasets too, and pair their rows by id

	ErrorsAsZero, AnyPrompts bool // as in [Options]
}

// A History is how models did in many runs of one dataset, and how the newest
// run differs from each earlier one. Its tests are one family. Text, Markdown,
// HTML and JSON are renderings of it.
type History struct {
	Created time.Time         `json:"created_at"`
	Scorer  scoring.Described `json:"scorer"`
	Alpha   float64           `json:"alpha"`
	Runs    []pastRun         `json:"runs"` // the newest last
	// Leaders has each model once, as it did in the newest run that has it, the best
	// score first.
	Leaders []leader  `json:"leaderboard"`
	Changes []change  `json:"changes"` // of the newest run, against the run before it first
	LeftOut []leftOut `json:"left_out,omitempty"`

	other string // name of the scorer in runs that have it by another
	// scorers are what the average over several datasets is made of, and average what it weighs
	// them by; without one both are empty.
	scorers []string
	average string
}

// A pastRun is one run of a History.
type pastRun struct {
	runFacts
	Label  string      `json:"label"`            // unique: its name, or its directory where two have one name
	Report string      `json:"report,omitempty"` // path of its report.html, where there is one
	Models []pastModel `json:"models"`
}

// A pastModel is one model of a run, by the scorer that the history is about.
type pastModel struct {
	comparedModel
	Score modelScore `json:"score"`
	// Datasets are what an average over several is made of.
	Datasets []datasetScore `json:"datasets,omitempty"`
}

// A datasetScore is how a model did on one of several datasets.
type datasetScore struct {
	Dataset string     `json:"dataset"`
	Scorer  string     `json:"scorer"`
	Score   modelScore `json:"score"`
}

// A leader is a line of the leaderboard.
type leader struct {
	Model string `json:"model"`
	Run   string `json:"run"` // label

	of *pastModel
	at *time.Time
}

// A change is the newest run against an earlier one. Deltas name models, and the
// earlier run as what they are against.
type change struct {
	Run    string  `json:"run"`     // label of the newest
	Since  string  `json:"against"` // label of the earlier one
	Deltas []delta `json:"deltas"`
	// Datasets have the differences that those of an average are made of, in the same order.
	Datasets []datasetChange `json:"datasets,omitempty"`
}

// A datasetChange is a change on one of several datasets.
type datasetChange struct {
	Dataset string  `json:"dataset"`
	Scorer  string  `json:"scorer"`
	Deltas  []delta `json:"deltas"`
}

// A leftOut is a run that is not shown, and why.
type leftOut struct {
	Run       string `json:"run"` // directory
	Why       string `json:"why"`
	otherData int64  // rows of its dataset, where that is why; else -1
}

// A candidate is a run that may be part of a history.
type candidate struct {
	*comparedRun
	began time.Time
}

// NewHistory reads the runs. It reads files only. An [*IncomparableError] says that
// there is nothing to show.
func NewHistory(o HistoryOptions) (*History, error) {
	h := &History{Created: time.Now().UTC().Truncate(time.Second), Changes: []change{}}
	runs, err := h.candidates(o)
	if err != nil {
		return nil, err
	}
	newest := runs[len(runs)-1]
	if err := h.chooseScorer(newest, o.Scorer); err != nil {
		return nil, err
	}
	runs = h.ofOneDataset(runs, o)
	last, err := h.past(newest, o)
	if err != nil {
		return nil, err
	}
	for _, r := range runs[:len(runs)-1] {
		if err := h.add(r, newest, last, o); err != nil {
			if err := h.leave(r.called, err); err != nil {
				return nil, err
			}
		}
	}
	h.Runs = append(h.Runs, *last)
	h.label()
	h.lead()
	return h, nil
}

// options are those of a comparison by the history's scorer.
func (h *History) options(o HistoryOptions, runs ...string) Options {
	names := h.scorers
	if names == nil {
		names = []string{h.Scorer.Name}
	}
	if h.other != "" {
		names = []string{h.Scorer.Name + "=" + h.other}
	}
	return Options{Runs: runs, Names: o.Names, Scorers: names, Average: h.average, Models: o.Models, Alpha: o.Alpha,
		ErrorsAsZero: o.ErrorsAsZero, AnyPrompts: o.AnyPrompts, Disagreements: -1}
}

// candidates opens the runs that have scores, the newest last.
func (h *History) candidates(o HistoryOptions) ([]candidate, error) {
	var runs []candidate
	for _, dir := range o.Runs {
		c, err := openCandidate(dir, o.Names)
		if err != nil {
			if err := h.leave(cmp.Or(o.Names[dir], dir), err); err != nil {
				return nil, err
			}
			continue
		}
		runs = append(runs, c)
	}
	if len(runs) == 0 {
		return nil, incomparable("there is no run with scores%s", h.reasons())
	}
	slices.SortStableFunc(runs, func(a, b candidate) int {
		return cmp.Or(a.began.Compare(b.began), a.info.CreatedAt.Compare(b.info.CreatedAt), cmp.Compare(a.dir, b.dir))
	})
	return runs, nil
}

// reasons are why runs were left out, a line each.
func (h *History) reasons() string {
	text := ""
	for _, l := range h.LeftOut {
		text += "\n" + l.Run + ": " + l.Why
	}
	return text
}

// openCandidate opens a run that has scores.
func openCandidate(dir string, names map[string]string) (candidate, error) {
	r, err := openCompared(dir, names)
	if err != nil {
		return candidate{}, err
	}
	if headlineOf(r.evaluation) == nil {
		return candidate{}, incomparable("it has no scores; nightshift score %s --scorer … does", r.called)
	}
	began, err := r.began()
	return candidate{r, began}, err
}

// headlineOf is the first scorer that gives scores; nil where there is none.
func headlineOf(e scoring.Evaluation) *scoring.Described {
	for _, s := range e.Scorers {
		if s.Type != Pairwise {
			return &s
		}
	}
	return nil
}

// began is when the first request of the run was sent; where no record says so,
// when the run was made.
func (r *comparedRun) began() (time.Time, error) {
	type startRow struct {
		Started *time.Time `parquet:"started_at,optional,timestamp(microsecond)"`
	}
	var first *time.Time
	for row, err := range view.Rows[startRow](r.dir, view.ReadOptions{}) {
		if err != nil {
			return time.Time{}, err
		}
		first = view.Earlier(first, row.Started)
	}
	if first == nil {
		return r.info.CreatedAt, nil
	}
	return *first, nil
}

// leave takes note of a run that is not shown. What is wrong with the disk, and not
// with the run, is an error.
func (h *History) leave(dir string, why error) error {
	var unfit *IncomparableError
	var damaged *view.DamageError
	if !errors.As(why, &unfit) && !errors.As(why, &damaged) && !errors.Is(why, fs.ErrNotExist) {
		return why
	}
	h.LeftOut = append(h.LeftOut, leftOut{dir, why.Error(), -1})
	return nil
}

// chooseScorer finds what the history goes by: of a run of several datasets the average over them.
func (h *History) chooseScorer(newest candidate, name string) error {
	h.Scorer = *headlineOf(newest.evaluation)
	if name == "" || name == scorers.Average {
		h.scorers = newest.averagedBy()
	}
	switch {
	case h.scorers != nil:
		h.average = cmp.Or(newest.evaluation.Average, byDatasets)
		return nil
	case name == "":
		return nil
	case name == scorers.Average:
		return incomparable("there is no average: the newest run, %s, has not several datasets with scores", newest.called)
	}
	name, h.other, _ = strings.Cut(name, "=")
	i := slices.IndexFunc(newest.evaluation.Scorers, func(d scoring.Described) bool {
		return d.Name == name && d.Type != Pairwise
	})
	if i < 0 {
		return incomparable("scorer %s has not scored the newest run, %s; nightshift score %[2]s --scorer … does", name,
			newest.called)
	}
	h.Scorer = newest.evaluation.Scorers[i]
	return nil
}

// ofOneDataset keeps the runs of the newest run's dataset, and of them the last ones.
func (h *History) ofOneDataset(runs []candidate, o HistoryOptions) []candidate {
	newest := runs[len(runs)-1].info
	runs = slices.DeleteFunc(runs, func(r candidate) bool {
		other := r.info.DatasetHash != newest.DatasetHash && !o.AnyData
		if other {
			h.LeftOut = append(h.LeftOut, leftOut{r.called, sprintf("it is of another dataset (%s rows, %.12s) than the "+
				"newest run (%s rows, %.12s); --any-dataset pairs rows by id", render.Count(r.info.DatasetRows),
				r.info.DatasetHash, render.Count(newest.DatasetRows), newest.DatasetHash),
				r.info.DatasetRows})
		}
		return other
	})
	if o.Last > 0 && len(runs) > o.Last {
		for _, r := range runs[:len(runs)-o.Last] {
			h.LeftOut = append(h.LeftOut, leftOut{r.called, sprintf("only the last %d runs were asked for", o.Last), -1})
		}
		runs = runs[len(runs)-o.Last:]
	}
	return runs
}

// add adds an earlier run, and how the newest differs from it.
func (h *History) add(r, newest candidate, last *pastRun, o HistoryOptions) error {
	past, err := h.past(r, o)
	if err != nil {
		return err
	}
	if a, b := past.parts(), last.parts(); !slices.Equal(a, b) {
		return incomparable("its average is over %s, that of the newest run over %s", join(a, ", "), join(b, ", "))
	}
	one, err := h.against(newest, r, o)
	if err != nil {
		return err
	}
	h.Runs, h.Changes = append(h.Runs, *past), append(h.Changes, one)
	return nil
}

// against compares the newest run's models with themselves in an earlier run.
func (h *History) against(newest, earlier candidate, o HistoryOptions) (one change, err error) {
	options := h.options(o, newest.dir)
	options.BaselineRun = earlier.dir
	m, err := loadMatrix(options)
	if err != nil {
		return one, err
	}
	c := m.comparison()
	if err := m.evaluate(c); err != nil {
		return one, err
	}
	if err := m.describeItems(c); err != nil {
		return one, err
	}
	own := func(deltas []delta) []delta {
		for i := range deltas {
			at := slices.IndexFunc(c.Models, func(m comparedModel) bool { return m.Label == deltas[i].Label })
			deltas[i].Label = c.Models[at].Model
		}
		return deltas
	}
	h.Alpha, one.Deltas = c.Alpha, own(c.Scorers[0].Deltas)
	for _, r := range c.averaged() {
		one.Datasets = append(one.Datasets, datasetChange{r.Dataset, r.scored.Name, own(r.Deltas)})
		if slices.ContainsFunc(r.Deltas, func(d delta) bool { return d.N == 0 }) {
			return one, incomparable("no row of dataset %s has a score in both runs", r.Dataset)
		}
	}
	return one, nil
}

// past is what the run says by itself.
func (h *History) past(r candidate, o HistoryOptions) (*pastRun, error) {
	m, err := loadMatrix(h.options(o, r.dir))
	if err != nil {
		return nil, err
	}
	c := m.comparison()
	if err := m.evaluate(c); err != nil {
		return nil, err
	}
	past := &pastRun{runFacts: c.Runs[0]}
	past.Started = &r.began
	h.Alpha = c.Alpha
	if report := filepath.Join(r.dir, "report.html"); isFile(report) {
		past.Report = strings.TrimRight(filepath.ToSlash(r.called), "/") + "/report.html"
	}
	for i, model := range c.Models {
		one := pastModel{comparedModel: model, Score: c.Scorers[0].Models[i]}
		for _, r := range c.averaged() {
			one.Datasets = append(one.Datasets, datasetScore{r.Dataset, r.scored.Name, r.Models[i]})
		}
		past.Models = append(past.Models, one)
	}
	if h.scorers != nil {
		h.Scorer = c.Scorers[0].Described
	}
	return past, nil
}

// parts name what the average of the run is made of: DATASET/SCORER.
func (r *pastRun) parts() (names []string) {
	for _, m := range r.Models[:min(1, len(r.Models))] {
		for _, d := range m.Datasets {
			names = append(names, d.Dataset+"/"+d.Scorer)
		}
	}
	slices.Sort(names)
	return names
}

func isFile(path string) bool {
	s, err := os.Stat(path)
	return err == nil && s.Mode().IsRegular()
}

// label names runs, and decides all differences as one family; those on the datasets of an average
// are another.
func (h *History) label() {
	seen := map[string]int{}
	for _, r := range h.Runs {
		seen[r.Name]++
	}
	for i := range h.Runs {
		r := &h.Runs[i]
		if r.Label = r.Name; seen[r.Name] > 1 {
			r.Label = filepath.ToSlash(r.Dir)
		}
	}
	var family, parts []*delta
	newest := h.newest().Label
	for i := range h.Changes {
		c := &h.Changes[i]
		c.Run, c.Since = newest, h.Runs[i].Label
		for k := range c.Deltas {
			c.Deltas[k].Against = c.Since
			family = append(family, &c.Deltas[k])
		}
		for _, d := range c.Datasets {
			for k := range d.Deltas {
				d.Deltas[k].Against = c.Since
				parts = append(parts, &d.Deltas[k])
			}
		}
	}
	decideTogether(family, h.Alpha)
	decideTogether(parts, h.Alpha)
	slices.Reverse(h.Changes)
}

func (h *History) newest() *pastRun { return &h.Runs[len(h.Runs)-1] }

// lead makes the leaderboard.
func (h *History) lead() {
	for i := range slices.Backward(h.Runs) {
		r := &h.Runs[i]
		for k := range r.Models {
			m := &r.Models[k]
			if !slices.ContainsFunc(h.Leaders, func(l leader) bool { return l.Model == m.Model }) {
				h.Leaders = append(h.Leaders, leader{m.Model, r.Label, m, r.Started})
			}
		}
	}
	slices.SortStableFunc(h.Leaders, func(a, b leader) int {
		return cmp.Compare(orLowest(b.of.Score.Mean), orLowest(a.of.Score.Mean))
	})
}

// orLowest puts what has no score last.
func orLowest(mean *float64) float64 {
	if mean == nil {
		return -1
	}
	return *mean
}

// MarshalJSON adds the figures of the line.
func (l leader) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Model    string     `json:"model"`
		Run      string     `json:"run"`
		Began    *time.Time `json:"started_at"`
		Mean     *float64   `json:"mean"`
		Interval *interval  `json:"interval"`
		Method   string     `json:"method"` // of the interval
		N        int        `json:"n"`
		Per1000  *float64   `json:"usd_per_1000"`

		SE       *float64       `json:"se"`
		Datasets []datasetScore `json:"datasets,omitempty"`
	}{l.Model, l.Run, l.at, l.of.Score.Mean, l.of.Score.Interval, l.of.Score.Method, l.of.Score.N, l.of.Per1000,
		l.of.Score.SE, l.of.Datasets})
}

// models are the names of all models, those of the newest run first.
func (h *History) models() (names []string) {
	for _, r := range slices.Backward(h.Runs) {
		for _, m := range r.Models {
			if !slices.Contains(names, m.Model) {
				names = append(names, m.Model)
			}
		}
	}
	return names
}

// model is how one model did in a run; nil where it had no part.
func (r *pastRun) model(name string) *pastModel {
	i := slices.IndexFunc(r.Models, func(m pastModel) bool { return m.Model == name })
	if i < 0 {
		return nil
	}
	return &r.Models[i]
}

// when writes a time for a table.
func when(t *time.Time) string {
	if t == nil {
		return render.Unknown
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// headline says in a sentence of what the history is.
func (h *History) headline() string {
	by := h.Scorer.Name
	if h.scorers != nil {
		by = averageName(h.Scorer)
	}
	s := sprintf("%s by %s", words.Counted(int64(len(h.Runs)), "run"), by)
	if n := len(h.Runs); n > 1 {
		s += ", " + strings.Join([]string{when(h.Runs[0].Started), when(h.newest().Started)}, " to ") + " UTC"
	}
	return s + "; the newest is " + h.newest().Label
}
