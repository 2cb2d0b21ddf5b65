package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/reports"
	"nightshift/reports/render"
	"nightshift/runner/store/view"
)

// A statusData says where a run stands.
type statusData struct {
	Href     string // of this part by itself
	State    string
	Live     bool
	Done     int64
	Items    int64
	Facts    []render.Finding
	Waits    []string // why the next requests wait, by endpoint
	Stops    []string
	Damage   []string
	Progress []modelProgress
	Workers  []worker
}

// A modelProgress is how far one model is.
type modelProgress struct {
	Model       string
	Done, Items int64
	Left        string
}

// statusPart is the status by itself, for pages that stay open.
func (v *Viewer) statusPart(w http.ResponseWriter, r *http.Request) error {
	run, err := v.find(r.Context(), r.PathValue("run"))
	if err != nil {
		return err
	}
	d, err := v.status(run)
	if err != nil {
		return err
	}
	return show(w, "status", d)
}

func (v *Viewer) status(run *run) (statusData, error) {
	live := readLive(run.dir)
	st, err := run.watch.Status(live.Run)
	if err != nil {
		return statusData{}, err
	}
	d := statusData{Href: v.pathOf("status", run), State: stateOf(st), Live: st.Live, Done: st.Done, Items: st.Items,
		Stops: reports.StopLines(run.dir), Damage: st.Damage}
	answers := render.Finding{Level: "plain", Title: "on record",
		Text: render.Count(st.Done) + " of " + render.Count(st.Items), Detail: render.Count(st.Failed) + " failed"}
	switch {
	case st.Failed > 0:
		answers.Level = "bad"
	case st.Done == st.Items:
		answers.Level = "good"
	}
	if st.Live {
		answers.Detail += ", " + render.Count(st.InFlight) + " in flight"
	}
	cost, most, judges := spending(run.dir, st)
	spent := render.Finding{Level: "plain", Title: "spent", Text: render.Money(int64(cost), most > cost)}
	if most > cost {
		spent.Level, spent.Detail = "unsure", "at most "+render.Money(int64(most), false)
	}
	if judges > 0 {
		spent.Title += ", judges included"
	}
	d.Facts = []render.Finding{answers, spent}
	if st.Live && st.PerHour > 0 {
		rate := render.Finding{Level: "plain", Title: "rate", Text: render.Count(int64(st.PerHour)) + " an hour"}
		if st.TimeLeft > 0 {
			rate.Detail = words.Duration(st.TimeLeft) + " left"
		}
		d.Facts = append(d.Facts, rate)
	}
	for _, b := range st.Batches {
		d.Facts = append(d.Facts, batchFact(b))
	}
	d.Workers = live.Workers
	if st.Live {
		d.Waits = live.waits()
		for _, p := range st.Pace {
			m := modelProgress{Model: p.Model, Done: p.Done, Items: p.Items}
			if p.TimeLeft != nil && p.Done < p.Items {
				m.Left = words.Duration(*p.TimeLeft) + " left"
			}
			d.Progress = append(d.Progress, m)
		}
	}
	return d, nil
}

// spending is what a run has cost with its judges, at most, and what of it the
// judges.
func spending(dir string, st view.StatusInfo) (spent, most, judges nightshift.NanoUSD) {
	spent, most = st.Spent, st.AtMost
	for _, inner := range reports.InnerRuns(dir) {
		if j, err := view.Status(inner); err == nil { // one that is damaged says so itself
			spent, most, judges = spent+j.Spent, most+j.AtMost, judges+j.Spent
		}
	}
	return spent, most, judges
}

func batchFact(b view.ModelBatches) render.Finding {
	f := render.Finding{Level: "plain", Title: "batches of " + b.Model, Text: render.Count(b.RowsAway) + " rows away",
		Detail: fmt.Sprintf("%d of %d batches collected", b.Collected, b.Batches)}
	if b.Waiting > 0 {
		f.Detail += fmt.Sprintf(", %d waiting", b.Waiting)
	}
	if b.Lost > 0 || b.Vanishing > 0 {
		f.Level = "unsure"
	}
	return f
}

// A liveState is what the process of a run says that it does, as far as it is
// shown here.
type liveState struct {
	At        time.Time      `json:"at"`
	Run       *view.Progress `json:"run"`
	Endpoints []struct {
		Name     string     `json:"name"`
		InFlight int        `json:"in_flight"`
		Waiting  int        `json:"waiting"`
		Window   int        `json:"window"`
		Limited  string     `json:"held_back_by"`
		Paused   *time.Time `json:"paused_until"`
		Why      string     `json:"paused_why"`
		Down     bool       `json:"breaker_open"`
		Stopped  string     `json:"stopped"`
		Error    string     `json:"last_error"`
	} `json:"endpoints"`
	Workers []worker `json:"workers"`
	Budget  struct {
		Waiting int `json:"waiting"`
	} `json:"budget"`
}

// A worker is a machine that sends requests for a run.
type worker struct {
	Name     string `json:"name"`
	Slots    int    `json:"slots"`
	InFlight int    `json:"in_flight"`
	Answered int64  `json:"answered"`
	Refused  int64  `json:"refused"`
	Failed   int64  `json:"failed"`
	Lost     int64  `json:"lost"`
	Note     string `json:"note"`
}

// readLive is empty when the process says nothing.
func readLive(dir string) (l liveState) {
	b, err := os.ReadFile(filepath.Join(dir, reports.LiveFile))
	if err != nil || json.Unmarshal(b, &l) != nil {
		return liveState{}
	}
	return l
}

// liveProgress is where the process of a run says that it stands; nil when it
// says nothing.
func liveProgress(dir string) *view.Progress { return readLive(dir).Run }

// waits says for each endpoint what its next request waits for.
func (l liveState) waits() (lines []string) {
	for _, e := range l.Endpoints {
		line := fmt.Sprintf("%s: %d in flight, %d waiting", e.Name, e.InFlight, e.Waiting)
		switch {
		case e.Stopped != "":
			line += "; not asked any more: " + e.Stopped
		case e.Down:
			line += "; gives no answers: " + e.Error
		case e.Paused != nil && e.Paused.After(time.Now()):
			line += "; pauses until " + e.Paused.Local().Format("15:04:05")
			if e.Why != "" {
				line += ": " + e.Why
			}
		case e.Limited == "nothing" || e.Limited == "":
			line += "; not held back"
		default:
			line += "; held back by " + reports.LimitName(e.Limited)
		}
		lines = append(lines, line)
	}
	if l.Budget.Waiting > 0 {
		lines = append(lines, fmt.Sprintf("budget: %d requests wait for what others have reserved", l.Budget.Waiting))
	}
	return lines
}

// indented is JSON as people read it.
func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}
