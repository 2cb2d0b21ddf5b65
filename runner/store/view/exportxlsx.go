package view

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"nightshift"
)

// What a workbook can hold, by "Excel specifications and limits" (Microsoft).
const (
	xlsxRows  = 1_048_576 // of a sheet
	xlsxText  = 32_767    // UTF-16 shards of a cell
	xlsxExact = 1 << 53   // numbers are floating-point ones
)

// A workbook is an Excel file under way. Rows beyond those that a sheet can
// hold go into further sheets, each with the header.
type workbook struct {
	file   *excelize.File
	sheet  *excelize.StreamWriter
	header []any
	limit  int // rows of a sheet
	sheets int
	row    int // written into the sheet
}

// exportXLSX writes one row for each record. Texts are cells of texts, so that
// none is taken for a formula; those that are too long are cut and say so.
// Whole numbers that a cell cannot hold exactly, and times, are texts too.
func exportXLSX(dir string, w io.Writer, o ExportOptions, joins *joins) (rows int64, err error) {
	b := &workbook{file: excelize.NewFile(), limit: xlsxRows}
	if o.sheetRows > 0 {
		b.limit = o.sheetRows
	}
	defer func() { err = errors.Join(err, b.file.Close()) }()
	for _, name := range exportHeader(joins) {
		b.header = append(b.header, name)
	}
	for rec, err := range o.records(dir) {
		if err != nil {
			return rows, err
		}
		scores, err := joins.of(&rec)
		if err != nil {
			return rows, err
		}
		if err := b.add(xlsxCells(&rec, scores)); err != nil {
			return rows, err
		}
		rows++
	}
	return rows, b.finish(w)
}

func xlsxCells(rec *nightshift.Record, scores []*nightshift.Score) (cells []any) {
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() {
		cells = append(cells, xlsxCell(v.Field(i)))
	}
	for _, s := range scores {
		if s == nil {
			cells = append(cells, nil, nil)
			continue
		}
		cells = append(cells, xlsxCell(reflect.ValueOf(s.Value)), xlsxString(string(s.Status)))
	}
	return cells
}

// xlsxCell is a column value as a cell; nil is an empty one.
func xlsxCell(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		return xlsxString(v.String())
	case reflect.Int64, reflect.Int32:
		if n := v.Int(); n > xlsxExact || n < -xlsxExact {
			return strconv.FormatInt(n, 10)
		}
		return v.Int()
	case reflect.Float64:
		return v.Float()
	case reflect.Bool:
		return v.Bool()
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
	}
	return xlsxString(csvCell(v))
}

// xlsxString cuts a text to what a cell can hold.
func xlsxString(s string) any {
	switch {
	case s == "":
		return nil
	case len(s) <= xlsxText: // UTF-8 takes as many bytes, or more
		return s
	}
	note := fmt.Sprintf("… [cut: the text has %d characters]", utf8.RuneCountInString(s))
	shards, cut := 0, 0 // of UTF-16; where the text is cut to make room for the note
	for i, r := range s {
		if shards <= xlsxText-len(note) {
			cut = i
		}
		if shards++; r > 0xffff {
			shards++
		}
	}
	if shards <= xlsxText {
		return s
	}
	return s[:cut] + note
}

// add writes a row, into the next sheet when this one is full.
func (b *workbook) add(cells []any) error {
	if b.sheet == nil || b.row == b.limit {
		if err := b.nextSheet(); err != nil {
			return err
		}
	}
	return b.put(cells)
}

func (b *workbook) put(cells []any) error {
	b.row++
	return b.sheet.SetRow("A"+strconv.Itoa(b.row), cells)
}

func (b *workbook) nextSheet() error {
	if err := b.flush(); err != nil {
		return err
	}
	b.sheets++
	name := "answers"
	var err error
	if b.sheets == 1 {
		err = b.file.SetSheetName("Sheet1", name)
	} else {
		name += " " + strconv.Itoa(b.sheets)
		_, err = b.file.NewSheet(name)
	}
	if err != nil {
		return err
	}
	if b.sheet, err = b.file.NewStreamWriter(name); err != nil {
		return err
	}
	err = b.sheet.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"})
	if err != nil {
		return err
	}
	b.row = 0
	return b.put(b.header)
}

func (b *workbook) flush() error {
	if b.sheet == nil {
		return nil
	}
	return b.sheet.Flush()
}

func (b *workbook) finish(w io.Writer) error {
	if b.sheet == nil { // no row at all
		if err := b.nextSheet(); err != nil {
			return err
		}
	}
	if err := b.flush(); err != nil {
		return err
	}
	_, err := b.file.WriteTo(w)
	return err
}
