package view

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/parquetfile"
)

// A table is what an export writes: named columns, and rows of one value for
// each. A value that is not valid is null.
type table struct {
	columns []column
	rows    iter.Seq2[[]reflect.Value, error]
	joins   []*joins
}

// A column is one of a table. Its value comes from an answer and the scores of
// that.
type column struct {
	name  string
	field reflect.StructField // with the type and the tag that it has in Parquet
	value func(*nightshift.Record, []*nightshift.Score) reflect.Value
	lane  int    // the model that it is of, in a wide table; -1 for those of the dataset's row
	of    string // the answer's column that it shows, in a wide table
}

func (t *table) close() {
	for _, j := range t.joins {
		j.close()
	}
}

func (t *table) names() (names []string) {
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	return names
}

// structType is the type of a row in Parquet.
func (t *table) structType() reflect.Type {
	fields := make([]reflect.StructField, len(t.columns))
	for i, c := range t.columns {
		fields[i] = reflect.StructField{Name: fmt.Sprintf("C%d", i), Type: c.field.Type, Tag: c.field.Tag}
	}
	return reflect.StructOf(fields)
}

// weightOf is about how many bytes a value takes.
func weightOf(v reflect.Value) int64 {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return 0
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		return int64(v.Len())
	case reflect.Slice:
		return int64(v.Len()) * int64(v.Type().Elem().Size())
	}
	return 8
}

// An UnknownColumnError says that an export was asked for a column that there
// is not.
type UnknownColumnError struct {
	Name  string
	Known []string
}

func (e *UnknownColumnError) Error() string {
	message := fmt.Sprintf("there is no column %q", e.Name)
	if near := words.Near(e.Name, e.Known); near != "" {
		return message + "; did you mean " + near + "?"
	}
	return message + "; there are " + strings.Join(e.Known, ", ")
}

// columnOf is the name of a scorer or model as a part of a column's name.
func columnOf(name string) string {
	return strings.ToLower(strings.NewReplacer(".", "_", "-", "_").Replace(rundir.PlainName(name)))
}

// once makes a name unique by a number at its end.
func once(taken map[string]int, name string) string {
	if taken[name]++; taken[name] > 1 {
		name += "_" + strconv.Itoa(taken[name])
	}
	return name
}

// allColumns are the columns of an answer: those of its record, two for each scorer,
// and one for each part of its values.
func allColumns(j *joins) (all []column) {
	t := reflect.TypeFor[nightshift.Record]()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _ := parquetfile.ColumnName(f)
		value := func(r *nightshift.Record, _ []*nightshift.Score) reflect.Value {
			return reflect.ValueOf(r).Elem().Field(i)
		}
		all = append(all, column{name: name, field: f, value: value})
	}
	for i, name := range j.columns {
		all = append(all, scoreColumns(i, name)...)
	}
	for _, p := range j.parts {
		all = append(all, partColumn(p))
	}
	return all
}

// scoreColumns are the value and the status that one scorer gave.
func scoreColumns(i int, name string) []column {
	of := func(get func(*nightshift.Score) reflect.Value) func(*nightshift.Record, []*nightshift.Score) reflect.Value {
		return func(_ *nightshift.Record, scores []*nightshift.Score) (none reflect.Value) {
			if scores[i] == nil {
				return none
			}
			return get(scores[i])
		}
	}
	value := reflect.StructField{Type: reflect.TypeFor[*float64](),
		Tag: reflect.StructTag(`parquet:"` + name + `,optional"`)}
	status := reflect.StructField{Type: reflect.TypeFor[*string](),
		Tag: reflect.StructTag(`parquet:"` + name + `_status,optional,dict"`)}
	return []column{
		{name: name, field: value, value: of(func(s *nightshift.Score) reflect.Value { return reflect.ValueOf(s.Value) })},
		{name: name + "_status", field: status, value: of(func(s *nightshift.Score) reflect.Value {
			text := string(s.Status)
			return reflect.ValueOf(&text)
		})},
	}
}

// chosen are the columns with these names, in this order.
func chosen(all []column, names []string) (list []column, err error) {
	for _, name := range names {
		i := slices.IndexFunc(all, func(c column) bool { return c.name == name })
		if i < 0 {
			var known []string
			for _, c := range all {
				known = append(known, c.name)
			}
			return nil, &UnknownColumnError{Name: name, Known: known}
		}
		list = append(list, all[i])
	}
	return list, nil
}

// openTable is what an export writes.
func openTable(dir string, o ExportOptions) (*table, error) {
	if o.Wide {
		return openWide(dir, o)
	}
	j, err := openJoins(o.FS, rundir.Dir(dir), o.Scores, o.sortBytes)
	if err != nil {
		return nil, err
	}
	t := &table{columns: allColumns(j), joins: []*joins{j}}
	if o.Columns != nil {
		if t.columns, err = chosen(t.columns, o.Columns); err != nil {
			t.close()
			return nil, err
		}
	}
	t.rows = func(yield func([]reflect.Value, error) bool) {
		cells := make([]reflect.Value, len(t.columns))
		for a, err := range scoredAnswers(dir, o, j) {
			if err == nil {
				for i, c := range t.columns {
					cells[i] = c.value(&a.record, a.scores)
				}
			}
			if !yield(cells, err) || err != nil {
				return
			}
		}
	}
	return t, nil
}

// A scoredAnswer is an answer with one score of each scorer, or nil.
type scoredAnswer struct {
	record nightshift.Record
	scores []*nightshift.Score
}

func scoredAnswers(dir string, o ExportOptions, j *joins) iter.Seq2[*scoredAnswer, error] {
	return func(yield func(*scoredAnswer, error) bool) {
		for rec, err := range o.records(dir) {
			var scores []*nightshift.Score
			if err == nil {
				scores, err = j.of(&rec)
			}
			if !yield(&scoredAnswer{rec, scores}, err) || err != nil {
				return
			}
		}
	}
}
