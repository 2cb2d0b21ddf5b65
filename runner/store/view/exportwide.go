package view

import (
	"cmp"
	"encoding/json"
	"iter"
	"reflect"
	"slices"
	"strings"

	"nightshift"
	"nightshift/runner/store/internal/rundir"
)

// What a wide table has when nothing else is asked for. Columns of scores join
// those of each model.
var (
	wideKeys    = []string{"row", "id", "epoch"}
	wideOfRow   = []string{"category", "system", "input", "target", "metadata"}
	wideOfModel = []string{"outcome", "text", "cost_usd", "latency_ms"}
	rowsOwn     = []string{"run", "target_is_list", "cluster", "row_hash", "dataset"} // also the same for all models

)

// openWide is a table with one row for each row and epoch of the dataset. The
// columns of the answers stand there once for each model, with its name before
// them.
func openWide(dir string, o ExportOptions) (*table, error) {
	v, err := rundir.Read(o.FS, dir)
	if err != nil {
		return nil, err
	}
	models := v.Info.Models
	if o.Models != nil {
		models = slices.DeleteFunc(slices.Clone(models), func(m string) bool { return !slices.Contains(o.Models, m) })
	}
	t := &table{}
	lanes := make([]*lane, len(models))
	for i, m := range models {
		j, err := openJoins(o.FS, rundir.Dir(dir), o.Scores, o.sortBytes)
		if err != nil {
			t.close()
			return nil, err
		}
		t.joins = append(t.joins, j)
		of := o
		of.Models = []string{m}
		lanes[i] = &lane{answers: scoredAnswers(dir, of, j)}
	}
	if t.columns, err = wideColumns(models, t.joins, o.Columns, planOf(v.Info.Plan)); err != nil {
		t.close()
		return nil, err
	}
	t.rows = func(yield func([]reflect.Value, error) bool) { wideRows(t.columns, lanes, yield) }
	return t, nil
}

// wideColumns are the columns of a wide table: the keys, then those asked for.
func wideColumns(models []string, joins []*joins, names []string, plan widePlan) ([]column, error) {
	if len(models) == 0 {
		return nil, nil
	}
	all := allColumns(joins[0]) // the scorers of all models
	if names == nil {
		names = slices.Concat(plan.ofRow(), wideOfModel[:2], joins[0].columns, joins[0].partNames(), wideOfModel[2:])
	}
	names = slices.Concat(wideKeys, slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return slices.Contains(wideKeys, n)
	}))
	wanted, err := chosen(all, names)
	if err != nil {
		return nil, err
	}
	var list []column
	for _, c := range wanted {
		if plan.same(c.name) {
			c.lane = -1
			list = append(list, c)
		}
	}
	taken := map[string]int{}
	for lane, m := range models {
		prefix := once(taken, columnOf(m)) + "_"
		for _, c := range wanted {
			if !plan.same(c.name) {
				list = append(list, ofModel(c, prefix, lane))
			}
		}
	}
	return list, nil
}

// A widePlan is what the plan of a run says of a wide table's columns.
type widePlan struct {
	varied   bool // models are asked in several ways
	datasets bool // there are several
}

func planOf(raw json.RawMessage) (w widePlan) {
	var run struct {
		Plan struct {
			Models   []struct{ Variant string }
			Datasets []struct{}
		}
	}
	if json.Unmarshal(raw, &run) != nil {
		return w // of another tool
	}
	w.varied = slices.ContainsFunc(run.Plan.Models, func(m struct{ Variant string }) bool { return m.Variant != "" })
	w.datasets = len(run.Plan.Datasets) > 0
	return w
}

// ofRow are the columns of the dataset's row that a table has when nothing else is
// asked for.
func (w widePlan) ofRow() []string {
	if w.datasets {
		return append([]string{"dataset"}, wideOfRow...)
	}
	return wideOfRow
}

// same reports whether a column says the same of all models. Where a plan asks in
// several ways, prompts are those of a model.
func (w widePlan) same(name string) bool {
	if w.varied && (name == "input" || name == "system") {
		return false
	}
	return slices.Contains(wideKeys, name) || slices.Contains(wideOfRow, name) || slices.Contains(rowsOwn, name)
}

// ofModel is a column of one model. It may be null: a model may lack an answer.
func ofModel(c column, prefix string, lane int) column {
	name, options, _ := strings.Cut(c.field.Tag.Get("parquet"), ",")
	if !slices.Contains(strings.Split(options, ","), "optional") {
		options = strings.TrimSuffix("optional,"+options, ",")
		c.field.Type = reflect.PointerTo(c.field.Type)
		value := c.value
		c.value = func(r *nightshift.Record, s []*nightshift.Score) reflect.Value {
			p := reflect.New(c.field.Type.Elem())
			p.Elem().Set(value(r, s))
			return p
		}
	}
	c.of, c.name, c.lane = name, prefix+name, lane
	c.field.Tag = reflect.StructTag(`parquet:"` + c.name + "," + options + `"`)
	return c
}

// A lane reads the answers of one model.
type lane struct {
	answers iter.Seq2[*scoredAnswer, error]
	next    func() (*scoredAnswer, error, bool)
	head    *scoredAnswer // nil after the last
}

// step reads the next answer.
func (l *lane) step() error {
	a, err, ok := l.next()
	if l.head = a; !ok {
		l.head = nil
	}
	return err
}

func (a *scoredAnswer) compare(b *scoredAnswer) int {
	return cmp.Or(cmp.Compare(a.record.Row, b.record.Row), cmp.Compare(a.record.Epoch, b.record.Epoch))
}

// wideRows walks through the answers of all models side by side; each has them
// by row and epoch.
func wideRows(columns []column, lanes []*lane, yield func([]reflect.Value, error) bool) {
	for _, l := range lanes {
		next, stop := iter.Pull2(l.answers)
		defer stop()
		l.next = next
		if err := l.step(); err != nil {
			yield(nil, err)
			return
		}
	}
	for {
		first := firstOf(lanes)
		if first == nil {
			return
		}
		if !yield(wideCells(columns, lanes, first), nil) {
			return
		}
		for _, l := range lanes {
			if l.head == nil || l.head != first && l.head.compare(first) != 0 {
				continue
			}
			if err := l.step(); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// firstOf is the answer that comes first; nil when there are none left.
func firstOf(lanes []*lane) (first *scoredAnswer) {
	for _, l := range lanes {
		if l.head != nil && (first == nil || l.head.compare(first) < 0) {
			first = l.head
		}
	}
	return first
}

func wideCells(columns []column, lanes []*lane, first *scoredAnswer) []reflect.Value {
	cells := make([]reflect.Value, len(columns))
	for i, c := range columns {
		a := first
		if c.lane >= 0 {
			a = lanes[c.lane].head
		}
		if a != nil && a.compare(first) == 0 {
			cells[i] = c.value(&a.record, a.scores)
		}
	}
	return cells
}
