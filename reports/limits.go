package reports

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshift/internal/fsx"
	"nightshift/reports/render"
)

// Files in a run directory that say what limited its throughput.
const (
	// BoundsFile holds the starts of a run that have ended, added up.
	BoundsFile = "bounds.json"
	// LiveFile is written by the running process about once a second. It is
	// not synced, so it may be missing after a power failure.
	LiveFile = "live.json"
)

// FreeRunning stands for the time in which no limit of ours was waited for.
const FreeRunning = "nothing: the time that answers take, this machine, the dataset"

// limitNames are what limits of a run are called in files, and for people.
var limitNames = map[string]string{
	"request limit":               "request rate",
	"token limit":                 "token rate",
	"input token limit":           "input token rate",
	"output token limit":          "output token rate",
	"limit learned from refusals": "inferred rate limit",
	"pause after a refusal":       "waits after refusals",
	"endpoint failing":            "failing endpoint",
	FreeRunning:                   "not limited",
}

// LimitName is the name for people of what limits throughput. what is its name
// in files.
func LimitName(what string) string { return cmp.Or(limitNames[what], what) }

// Bounds are the seconds for which each limit held back the requests of each
// model, over all starts of a run. A model's seconds add up to the time in
// which it had requests to send.
type Bounds struct {
	Through time.Time                     `json:"through"` // when the last start began that is in here
	Models  map[string]map[string]float64 `json:"models"`
}

// A LimitShare is the share of a model's time for which one limit held its requests back.
type LimitShare struct {
	What    string  `json:"what"`
	Share   float64 `json:"share"` // 0 to 1
	Seconds float64 `json:"seconds"`
}

// Add adds seconds to a model's.
func (b *Bounds) Add(model, what string, seconds float64) {
	if b.Models == nil {
		b.Models = map[string]map[string]float64{}
	}
	if b.Models[model] == nil {
		b.Models[model] = map[string]float64{}
	}
	b.Models[model][what] += seconds
}

// With is b and another start's, both left as they are.
func (b Bounds) With(other Bounds) Bounds {
	sum := Bounds{Through: b.Through}
	if other.Through.After(sum.Through) {
		sum.Through = other.Through
	}
	for _, of := range []Bounds{b, other} {
		for model, by := range of.Models {
			for what, seconds := range by {
				sum.Add(model, what, seconds)
			}
		}
	}
	return sum
}

// Shares are a model's, the largest first; nil when nothing is known.
func (b Bounds) Shares(model string) []LimitShare {
	by := b.Models[model]
	total := 0.0
	for _, seconds := range by {
		total += seconds
	}
	if total <= 0 {
		return nil
	}
	var list []LimitShare
	for _, what := range slices.Sorted(maps.Keys(by)) {
		list = append(list, LimitShare{what, by[what] / total, by[what]})
	}
	slices.SortStableFunc(list, func(a, b LimitShare) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return list
}

// liveBounds is the part of live.json that bounds are made of.
type liveBounds struct {
	Started   time.Time `json:"started"`
	Endpoints []struct {
		Models    []string     `json:"models"`
		Seconds   float64      `json:"active_seconds"`
		LimitedBy []LimitShare `json:"bound_by"`
	} `json:"endpoints"`
}

func (l liveBounds) bounds() Bounds {
	b := Bounds{Through: l.Started}
	for _, e := range l.Endpoints {
		for _, model := range e.Models {
			for _, s := range e.LimitedBy {
				b.Add(model, s.What, s.Share*e.Seconds)
			}
		}
	}
	return b
}

// ReadBounds reads what limited a run: of all starts that have ended, and the
// last word of the one that is running or was killed. It has no models where
// the run never said.
func ReadBounds(dir string) (Bounds, error) {
	var b Bounds
	if err := readJSON(filepath.Join(dir, BoundsFile), &b); err != nil {
		return Bounds{}, err
	}
	var l liveBounds
	if err := readJSON(filepath.Join(dir, LiveFile), &l); err != nil {
		return b, nil // it is not synced, and holds nothing that must be known
	}
	if l.Started.After(b.Through) {
		b = b.With(l.bounds())
	}
	return b, nil
}

// readJSON reads a file into v, which stays as it is when there is none.
func readJSON(path string, v any) error {
	if err := fsx.ReadJSON(path, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// leastShown is the least share that has a column in the table.
const leastShown = 0.01

// bounds is the table of what limited each model.
func (s *Summary) bounds() render.Grid {
	g := render.Grid{Title: "Limited by", Head: []string{"limited by"}}
	most := map[string]float64{}
	for _, m := range s.Models {
		for _, b := range m.LimitedBy {
			most[b.What] = max(most[b.What], b.Share)
		}
	}
	shown := slices.DeleteFunc(slices.Sorted(maps.Keys(most)), func(what string) bool { return most[what] < leastShown })
	slices.SortStableFunc(shown, func(a, b string) int {
		if free := cmp.Compare(boolInt(a == FreeRunning), boolInt(b == FreeRunning)); free != 0 {
			return free // what is no limit comes last
		}
		return cmp.Compare(most[b], most[a])
	})
	if len(shown) == 1 && shown[0] == FreeRunning {
		return g
	}
	for _, what := range shown {
		g.Head = append(g.Head, LimitName(what))
	}
	for _, m := range s.Models {
		if len(m.LimitedBy) == 0 {
			continue
		}
		row := []string{m.Model}
		for _, what := range shown {
			cell := "-"
			if i := slices.IndexFunc(m.LimitedBy, func(b LimitShare) bool {
				return b.What == what
			}); i >= 0 && m.LimitedBy[i].Share >= 0.0005 {
				cell = sprintf("%.0f %%", 100*m.LimitedBy[i].Share)
				if m.LimitedBy[i].Share < 0.005 {
					cell = "<1 %"
				}
			}
			row = append(row, cell)
		}
		g.Rows = append(g.Rows, row)
	}
	g.Note = "What the requests of a model waited for, as shares of the time in which it had requests to send."
	if slices.Contains(shown, FreeRunning) {
		_, what, _ := strings.Cut(FreeRunning, ": ")
		g.Note += " Not limited: " + what + "."
	}
	return g
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
