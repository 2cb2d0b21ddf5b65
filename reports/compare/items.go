package compare

import (
	"cmp"
	"errors"
	"io/fs"
	"math"
	"slices"

	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/store/view"
)

const (
	shownDisagreements = 20
	shownChanges       = 100     // ids of newly failing and newly passing items
	shownText          = 4 << 10 // bytes of a prompt or an answer in dispute
	sameScore          = 1e-12   // scores this near are equal
)

// A place is where an item stands: the first run that has it, and its row.
type place struct {
	run *comparedRun
	row int64
}

// places finds every item's rows in the order of the runs.
func (m *matrix) places() []place {
	all := make([]place, m.items)
	for _, r := range slices.Backward(m.runs) {
		for i, item := range r.items {
			all[item] = place{r, r.table.rows[i]}
		}
	}
	return all
}

// disagreements counts the items that models score differently, and keeps those
// with the largest differences for the headline scorer, ties in row order.
func (m *matrix) disagreements(r *scorerResult, cols []scoredColumn) {
	var differing []int32
	spreads := map[int32]float64{}
	for i := range m.items {
		if s := spread(cols, i); s > sameScore {
			differing = append(differing, int32(i))
			spreads[int32(i)] = s
		}
	}
	r.Differing = len(differing)
	m.changes(r, cols)
	most := cmp.Or(m.options.Disagreements, shownDisagreements)
	if r.Name != m.headline() || most < 0 {
		return
	}
	at := m.places()
	slices.SortFunc(differing, func(a, b int32) int {
		return cmp.Or(cmp.Compare(spreads[b], spreads[a]), cmp.Compare(at[a].row, at[b].row), cmp.Compare(a, b))
	})
	for _, item := range differing[:min(most, len(differing))] {
		d := disagreement{Row: at[item].row, Spread: spreads[item], item: item}
		for _, c := range cols {
			d.Models = append(d.Models, disagreedAnswer{Label: c.Label, Mean: stats.Defined(c.values[item])})
		}
		r.Disagreements = append(r.Disagreements, d)
	}
}

// headline is the name of the first scorer that gives scores.
func (m *matrix) headline() string {
	if m.head != "" {
		return m.head
	}
	for _, s := range m.scorers {
		if s.Type != Pairwise {
			return s.Name
		}
	}
	return ""
}

func spread(cols []scoredColumn, item int) float64 {
	lowest, highest := math.Inf(1), math.Inf(-1)
	for _, c := range cols {
		if v := c.values[item]; !math.IsNaN(v) {
			lowest, highest = math.Min(lowest, v), math.Max(highest, v)
		}
	}
	return highest - lowest // -Inf without scores
}

// changes lists the items that one model has right and the other has not.
func (m *matrix) changes(r *scorerResult, cols []scoredColumn) {
	if len(r.Deltas) == 0 {
		return
	}
	at := m.places()
	byLabel := map[string][]float64{}
	for _, c := range cols {
		byLabel[c.Label] = c.values
	}
	for i := range r.Deltas {
		d := &r.Deltas[i]
		a, b := byLabel[d.Label], byLabel[d.Against]
		for item := range m.items {
			switch {
			case a[item] < 1-sameScore && b[item] >= 1-sameScore:
				d.failing = append(d.failing, int32(item))
			case a[item] >= 1-sameScore && b[item] < 1-sameScore:
				d.passing = append(d.passing, int32(item))
			}
		}
		d.NewlyFailingCount, d.NewlyPassingCount = len(d.failing), len(d.passing)
		d.failing, d.passing = firstRows(d.failing, at), firstRows(d.passing, at)
	}
}

func firstRows(items []int32, at []place) []int32 {
	slices.SortFunc(items, func(a, b int32) int { return cmp.Or(cmp.Compare(at[a].row, at[b].row), cmp.Compare(a, b)) })
	return items[:min(len(items), shownChanges)]
}

type detailRow struct {
	Row    int64   `parquet:"row"`
	ID     string  `parquet:"id"`
	Epoch  int32   `parquet:"epoch"`
	Model  string  `parquet:"model,dict"`
	Text   *string `parquet:"text,optional"`
	System *string `parquet:"system,optional"`
	Input  *string `parquet:"input,optional"`
	Target *string `parquet:"target,optional"`
}

type nameRow struct {
	Row int64  `parquet:"row"`
	ID  string `parquet:"id"`
}

type explainedRow struct {
	Row         int64   `parquet:"row"`
	Epoch       int32   `parquet:"epoch"`
	Model       string  `parquet:"model,dict"`
	Answer      *string `parquet:"answer,optional"`
	Explanation *string `parquet:"explanation,optional"`
}

// describeItems fills in the texts of what is shown item by item.
func (m *matrix) describeItems(c *Comparison) error {
	if err := m.nameChanges(c); err != nil {
		return err
	}
	for i := range c.Scorers {
		r := &c.Scorers[i]
		if len(r.Disagreements) == 0 {
			continue
		}
		wanted := map[int32]*disagreement{}
		for k := range r.Disagreements {
			wanted[r.Disagreements[k].item] = &r.Disagreements[k]
		}
		for _, run := range m.runs {
			if err := m.describe(run, wanted); err != nil {
				return err
			}
			if err := m.explain(run, r.scored, wanted); err != nil {
				return err
			}
		}
	}
	m.averageDisagreements(c)
	return nil
}

// nameChanges looks up the ids of items that newly fail or pass.
func (m *matrix) nameChanges(c *Comparison) error {
	wanted := map[int32]bool{}
	for _, s := range c.Scorers {
		for _, d := range s.Deltas {
			for _, item := range append(slices.Clone(d.failing), d.passing...) {
				wanted[item] = true
			}
		}
	}
	ids := map[int32]string{}
	for _, r := range m.runs {
		err := eachWanted(r, keysOf(wanted, r, ids), r.info.Models,
			func(row *nameRow) (int64, int32) { return row.Row, 0 }, func(item int32, row *nameRow) {
				ids[item] = row.ID
			})
		if err != nil {
			return err
		}
	}
	for _, s := range c.Scorers {
		for i := range s.Deltas {
			d := &s.Deltas[i]
			for _, item := range d.failing {
				d.NewlyFailing = append(d.NewlyFailing, ids[item])
			}
			for _, item := range d.passing {
				d.NewlyPassing = append(d.NewlyPassing, ids[item])
			}
		}
	}
	return nil
}

// keysOf are the items of a run that are wanted and not known yet.
func keysOf[V any](wanted map[int32]V, r *comparedRun, known map[int32]string) map[int32]bool {
	out := map[int32]bool{}
	for _, item := range r.items {
		if _, want := wanted[item]; !want {
			continue
		}
		if _, have := known[item]; !have {
			out[item] = true
		}
	}
	return out
}

// eachWanted reads the chunks that hold wanted items, whole, which is quick,
// and shows the rows of those items.
func eachWanted[T any](r *comparedRun, wanted map[int32]bool, models []string, where func(*T) (row int64, epoch int32),
	show func(item int32, row *T)) error {
	for _, s := range r.info.Chunks {
		items := map[int64]int32{}
		from, _ := r.table.find(s.First, -1)
		for i := from; i < len(r.table.rows) && r.table.rows[i] < s.First+s.Rows; i++ {
			if wanted[r.items[i]] {
				items[r.table.rows[i]] = r.items[i]
			}
		}
		if len(items) == 0 {
			continue
		}
		for row, err := range view.Rows[T](r.dir, view.ReadOptions{Models: models, From: s.First,
			To: s.First + s.Rows}) {
			if err != nil {
				return err
			}
			at, epoch := where(&row)
			if item, ok := items[at]; ok && epoch == 0 {
				show(item, &row)
			}
		}
	}
	return nil
}

func (m *matrix) describe(r *comparedRun, wanted map[int32]*disagreement) error {
	labels := m.labelsOf(r)
	models := make([]string, 0, len(labels))
	for model := range labels {
		models = append(models, model)
	}
	return eachWanted(r, keysOf(wanted, r, nil), models,
		func(row *detailRow) (int64, int32) { return row.Row, row.Epoch }, func(item int32, row *detailRow) {
			d := wanted[item]
			if d.ID == "" {
				d.ID = row.ID
				d.System, d.Prompt, d.Target = clipped(view.Value(row.System)), clipped(view.Value(row.Input)),
					clipped(view.Value(row.Target))
			}
			if a := d.answer(labels[row.Model]); a != nil {
				a.Output = clipped(view.Value(row.Text))
			}
		})
}

// explain adds what the scorer extracted and why.
func (m *matrix) explain(r *comparedRun, d scoring.Described, wanted map[int32]*disagreement) error {
	labels := m.labelsOf(r)
	rows := map[int64]*disagreement{}
	for i, item := range r.items {
		if w := wanted[item]; w != nil {
			rows[r.table.rows[i]] = w
		}
	}
	for s, err := range view.ScoreRows[explainedRow](r.dir, d.Table()) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		w := rows[s.Row]
		if w == nil || s.Epoch != 0 {
			continue
		}
		if a := w.answer(labels[s.Model]); a != nil {
			a.Answer, a.Explanation = clipped(view.Value(s.Answer)), clipped(view.Value(s.Explanation))
		}
	}
	return nil
}

// labelsOf maps the models of a run to their columns' labels.
func (m *matrix) labelsOf(r *comparedRun) map[string]string {
	labels := map[string]string{}
	for _, c := range m.columns {
		if c.run == r {
			labels[c.Model] = c.Label
		}
	}
	return labels
}

func (d *disagreement) answer(label string) *disagreedAnswer {
	i := slices.IndexFunc(d.Models, func(a disagreedAnswer) bool { return a.Label == label })
	if i < 0 {
		return nil
	}
	return &d.Models[i]
}

// clipped bounds a text that is shown.
func clipped(s string) string {
	if len(s) <= shownText {
		return s
	}
	cut := shownText
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}
