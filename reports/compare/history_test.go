package compare_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/reports/compare"
	"nightshift/reports/render"
	"nightshift/reports/scoring"
)

// pastTrial is a run of one model that was right so often, so many days after the
// first of the month.
func pastTrial(t *testing.T, name string, day int, seed uint64, share float64, ids []string) string {
	at := time.Date(2026, 11, 1+day, 22, 0, 0, 0, time.UTC)
	return trial{name: name, ids: ids, models: []string{"m"}, value: right(seed, share),
		tweak: func(r *nightshift.Record) { r.StartedAt, r.FinishedAt = &at, &at }}.write(t)
}

// datasetJSON is a score on one of several datasets.
type datasetJSON struct {
	Dataset, Scorer string
	Score           struct{ Mean float64 }
}

// historyJSON is the index as a site reads it.
type historyJSON struct {
	Runs []struct {
		Label  string
		Models []struct {
			Model    string
			Score    struct{ Mean, SE float64 }
			Datasets []datasetJSON
		}
	}
	Leaders []struct {
		Model, Run string
		Mean, SE   float64
		Datasets   []datasetJSON
	} `json:"leaderboard"`
	Changes []struct {
		Run, Against string
		Deltas       []struct {
			Label, Verdict string
			P              float64
			Adjusted       float64  `json:"p_adjusted"`
			Failing        int      `json:"newly_failing_count"`
			FailingIDs     []string `json:"newly_failing"`
			Delta          float64
		}
		Datasets []struct {
			Dataset string
			Deltas  []struct {
				Verdict string
				Delta   float64
			}
		}
	}
	LeftOut []struct{ Run, Why string } `json:"left_out"`
}

func readHistory(t *testing.T, o compare.HistoryOptions) (h *compare.History, index historyJSON) {
	t.Helper()
	h, err := compare.NewHistory(o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := h.JSON(&b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &index); err != nil {
		t.Fatal(err)
	}
	return h, index
}

// mayStop makes a run of so many rows one that may stop early.
func mayStop(t *testing.T, dir string, rows int) {
	t.Helper()
	numbers, prompts := make([]int64, rows), make([]uint64, rows)
	for i := range numbers {
		numbers[i] = int64(i)
	}
	order, err := scoring.NewOrder(7, numbers, prompts, prompts)
	if err == nil {
		err = order.WriteFile(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHistoryOfRunsThatMayStop: intervals are called what they are, where all runs may stop early,
// and where some may.
func TestHistoryOfRunsThatMayStop(t *testing.T) {
	ids := rowIDs(100)
	runs := []string{pastTrial(t, "mon", 0, 1, 0.9, ids), pastTrial(t, "tue", 1, 2, 0.5, ids)}
	for stopped := range 3 {
		if stopped > 0 {
			mayStop(t, runs[2-stopped], len(ids))
		}
		h, index := readHistory(t, compare.HistoryOptions{Runs: runs})
		var text, page bytes.Buffer
		if err := errors.Join(h.Text(&text), h.HTML(&page)); err != nil {
			t.Fatal(err)
		}
		// The leaderboard has the newest run only, the table of changes a difference between two:
		// of a run that may stop early with any other there is a sequence only.
		all := text.String()
		for _, said := range []bool{strings.Contains(all, "confidence sequence"), strings.Contains(all, "always-valid p"),
			strings.Contains(page.String(), "confidence sequence")} {
			if said != (stopped > 0) {
				t.Errorf("%d of 2 runs may stop: %s", stopped, all)
			}
		}
		if stopped == 2 && strings.Contains(all, "95 % interval") {
			t.Errorf("all runs may stop: %s", all)
		}
		if verdict := index.Changes[0].Deltas[0].Verdict; verdict != "worse" {
			t.Errorf("%d of 2 runs may stop: %s", stopped, verdict)
		}
	}
}

// TestHistoryFindsTheRunThatBroke: two runs alike, then one that is worse. It is
// worse than both, by p that are corrected for both comparisons.
func TestHistoryFindsTheRunThatBroke(t *testing.T) {
	ids := rowIDs(200)
	newest := pastTrial(t, "wed", 2, 7, 0.5, ids)
	runs := []string{newest, pastTrial(t, "mon", 0, 1, 0.9, ids), pastTrial(t, "tue", 1, 2, 0.9, ids)}
	_, index := readHistory(t, compare.HistoryOptions{Runs: runs})
	var order []string
	for _, r := range index.Runs {
		order = append(order, r.Label)
	}
	if got := strings.Join(order, " "); got != "mon tue wed" {
		t.Errorf("runs in the order %s, want that of time", got)
	}
	if l := index.Leaders; len(l) != 1 || l[0].Run != "wed" || l[0].Mean != index.Runs[2].Models[0].Score.Mean {
		t.Errorf("leaderboard %+v, want the model of the newest run", l)
	}
	if len(index.Changes) != 2 || index.Changes[0].Against != "tue" || index.Changes[1].Against != "mon" {
		t.Fatalf("changes %+v, want tue and then mon", index.Changes)
	}
	smallest := min(index.Changes[0].Deltas[0].P, index.Changes[1].Deltas[0].P)
	for _, c := range index.Changes {
		d := c.Deltas[0]
		if d.Label != "m" || d.Verdict != "worse" || d.Failing < 50 || len(d.FailingIDs) == 0 {
			t.Errorf("against %s: %+v, want worse, with the rows that newly fail", c.Against, d)
		}
		if d.P == smallest && d.Adjusted != 2*d.P { // Holm: the smallest of two counts twice
			t.Errorf("against %s: p %g, adjusted %g, want both tests in one family", c.Against, d.P, d.Adjusted)
		}
	}
}

// twoDatasets is a run of the datasets sums and words, which one model has right so often.
func twoDatasets(t *testing.T, name string, day int, sums, words float64, average string) string {
	t.Helper()
	var ids []string
	for i := range 150 {
		ids = append(ids, fmt.Sprintf("sums/q%03d", i))
	}
	for i := range 50 {
		ids = append(ids, fmt.Sprintf("words/q%03d", i))
	}
	at := time.Date(2026, 11, 1+day, 22, 0, 0, 0, time.UTC)
	dir := trial{name: name, ids: ids, models: []string{"m"},
		plan: `{"plan": {"datasets": [{"name": "sums"}, {"name": "words"}]}}`,
		value: func(model int, id string, epoch int) float64 {
			share := words
			if strings.HasPrefix(id, "sums/") {
				share = sums
			}
			return right(uint64(day), share)(model, id, epoch)
		},
		tweak: func(r *nightshift.Record) {
			set, _, _ := strings.Cut(r.ID, "/")
			r.StartedAt, r.FinishedAt, r.Dataset = &at, &at, &set
		}}.write(t)
	e, err := scoring.ReadEvaluation(dir)
	if err != nil {
		t.Fatal(err)
	}
	if e.Average = average; e.WriteFile(dir) != nil {
		t.Fatal("not written")
	}
	return dir
}

// TestHistoryOfSeveralDatasets: of runs of several datasets the history goes by the average over them, as
// the newest run weighs it, and by what compare says of the average; each dataset stands beside it.
func TestHistoryOfSeveralDatasets(t *testing.T) {
	runs := []string{twoDatasets(t, "mon", 0, 0.9, 0.9, "rows"), twoDatasets(t, "tue", 1, 0.9, 0.9, "datasets"),
		twoDatasets(t, "wed", 2, 0.9, 0.4, "datasets")}
	h, index := readHistory(t, compare.HistoryOptions{Runs: runs})
	if _, named := readHistory(t, compare.HistoryOptions{Runs: runs, Scorer: "average"}); len(index.LeftOut) != 0 ||
		fmt.Sprint(named.Runs) != fmt.Sprint(index.Runs) {
		t.Errorf("by name: %+v, else %+v", named, index)
	}
	for i, dir := range runs {
		c := compared(t, compare.Options{Runs: []string{dir}, Average: "datasets"})
		want, got := c.Scorers[0].Models[0], index.Runs[i].Models[0]
		if got.Score.Mean != *want.Mean || got.Score.SE != *want.SE || c.Scorers[0].Type != "average" {
			t.Errorf("%s: average %+v, compare says %v ± %v", dir, got, *want.Mean, *want.SE)
		}
		for k, set := range []string{"sums", "words"} {
			if d := got.Datasets[k]; d.Dataset != set || d.Scorer != "mark" ||
				d.Score.Mean != *c.Scorers[k+1].Models[0].Mean {
				t.Errorf("%s, %s: %+v", dir, set, d)
			}
		}
	}
	if l := index.Leaders[0]; l.Run != "wed" || l.Mean != index.Runs[2].Models[0].Score.Mean || len(l.Datasets) != 2 ||
		l.SE != index.Runs[2].Models[0].Score.SE {
		t.Errorf("leaderboard: %+v", l)
	}
	ps := [2]float64{}
	for i, c := range index.Changes {
		want := compared(t, compare.Options{Runs: runs[2:], BaselineRun: runs[1-i]}).Scorers
		if got := c.Deltas[0]; got.P != *want[0].Deltas[0].P || got.Delta != *want[0].Deltas[0].Delta ||
			got.Verdict != "worse" || len(c.Datasets) != 2 {
			t.Fatalf("against %s: %+v, compare says %+v", c.Against, c, want[0].Deltas[0])
		}
		for k, d := range c.Datasets {
			if verdict := []string{"no difference shown", "worse"}[k]; d.Deltas[0].Verdict != verdict ||
				d.Deltas[0].Delta != *want[k+1].Deltas[0].Delta {
				t.Errorf("against %s, %s: %+v", c.Against, d.Dataset, d)
			}
		}
		ps[i] = c.Deltas[0].P
	}
	for i, c := range index.Changes {
		if p := ps[i]; p == min(ps[0], ps[1]) && c.Deltas[0].Adjusted != 2*p {
			t.Errorf("against %s: p %g, adjusted %g for two comparisons", c.Against, p, c.Deltas[0].Adjusted)
		}
	}
	var text, page strings.Builder
	if err := errors.Join(h.Text(&text), h.HTML(&page)); err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{"3 runs by average (datasets alike)", "Trend by dataset", "Δ words"} {
		if !strings.Contains(text.String(), said) || !strings.Contains(page.String(), said) {
			t.Errorf("nothing is said of %s:\n%s", said, text.String())
		}
	}
	again, _ := readHistory(t, compare.HistoryOptions{Runs: runs[:1]})
	if !strings.Contains(again.Headline(), "(by rows)") {
		t.Errorf("the newest run weighs by rows: %s", again.Headline())
	}
}

// TestHistoryAverageNeedsDatasets: where there is no average, or one of something else, that is said.
func TestHistoryAverageNeedsDatasets(t *testing.T) {
	one := pastTrial(t, "one", 0, 1, 0.9, rowIDs(20))
	if _, err := compare.NewHistory(compare.HistoryOptions{Runs: []string{one}, Scorer: "average"}); err == nil ||
		!strings.Contains(err.Error(), "has not several datasets") {
		t.Errorf("one dataset: %v", err)
	}
	runs := []string{twoDatasets(t, "mon", 0, 0.9, 0.9, ""), twoDatasets(t, "tue", 1, 0.9, 0.9, "")}
	e, err := scoring.ReadEvaluation(runs[0])
	if err == nil {
		e.Scorers[0].Datasets = []string{"sums"} // words has no scores on Monday
		err = e.WriteFile(runs[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	_, index := readHistory(t, compare.HistoryOptions{Runs: runs})
	if len(index.Runs) != 1 || len(index.LeftOut) != 1 ||
		!strings.Contains(index.LeftOut[0].Why, "that of the newest run over sums/mark, words/mark") {
		t.Errorf("%d runs, left out %+v", len(index.Runs), index.LeftOut)
	}
}

// TestHistoryNamesWhatIsLeftOut: a run of other rows, one that nobody scored, one
// that is damaged, and one beyond the last two.
func TestHistoryNamesWhatIsLeftOut(t *testing.T) {
	ids := rowIDs(20)
	other := pastTrial(t, "other", 0, 1, 0.9, ids[:10])
	unscored := pastTrial(t, "unscored", 1, 1, 0.9, ids)
	if err := os.Remove(unscored + "/evaluation.json"); err != nil {
		t.Fatal(err)
	}
	old := pastTrial(t, "old", 1, 1, 0.9, ids)
	runs := []string{other, unscored, old, pastTrial(t, "a", 2, 1, 0.9, ids), pastTrial(t, "b", 3, 1, 0.9, ids),
		t.TempDir()}
	_, index := readHistory(t, compare.HistoryOptions{Runs: runs, Last: 2})
	why := map[string]string{}
	for _, l := range index.LeftOut {
		why[l.Run] = l.Why
	}
	for dir, want := range map[string]string{other: "another dataset (10 rows", unscored: "nightshift score",
		old: "only the last 2 runs", runs[5]: "not a run directory"} {
		if !strings.Contains(why[dir], want) {
			t.Errorf("%s is left out because %q, want %q", dir, why[dir], want)
		}
	}
	if len(index.Runs) != 2 {
		t.Errorf("%d runs are shown, want 2", len(index.Runs))
	}
	h, _ := readHistory(t, compare.HistoryOptions{Runs: append(runs[:len(runs):len(runs)],
		pastTrial(t, "further", 0, 1, 0.9, ids[:8]))})
	var text bytes.Buffer
	if err := h.Text(&text); err != nil || !strings.Contains(text.String(), "2 runs are of other datasets") ||
		strings.Contains(text.String(), "it is of another dataset") {
		t.Errorf("%v: other datasets are not told together:\n%s", err, text.String())
	}
	if _, index := readHistory(t, compare.HistoryOptions{Runs: runs, AnyData: true}); len(index.Runs) != 4 {
		t.Errorf("with other datasets %d runs are shown, want 4", len(index.Runs))
	}
	if _, err := compare.NewHistory(compare.HistoryOptions{Runs: []string{unscored}}); err == nil ||
		!strings.Contains(err.Error(), "no run with scores") {
		t.Errorf("error %v, want that there is no run with scores", err)
	}
}

// TestHistoryRenderings: names of runs are text in every rendering, and the page has
// the chart and loads nothing.
func TestHistoryRenderings(t *testing.T) {
	ids := rowIDs(20)
	h, _ := readHistory(t, compare.HistoryOptions{Runs: []string{
		pastTrial(t, "<b>mon|", 0, 1, 0.9, ids), pastTrial(t, "tue\x1b[31m", 1, 2, 0.5, ids)}})
	for name, write := range map[string]func(io.Writer) error{"text": h.Text, "Markdown": h.Markdown, "HTML": h.HTML} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		if strings.Contains(page, "\x1b") || name == "HTML" && strings.Contains(page, "<b>mon") {
			t.Errorf("%s: the name of a run is more than text:\n%s", name, page)
		}
		if name == "HTML" && (strings.Count(page, "<circle") != 2 || strings.Contains(page, "http://") ||
			strings.Contains(page, "https://")) {
			t.Errorf("the page has no trend of two runs, or an address:\n%s", page)
		}
	}
}

// narrowTerminal is one of 40 columns.
type narrowTerminal struct{ strings.Builder }

func (*narrowTerminal) Screen() render.Screen { return render.Screen{Columns: 40} }

// TestHistoryInNarrowTerminal breaks no table where the runs have short names.
func TestHistoryInNarrowTerminal(t *testing.T) {
	ids := rowIDs(20)
	h, _ := readHistory(t, compare.HistoryOptions{Runs: []string{pastTrial(t, "quickstart", 0, 1, 0.9, ids),
		pastTrial(t, "tuesday", 1, 2, 0.5, ids)}})
	var out narrowTerminal
	if err := h.Text(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := render.Columns(strings.TrimSuffix(line, "\n")); n > 40 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(out.String(), "quickstart  11-01 22:00  0.") {
		t.Errorf("the runs have not the times of narrow terminals:\n%s", out.String())
	}
}

// TestFactsInNarrowTerminal: the line about a run that compare begins with is broken
// between words.
func TestFactsInNarrowTerminal(t *testing.T) {
	c, err := compare.Runs(compare.Options{Runs: []string{pastTrial(t, "quickstart", 0, 1, 0.9, rowIDs(20))}})
	if err != nil {
		t.Fatal(err)
	}
	var out narrowTerminal
	if err := c.Text(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), `\u{`) {
		t.Errorf("a line end is written out:\n%s", out.String())
	}
	for line := range strings.Lines(out.String()) {
		if n := render.Columns(strings.TrimSuffix(line, "\n")); n > 40 && !strings.HasPrefix(line, "  ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
