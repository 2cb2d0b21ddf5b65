package view

import (
	"fmt"
	"iter"
	"reflect"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
)

// ReadOptions choose rows. The zero value is all of them.
type ReadOptions struct {
	Models   []string // names; nil means all
	From, To int64    // dataset rows, To excluded; 0 means to the end

	FS disk.FS
}

// Rows yields the rows on record of a run: by model in the plan's order, then
// by row and epoch, whether they are in a Parquet file or still in a journal. It takes
// no lock, works on live, stopped and damaged runs, and holds a batch of rows
// at a time.
//
// T is a struct whose fields, and those of structs embedded in it, carry
// parquet tags of [nightshift.Record]; only the columns that it names are read. A field is of the Record's type, or of
// the type behind its pointer, in which case null reads as zero. The columns
// row and epoch need not be among them.
//
// An error ends the iteration, except that a damaged Parquet file is reported and
// skipped, so that the rest can be read: the error is then a
// [*DamageError].
func Rows[T any](dir string, o ReadOptions) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		if o.FS == nil {
			o.FS = disk.OS{}
		}
		project, err := projection[T]()
		if err != nil {
			yield(zero, err)
			return
		}
		v, err := rundir.Read(o.FS, dir)
		if err != nil {
			yield(zero, err)
			return
		}
		c := choice[T]{
			parquetFile: func(parquetFile *rundir.ParquetFile, s rundir.Chunk, yield func(T) bool) error {
				return parquetFileRows(v, parquetFile, s, o, yield)
			},
			wanted: func(row int64) bool { return row >= o.From && (o.To <= 0 || row < o.To) },
		}
		for key := range v.Chosen(o.Models, o.From, o.To) {
			if !shardRows(v, key, c, project, yield) {
				return
			}
		}
	}
}

// A choice is which rows of a shard are read: how from a Parquet file, and of a journal
// those whose number is wanted.
type choice[T any] struct {
	parquetFile func(parquetFile *rundir.ParquetFile, s rundir.Chunk, yield func(T) bool) error
	wanted      func(row int64) bool
}

// shardRows yields the rows of one shard. It returns false when the reader has
// had enough.
func shardRows[T any](v *rundir.Snapshot, key rundir.Key, c choice[T], project func(*nightshift.Record) T,
	yield func(T, error) bool) bool {
	var zero T
	goOn := true
	err := v.WithShard(key, func(parquetFile *rundir.ParquetFile, j *journal.Index) error {
		switch {
		case j != nil:
		case parquetFile != nil:
			return c.parquetFile(parquetFile, v.Info.Chunks[key.Shard], func(row T) bool {
				goOn = yield(row, nil)
				return goOn
			})
		default:
			return nil
		}
		for rec, err := range rundir.MergeRecords(v.FS, v.Dir, parquetFile, j) {
			if err != nil {
				return err
			}
			if !c.wanted(rec.Row) {
				continue
			}
			if goOn = yield(project(rec), nil); !goOn {
				return nil
			}
		}
		return nil
	})
	if err != nil && goOn {
		goOn = yield(zero, err)
	}
	return goOn
}

// within is the stretch of a Parquet file's rows that o asks for: a Parquet file holds every
// epoch of every row that its chunk uses, in order. Where some are not used
// only the Parquet file itself knows at which place a row is.
func within(v *rundir.Snapshot, f *parquetfile.File, s rundir.Chunk, o ReadOptions) (from, to int64, err error) {
	first, last := max(o.From, s.First), s.First+s.Rows
	if o.To > 0 {
		last = min(last, o.To)
	}
	if s.Skipped == 0 || first == s.First && last == s.First+s.Rows {
		epochs := int64(max(v.Info.Epochs, 1))
		return (first - s.First) * epochs, min((last-s.First)*epochs, f.NumRows()), nil
	}
	type place struct {
		Row int64 `parquet:"row"`
	}
	for p, err := range parquetfile.Read[place](f) {
		if err != nil {
			return 0, 0, err
		}
		if p.Row >= last {
			break
		}
		if p.Row < first {
			from++
		}
		to++
	}
	return from, to, nil
}

func parquetFileRows[T any](v *rundir.Snapshot, parquetFile *rundir.ParquetFile, s rundir.Chunk, o ReadOptions,
	yield func(T) bool) error {
	f, err := parquetfile.Open(v.FS, v.Dir.At(rundir.ResultsDir, parquetFile.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	from, to, err := within(v, f, s, o)
	if err != nil {
		return err
	}
	for row, err := range parquetfile.ReadRange[T](f, from, to) {
		if err != nil {
			return err
		}
		if !yield(row) {
			return nil
		}
	}
	return nil
}

// projection returns the function that takes a T out of a Record.
func projection[T any]() (func(*nightshift.Record) T, error) {
	t := reflect.TypeFor[T]()
	if t == reflect.TypeFor[nightshift.Record]() {
		return func(r *nightshift.Record) T { return any(*r).(T) }, nil
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("store: rows are read into structs, not %v", t)
	}
	columns := parquetfile.RecordColumns()
	type pair struct{ to, from []int }
	var pairs []pair
	for _, f := range reflect.VisibleFields(t) {
		name, ok := parquetfile.ColumnName(f)
		if !ok {
			continue
		}
		from, ok := columns[name]
		if !ok {
			return nil, fmt.Errorf("store: %v.%s: records have no column %q", t, f.Name, name)
		}
		if want := from.Type; f.Type != want && !sameBehindPointer(f.Type, want) {
			return nil, fmt.Errorf("store: %v.%s is a %v, the column %s a %v", t, f.Name, f.Type, name, want)
		}
		pairs = append(pairs, pair{f.Index, from.Index})
	}
	return func(r *nightshift.Record) T {
		var row T
		to, from := reflect.ValueOf(&row).Elem(), reflect.ValueOf(r).Elem()
		for _, p := range pairs {
			v := from.FieldByIndex(p.from)
			dst := to.FieldByIndex(p.to)
			if v.Kind() == reflect.Pointer && dst.Kind() != reflect.Pointer {
				if v.IsNil() {
					continue
				}
				v = v.Elem()
			}
			dst.Set(v.Convert(dst.Type()))
		}
		return row
	}, nil
}

// sameBehindPointer permits the plain type where the column is a pointer, and
// types of the same kind (a string for an Outcome).
func sameBehindPointer(have, want reflect.Type) bool {
	if want.Kind() == reflect.Pointer && have.Kind() != reflect.Pointer {
		want = want.Elem()
	}
	return have.Kind() == want.Kind() && have.Kind() != reflect.Pointer && have.ConvertibleTo(want)
}
