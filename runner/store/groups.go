package store

import (
	"errors"
	"os"

	"github.com/parquet-go/parquet-go"
)

// A UnitFile says where the rows of one unit are to be read.
type UnitFile struct {
	Model       string
	First, Rows int64
	// Path is a whole Parquet file of exactly these rows; empty when some of
	// them are in a journal, and [Rows] must be asked.
	Path string
}

// UnitFiles lists the units of a run that hold rows, in the order of [Rows].
func UnitFiles(dir string) ([]UnitFile, error) {
	v, err := openView(osFS{}, dir)
	if err != nil {
		return nil, err
	}
	var files []UnitFile
	for key := range v.chosen(ReadOptions{}) {
		s := v.info.Slices[key.unit]
		u := UnitFile{Model: v.info.Models[key.model], First: s.First, Rows: s.Rows}
		part, j, err := v.openUnit(key)
		switch {
		case j != nil:
			j.close()
		case err == nil && part != nil:
			u.Path = v.dir.at(resultsDir, part.Name)
		case err == nil:
			continue // nothing there yet
		}
		files = append(files, u)
	}
	return files, nil
}

// A Group is a stretch of the rows of one file, to be read column by column,
// which is many times faster than row by row. Null values read as zero with
// their mark set. A column that the file lacks is all null.
type Group struct {
	Rows   int
	group  parquet.RowGroup
	schema *parquet.Schema
	buf    []parquet.Value
}

// Groups calls use with the groups of a Parquet file, one after the other. A
// Group is good until use returns. The error is a [*DamageError] when the file
// cannot be read, or what use returned.
func Groups(path string, use func(*Group) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	pf, err := openForeign(f)
	if err != nil {
		return &DamageError{Path: path, Err: err}
	}
	for _, g := range pf.RowGroups() {
		group := &Group{Rows: int(g.NumRows()), group: g, schema: pf.Schema(), buf: make([]parquet.Value, 4096)}
		if err := use(group); err != nil {
			var damage *columnError
			if errors.As(err, &damage) {
				err = &DamageError{Path: path, Err: err}
			}
			return err
		}
	}
	return nil
}

type columnError struct {
	column string
	err    error
}

func (e *columnError) Error() string { return "column " + e.column + ": " + e.err.Error() }

// each calls take with the values of a column in order.
func (g *Group) each(column string, take func(i int, v *parquet.Value)) (err error) {
	leaf, ok := g.schema.Lookup(column)
	if !ok {
		return nil
	}
	defer func() {
		noPanic(&err)
		if err != nil {
			err = &columnError{column, err}
		}
	}()
	c := cursor{pages: g.group.ColumnChunks()[leaf.ColumnIndex].Pages(), buf: g.buf}
	defer c.close()
	err = c.each(g.Rows, func(i int, v *parquet.Value) error {
		take(i, v)
		return nil
	})
	if err == nil {
		err = c.end()
	}
	return err
}

// Int64 reads a column of whole numbers or truth values.
func (g *Group) Int64(column string) (values []int64, null []bool, err error) {
	values, null = make([]int64, g.Rows), g.allNull()
	err = g.each(column, func(i int, v *parquet.Value) {
		if v.IsNull() {
			return
		}
		null[i] = false
		switch v.Kind() {
		case parquet.Int64:
			values[i] = v.Int64()
		case parquet.Int32:
			values[i] = int64(v.Int32())
		case parquet.Boolean:
			if v.Boolean() {
				values[i] = 1
			}
		}
	})
	return values, null, err
}

// Float64 reads a column of numbers.
func (g *Group) Float64(column string) (values []float64, null []bool, err error) {
	values, null = make([]float64, g.Rows), g.allNull()
	err = g.each(column, func(i int, v *parquet.Value) {
		if !v.IsNull() && v.Kind() == parquet.Double {
			values[i], null[i] = v.Double(), false
		}
	})
	return values, null, err
}

// Text reads a column of texts. Equal neighbours share their memory.
func (g *Group) Text(column string) (values []string, null []bool, err error) {
	values, null = make([]string, g.Rows), g.allNull()
	last := ""
	err = g.each(column, func(i int, v *parquet.Value) {
		if v.IsNull() || v.Kind() != parquet.ByteArray {
			return
		}
		if b := v.ByteArray(); string(b) != last {
			last = string(b)
		}
		values[i], null[i] = last, false
	})
	return values, null, err
}

// TextOf is Text of some rows only: the others stay empty.
func (g *Group) TextOf(column string, wanted []bool) (values []string, null []bool, err error) {
	values, null = make([]string, g.Rows), g.allNull()
	err = g.each(column, func(i int, v *parquet.Value) {
		if wanted[i] && !v.IsNull() && v.Kind() == parquet.ByteArray {
			values[i], null[i] = string(v.ByteArray()), false
		}
	})
	return values, null, err
}

func (g *Group) allNull() []bool {
	null := make([]bool, g.Rows)
	for i := range null {
		null[i] = true
	}
	return null
}
