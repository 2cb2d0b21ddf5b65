package reports

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/reports/render"
)

// A workerSummary is what one worker sent of the rows on record.
type workerSummary struct {
	Name     string `json:"name"`
	Rows     int64  `json:"rows"`     // whose last request it made
	Requests int64  `json:"requests"` // Refused, Failed and Lost included
	Refused  int64  `json:"refused"`  // by the server, for a rate or for load
	Failed   int64  `json:"failed"`   // otherwise
	Lost     int64  `json:"lost"`     // given up with the worker; what they cost is not known
	Late     int64  `json:"late"`     // given up with the worker, and answered after all: on the bill
	// First and Last are when the first of its requests began and the last ended.
	First time.Time `json:"first_at"`
	Last  time.Time `json:"last_at"`
	// Version and Private are what the hub of the last start knew of it: the
	// program's version, and endpoints that it reached at an address of its own.
	Version string   `json:"version,omitempty"`
	Private []string `json:"private_endpoints,omitempty"`
}

// byWorker counts the requests of a row by the workers that made them. Rows that
// no worker had anything to do with cost one search of their log.
func (t *tally) byWorker(row *summaryRow) {
	if !row.says().worker {
		return
	}
	log, err := attemptlog.Parse(*row.AttemptLog)
	if err != nil {
		return
	}
	for i := range log {
		a := &log[i]
		if a.Worker == "" {
			continue
		}
		_, late := t.biller.late.Settled[a.Job]
		w := t.worker(a.Worker)
		w.count(a, late)
		if i == len(log)-1 {
			w.Rows++
		}
	}
}

func (t *tally) worker(name string) *workerSummary {
	w := t.workers[name]
	if w == nil {
		w = &workerSummary{Name: name}
		t.workers[name] = w
	}
	return w
}

// count counts an attempt; late says that its answer came after it was given up.
func (w *workerSummary) count(a *nightshift.Attempt, late bool) {
	w.Requests++
	switch a.Class {
	case "":
	case nightshift.ClassUnknownOutcome:
		if late {
			w.Late++
		} else {
			w.Lost++
		}
	case nightshift.ClassRateLimit, nightshift.ClassOverloaded:
		w.Refused++
	default:
		w.Failed++
	}
	if !a.StartedAt.IsZero() && (w.First.IsZero() || a.StartedAt.Before(w.First)) {
		w.First = a.StartedAt
	}
	end := a.StartedAt.Add(time.Duration(a.DurationMS * float64(time.Millisecond)))
	if end.After(w.Last) {
		w.Last = end
	}
}

// workerSummaries are those that rows name, by name.
func (t *tally) workerSummaries(dir string) (list []workerSummary) {
	if len(t.workers) == 0 {
		return nil
	}
	var live struct {
		Workers []struct {
			Name    string   `json:"name"`
			Version string   `json:"version"`
			Private []string `json:"private_endpoints"`
		} `json:"workers"`
	}
	_ = readJSON(filepath.Join(dir, LiveFile), &live) // without it the two are not known
	for _, w := range t.workers {
		for _, l := range live.Workers {
			if l.Name == w.Name {
				w.Version, w.Private = l.Version, l.Private
			}
		}
		list = append(list, *w)
	}
	slices.SortFunc(list, func(a, b workerSummary) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// byWorker is the table of workers; it has no rows where the run's own process
// sent everything.
func (s *Summary) byWorker() render.Grid {
	g := render.Grid{Title: "Workers", Of: "worker",
		Head: []string{"workers", "rows", "requests", "refused", "failed", "lost", "late", "first (UTC)", "last (UTC)"},
		Note: "Lost were given up with their worker; late are those whose answer came after all, and is on the bill. " +
			"Requests of judges are not in it; nightshift cost --by worker has what each cost."}
	for _, w := range s.Workers {
		g.Add(w.Name, render.Count(w.Rows), render.Count(w.Requests), render.Count(w.Refused), render.Count(w.Failed),
			render.Count(w.Lost), render.Count(w.Late), clock(w.First), clock(w.Last))
		if len(w.Private) > 0 {
			g.Note += sprintf(" %s reached %s at an address of its own.", w.Name, strings.Join(w.Private, ", "))
		}
	}
	return g
}

func clock(t time.Time) string {
	if t.IsZero() {
		return render.Unknown
	}
	return t.UTC().Format("01-02 15:04")
}
