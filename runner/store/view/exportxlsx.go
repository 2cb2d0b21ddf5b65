package view

import (
	"archive/zip"
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// What a workbook can hold, by "Excel specifications and limits" (Microsoft).
const (
	xlsxRows  = 1_048_576 // of a sheet
	xlsxText  = 32_767    // UTF-16 shards of a cell
	xlsxExact = 1 << 53   // numbers are floating-point ones
)

// A workbook is an Excel file under way (ECMA-376). Rows beyond those that a
// sheet can hold go into further sheets, each with the header.
type workbook struct {
	zip    *zip.Writer
	sheet  *bufio.Writer // nil before the first
	header []any
	limit  int // rows of a sheet
	sheets int
	row    int // written into the sheet
}

// exportXLSX writes one row for each row of the table. Texts are cells of texts, so that
// none is taken for a formula; those that are too long are cut and say so.
// Whole numbers that a cell cannot hold exactly, and times, are texts too.
func exportXLSX(w io.Writer, o ExportOptions, t *table) (rows int64, err error) {
	b := &workbook{zip: zip.NewWriter(w), limit: xlsxRows}
	if o.sheetRows > 0 {
		b.limit = o.sheetRows
	}
	for _, name := range t.names() {
		b.header = append(b.header, name)
	}
	for values, err := range t.rows {
		if err != nil {
			return rows, err
		}
		cells := make([]any, len(values))
		for i, v := range values {
			if v.IsValid() {
				cells[i] = xlsxCell(v)
			}
		}
		if err := b.add(cells); err != nil {
			return rows, err
		}
		rows++
	}
	return rows, b.finish()
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
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return strconv.FormatFloat(f, 'g', -1, 64)
		}
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
	row := strconv.Itoa(b.row)
	b.sheet.WriteString(`<row r="` + row + `">`)
	for i, cell := range cells {
		if cell != nil {
			b.sheet.WriteString(`<c r="` + columnName(i) + row + `"`)
			writeCell(b.sheet, cell)
		}
	}
	_, err := b.sheet.WriteString("</row>") // it also returns what the others met
	return err
}

// writeCell writes what comes after the place of a cell.
func writeCell(w *bufio.Writer, cell any) {
	switch v := cell.(type) {
	case int64:
		fmt.Fprintf(w, "><v>%d</v></c>", v)
	case float64:
		fmt.Fprintf(w, "><v>%v</v></c>", v)
	case bool:
		fmt.Fprintf(w, ` t="b"><v>%d</v></c>`, map[bool]int{true: 1}[v])
	default:
		w.WriteString(` t="inlineStr"><is><t xml:space="preserve">`)
		_ = xml.EscapeText(w, []byte(escapeX(v.(string)))) // the writer remembers its error
		w.WriteString("</t></is></c>")
	}
}

// escapeX keeps a text such as _x0041_ from being read as the character with
// that number, which is how the format escapes what XML cannot hold.
func escapeX(s string) string {
	if !strings.Contains(s, "_x") {
		return s
	}
	return numbered().ReplaceAllString(s, "_x005F$0")
}

var numbered = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`_x[0-9A-Fa-f]{4}_`) })

// columnName is A to Z, AA to AZ and so on.
func columnName(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return columnName(i/26-1) + columnName(i%26)
}

const (
	xlsxHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	xlsxMain = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
	xlsxRels = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	xlsxPack = "http://schemas.openxmlformats.org/package/2006/"
	xlsxType = "application/vnd.openxmlformats-officedocument.spreadsheetml."
)

// nextSheet begins a sheet whose header stays in sight.
func (b *workbook) nextSheet() error {
	if err := b.endSheet(); err != nil {
		return err
	}
	b.sheets++
	w, err := b.zip.Create(fmt.Sprintf("xl/worksheets/sheet%d.xml", b.sheets))
	if err != nil {
		return err
	}
	b.sheet, b.row = bufio.NewWriter(w), 0
	b.sheet.WriteString(xlsxHead + `<worksheet xmlns="` + xlsxMain + `"><sheetViews><sheetView workbookViewId="0">` +
		`<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>`)
	return b.put(b.header)
}

func (b *workbook) endSheet() error {
	if b.sheet == nil {
		return nil
	}
	b.sheet.WriteString("</sheetData></worksheet>")
	return b.sheet.Flush()
}

// finish writes the parts that say which sheets there are.
func (b *workbook) finish() error {
	if b.sheet == nil { // no row at all
		if err := b.nextSheet(); err != nil {
			return err
		}
	}
	if err := b.endSheet(); err != nil {
		return err
	}
	var types, names, relations strings.Builder
	for i := range b.sheets {
		name := "answers"
		if i > 0 {
			name += fmt.Sprintf(" %d", i+1)
		}
		fmt.Fprintf(&types, `<Override PartName="/xl/worksheets/sheet%d.xml" ContentType="%sworksheet+xml"/>`, i+1, xlsxType)
		fmt.Fprintf(&names, `<sheet name="%s" sheetId="%d" r:id="rId%d"/>`, name, i+1, i+1)
		fmt.Fprintf(&relations, `<Relationship Id="rId%d" Type="%s/worksheet" Target="worksheets/sheet%d.xml"/>`,
			i+1, xlsxRels, i+1)
	}
	for _, part := range [][2]string{
		{"xl/workbook.xml",
			`<workbook xmlns="` + xlsxMain + `" xmlns:r="` + xlsxRels + `"><bookViews><workbookView/></bookViews>` +
				`<sheets>` + names.String() + `</sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels",
			`<Relationships xmlns="` + xlsxPack + `relationships">` + relations.String() + `</Relationships>`},
		{"_rels/.rels", `<Relationships xmlns="` + xlsxPack + `relationships"><Relationship Id="rId1" Type="` + xlsxRels +
			`/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"[Content_Types].xml", `<Types xmlns="` + xlsxPack + `content-types">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
			`<Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/xl/workbook.xml" ContentType="` + xlsxType + `sheet.main+xml"/>` + types.String() +
			`</Types>`},
	} {
		w, err := b.zip.Create(part[0])
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, xlsxHead+part[1]); err != nil {
			return err
		}
	}
	return b.zip.Close()
}
