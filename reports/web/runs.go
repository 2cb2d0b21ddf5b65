package web

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshift/reports"
	"nightshift/reports/render"
	"nightshift/runner/store/view"
)

// A listedRun is one line of the list of runs.
type listedRun struct {
	Name, Title string
	Href        string
	State       string
	Live        bool
	Done, Items int64
	Failed      int64
	Models      int
	Cost        string
	nano        int64    // of it
	Scores      []string // of the first models
	MoreScores  int      // how many models have one besides
	Started     time.Time
	When        string
	Broken      string // why it cannot be read
}

type homeData struct {
	Prefix  string
	Paths   []string
	Runs    []listedRun
	Missing bool // no run is left
	// Failures says that a row of one of the runs failed.
	Failures bool
	Order    string
	Orders   []choice
}

// home is the list of runs; where there is one run alone, its page.
func (v *Viewer) home(w http.ResponseWriter, r *http.Request) error {
	v.discover()
	runs := v.all()
	if len(runs) == 1 && len(v.paths) == 1 && runs[0].dir == filepath.Clean(v.paths[0]) {
		http.Redirect(w, r, v.pathOf("run", runs[0]), http.StatusFound)
		return nil
	}
	d := homeData{Prefix: v.prefix, Missing: len(runs) == 0, Order: r.URL.Query().Get("sort")}
	for _, p := range v.paths {
		d.Paths = append(d.Paths, v.called(p))
	}
	for _, run := range runs {
		if r.Context().Err() != nil {
			return nil
		}
		l := v.listed(run)
		d.Runs, d.Failures = append(d.Runs, l), d.Failures || l.Failed > 0
	}
	sortRuns(d.Runs, d.Order)
	for _, o := range []string{"name", "state", "rows", "cost", "when"} {
		d.Orders = append(d.Orders, choice{Word: o, Name: o, Chosen: d.Order == o || d.Order == "" && o == "when"})
	}
	return show(w, "runs.html", d)
}

func sortRuns(runs []listedRun, order string) {
	slices.SortStableFunc(runs, func(a, b listedRun) int {
		switch order {
		case "name":
			return strings.Compare(a.Name, b.Name)
		case "state":
			return cmp.Or(strings.Compare(a.State, b.State), b.Started.Compare(a.Started))
		case "rows":
			return cmp.Compare(b.Done, a.Done)
		case "cost":
			return cmp.Compare(b.nano, a.nano)
		}
		return b.Started.Compare(a.Started)
	})
}

func (v *Viewer) listed(run *run) listedRun {
	l := listedRun{Name: run.name, Href: v.pathOf("run", run)}
	st, err := run.watch.Status(liveProgress(run.dir))
	if err != nil {
		l.Broken = err.Error()
		return l
	}
	l.Title, l.State, l.Live, l.Models = st.Name, stateOf(st), st.Live, len(st.Models)
	l.Done, l.Items, l.Failed = st.Done, st.Items, st.Failed
	spent, most, _ := spending(run.dir, st)
	l.Cost, l.nano = render.Money(int64(spent), most > spent), int64(spent)
	l.Started = st.CreatedAt
	if n := len(st.Starts); n > 0 {
		l.Started = st.Starts[n-1].At
	}
	l.When = when(l.Started)
	if s, _ := reports.ReadSummary(run.dir); s != nil {
		for _, c := range s.Scores {
			switch {
			case c.Mean == nil || c.Scorer != s.Scores[0].Scorer:
			case len(l.Scores) < 4:
				l.Scores = append(l.Scores, fmt.Sprintf("%s %.3f", c.Model, *c.Mean))
			default:
				l.MoreScores++
			}
		}
	}
	return l
}

// stateOf is the state in a word: the directory of a run that died says
// "running" still.
func stateOf(st view.StatusInfo) string {
	switch {
	case st.Live:
		return "running"
	case st.State == "running":
		return "interrupted"
	}
	return st.State
}

// both leads to two runs side by side, as they were ticked in the list.
func (v *Viewer) both(w http.ResponseWriter, r *http.Request) error {
	names := r.URL.Query()["run"]
	if len(names) != 2 {
		return badQuestion("tick two runs: %d were ticked", len(names))
	}
	a, err := v.find(r.Context(), names[0])
	if err != nil {
		return err
	}
	b, err := v.find(r.Context(), names[1])
	if err != nil {
		return err
	}
	q := query{values: map[string][]string{"with": {b.name}}}
	http.Redirect(w, r, v.pathOf("run", a)+"?"+q.address(), http.StatusFound)
	return nil
}

// pair are the run of an address and the one it is put beside, if any.
func (v *Viewer) pair(r *http.Request, with string) ([]*run, error) {
	a, err := v.find(r.Context(), r.PathValue("run"))
	if err != nil || with == "" {
		return []*run{a}, err
	}
	b, err := v.find(r.Context(), with)
	if err == nil && a == b {
		err = badQuestion("with: a run is not put beside itself")
	}
	return []*run{a, b}, err
}

// open is the run of an address, and the one it is put beside, as one table.
func (v *Viewer) open(r *http.Request, with string) ([]*run, *table, error) {
	runs, err := v.pair(r, with)
	if err != nil {
		return nil, nil, err
	}
	t, err := openTable(runs...)
	return runs, t, err
}

type runData struct {
	Prefix   string
	Name     string
	Title    string
	Dir      string
	Base     string
	Status   statusData
	Overview []overview
	Plan     string
	Matrix   *matrix
	Others   []string // runs that this one can be put beside
	With     string
	List     bool // there is a list of runs
}

// An overview is the summary of one run.
type overview struct {
	reports.Overview
	Name   string
	Named  bool // the page has several summaries
	Errors []errorLine
	Report string // address of report.html; empty without
	Note   string
}

// An errorLine is one way in which rows failed, with the address of the rows.
type errorLine struct {
	Model, Class, Example, Hint string
	Rows                        int64
	Query                       string
}

// runPage is everything about a run on one page: its summary, then its rows.
func (v *Viewer) runPage(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r.URL.Query())
	if err != nil {
		return err
	}
	runs, t, err := v.open(r, q.with)
	if err != nil {
		return err
	}
	base := v.pathOf("run", runs[0])
	d := runData{Prefix: v.prefix, Name: runs[0].name, Title: t.stands[0].Name, Dir: v.called(runs[0].dir), Base: base,
		With: q.with, List: len(v.all()) > 1, Plan: indented(t.stands[0].Plan)}
	if d.Matrix, err = v.matrixOf(t, q, base, v.pathOf("row", runs[0])); err != nil {
		return err
	}
	if r.URL.Query().Get("part") == "rows" {
		return show(w, "matrix", d.Matrix)
	}
	if d.Status, err = v.status(runs[0]); err != nil {
		return err
	}
	for i, run := range runs {
		if !d.Status.Live {
			run.warm(t.stands[i])
		}
		o, err := v.overview(run, t.stands[i], d.Status.Live && i == 0)
		if err != nil {
			return err
		}
		o.addQueries(q, t.stands[i])
		o.Named = len(runs) > 1
		if d.Overview = append(d.Overview, o); len(o.Findings) > 0 && i == 0 && !d.Status.Live {
			d.Status.Facts = nil // the summary says the same
		}
	}
	for _, other := range v.all() {
		if other != runs[0] {
			d.Others = append(d.Others, other.name)
		}
	}
	return show(w, "run.html", d)
}

// fewAnswers is how many answers are summed up anew where the summary on disk
// is older than them.
const fewAnswers = 50_000

// overview is the summary on disk, or one made now where that is missing or
// old and the run is small.
func (v *Viewer) overview(run *run, s *stand, live bool) (overview, error) {
	o := overview{Name: run.name}
	if _, err := os.Stat(filepath.Join(run.dir, "report.html")); err == nil {
		o.Report = v.pathOf("report", run)
	}
	if live {
		o.Note = "Scores and verdicts come when the run has ended."
		return o, nil
	}
	key := columnKey{run, -5, s.version + fileMark(filepath.Join(run.dir, reports.SummaryFile))}
	if kept, ok := run.cache.get(key).(overview); ok {
		return kept, nil
	}
	st, err := run.watch.Status(nil)
	if err != nil {
		return o, err
	}
	sum, _ := reports.ReadSummary(run.dir)
	if sum == nil || sum.Recorded() != st.Done {
		switch {
		case st.Done <= fewAnswers:
			if sum, err = reports.BuildSummary(run.dir); err != nil {
				return o, err
			}
			o.Note = "This summary was made now and compares nothing: nightshift report and nightshift compare do."
		case sum != nil:
			o.Note = fmt.Sprintf("This summary is of %s answers; %s are on record. Make it anew with nightshift report %s.",
				render.Count(sum.Recorded()), render.Count(st.Done), v.called(run.dir))
		default:
			o.Note = "There is no summary yet. Make it with nightshift report " + v.called(run.dir) + "."
		}
	}
	if sum == nil {
		return o, nil
	}
	o.Overview = sum.Overview()
	for _, e := range sum.Errors {
		o.Errors = append(o.Errors, errorLine{e.Model, e.Class, e.Example, e.Hint, e.Rows, ""})
	}
	run.cache.put(key, o, 1<<20)
	return o, nil
}

// addQueries says which rows each line of errors is of.
func (o *overview) addQueries(q query, s *stand) {
	o.Errors = slices.Clone(o.Errors)
	for i, e := range o.Errors {
		lane := ""
		if n := slices.Index(s.Models, e.Model); n >= 0 && q.with == "" {
			lane = fmt.Sprint(n + 1)
		}
		o.Errors[i].Query = query{values: map[string][]string{"with": {q.with}}}.address("class", e.Class, "model", lane)
	}
}
