package store

import (
	"cmp"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"nightshift"
)

// Formats of Export.
const (
	FormatParquet = "parquet"
	FormatCSV     = "csv"
	FormatJSONL   = "jsonl"
	FormatXLSX    = "xlsx" // a workbook for spreadsheets
)

// ExportOptions choose what Export writes. The zero value is every row with
// every score.
type ExportOptions struct {
	ReadOptions
	// Scores are the tables to join; nil means all, empty and not nil none.
	Scores []string
	// Where keeps the records for which it is true; nil keeps all.
	Where func(*nightshift.Record) bool

	sheetRows int   // of a workbook's sheet; 0 means as many as there can be
	sortBytes int64 // of a score table in another order that are sorted in memory; 0 means defaultSortBytes
}

// Export writes one flat table of a run to w and returns the number of rows.
// Each scorer adds a column score_<scorer> with its value and one
// score_<scorer>_status. Rows that have no score have null there.
//
// Where no score is joined and no row left out, Parquet row groups are copied
// as they are. In CSV, texts that a spreadsheet would take for a formula get a
// leading apostrophe, null is an empty cell, and bytes are base64.
func Export(dir string, w io.Writer, format string, o ExportOptions) (rows int64, err error) {
	if o.fs == nil {
		o.fs = osFS{}
	}
	if o.Scores == nil {
		if o.Scores, err = scoreTables(o.fs, paths(dir)); err != nil {
			return 0, err
		}
	}
	joins, err := openJoins(o.fs, paths(dir), o.Scores, o.sortBytes)
	if err != nil {
		return 0, err
	}
	defer joins.close()
	switch format {
	case FormatParquet:
		return exportParquet(dir, w, o, joins)
	case FormatCSV:
		return exportCSV(dir, w, o, joins)
	case FormatJSONL:
		return exportJSONL(dir, w, o, joins)
	case FormatXLSX:
		return exportXLSX(dir, w, o, joins)
	}
	return 0, fmt.Errorf("export format %q; there are %s, %s, %s and %s", format, FormatParquet, FormatCSV, FormatJSONL, FormatXLSX)
}

// records yields what is to be exported.
func (o ExportOptions) records(dir string) iter.Seq2[nightshift.Record, error] {
	return func(yield func(nightshift.Record, error) bool) {
		for rec, err := range Rows[nightshift.Record](dir, o.ReadOptions) {
			if err == nil && o.Where != nil && !o.Where(&rec) {
				continue
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

func exportParquet(dir string, w io.Writer, o ExportOptions, joins *joins) (int64, error) {
	if len(joins.columns) > 0 {
		return exportJoined(dir, w, o, joins)
	}
	v, err := openView(o.fs, dir)
	if err != nil {
		return 0, err
	}
	pw := parquet.NewGenericWriter[nightshift.Record](w, writerOptions(parquet.SchemaOf(nightshift.Record{}))...)
	setMeta(pw, exportMeta(v))
	var rows int64
	if o.Where == nil && o.From == 0 && o.To == 0 {
		rows, err = copyShards(v, o, pw)
	} else {
		rows, err = copyRecords(o.records(dir), pw)
	}
	if err != nil {
		return rows, err
	}
	return rows, pw.Close()
}

func exportMeta(v *view) map[string]string {
	return map[string]string{
		"schema_version": schemaVersion, "tool_version": v.info.Tool, "run_id": v.info.RunID, "run": v.info.Name,
		"dataset_hash": v.info.DatasetHash, "plan_hash": v.info.PlanHash, "price_table": v.info.PriceTable, "columns": columnMeanings,
	}
}

// copyShards copies the row groups of whole parts as they are, and writes the
// rows of open units behind them, in the order of Rows.
func copyShards(v *view, o ExportOptions, pw *parquet.GenericWriter[nightshift.Record]) (int64, error) {
	var rows int64
	for key := range v.chosen(o.ReadOptions) {
		err := v.withShard(key, func(parquetFile *ParquetFile, j *journal) error {
			if parquetFile == nil && j == nil {
				return nil
			}
			if j == nil {
				n, copied, err := copyGroups(v, parquetFile, pw)
				rows += n
				if copied || err != nil {
					return err
				}
				j = newJournal(v.info.Chunks[key.shard], v.info.Epochs) // an empty one: all rows are the part's
			}
			n, err := copyRecords(func(yield func(nightshift.Record, error) bool) {
				for rec, err := range mergeRecords(v.fs, v.dir, parquetFile, j) {
					if err != nil {
						yield(nightshift.Record{}, err)
						return
					}
					if !yield(*rec, nil) {
						return
					}
				}
			}, pw)
			rows += n
			return err
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// copyGroups copies the row groups of a part; copied is false, and nothing
// done, where the part has other columns, as one of an older version does.
func copyGroups(v *view, parquetFile *ParquetFile, pw *parquet.GenericWriter[nightshift.Record]) (rows int64, copied bool, err error) {
	defer noPanic(&err)
	f, pf, err := openParquetFile(v.fs, v.dir.at(resultsDir, parquetFile.Name))
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	if len(digesterOf(pf).lacks) > 0 {
		return 0, false, nil
	}
	for _, g := range pf.RowGroups() {
		n, err := pw.WriteRowGroup(g)
		rows += n
		if err != nil {
			return rows, true, err
		}
	}
	return rows, true, nil
}

func copyRecords(records iter.Seq2[nightshift.Record, error], pw *parquet.GenericWriter[nightshift.Record]) (int64, error) {
	var rows, pending int64
	batch := make([]nightshift.Record, 0, batchRows)
	flush := func() error {
		n, err := pw.Write(batch)
		rows += int64(n)
		clear(batch)
		batch = batch[:0]
		if err == nil && pending >= bytesPerGroup {
			pending = 0
			err = pw.Flush()
		}
		return err
	}
	for rec, err := range records {
		if err != nil {
			return rows, err
		}
		pending += weighRecord(&rec)
		batch = append(batch, rec)
		if len(batch) == batchRows || pending >= bytesPerGroup {
			if err := flush(); err != nil {
				return rows, err
			}
		}
	}
	return rows, flush()
}

// exportJoined writes rows of a struct type made for the occasion: the columns
// of a Record and those of the scorers.
func exportJoined(dir string, w io.Writer, o ExportOptions, joins *joins) (int64, error) {
	v, err := openView(o.fs, dir)
	if err != nil {
		return 0, err
	}
	t := joins.rowType()
	pw := parquet.NewWriter(w, writerOptions(parquet.SchemaOf(reflect.New(t).Interface()))...)
	setMeta(pw, exportMeta(v))
	var rows, pending int64
	for rec, err := range o.records(dir) {
		if err != nil {
			return rows, err
		}
		scores, err := joins.of(&rec)
		if err != nil {
			return rows, err
		}
		if err := pw.Write(joins.row(t, &rec, scores).Interface()); err != nil {
			return rows, err
		}
		rows++
		if pending += weighRecord(&rec); pending >= bytesPerGroup {
			pending = 0
			if err := pw.Flush(); err != nil {
				return rows, err
			}
		}
	}
	return rows, pw.Close()
}

func exportJSONL(dir string, w io.Writer, o ExportOptions, joins *joins) (int64, error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	type line struct {
		nightshift.Record
		Scores map[string]jsonScore `json:"scores,omitempty"`
	}
	var rows int64
	for rec, err := range o.records(dir) {
		if err != nil {
			return rows, err
		}
		scores, err := joins.of(&rec)
		if err != nil {
			return rows, err
		}
		l := line{Record: rec}
		for i, s := range scores {
			if s == nil {
				continue
			}
			if l.Scores == nil {
				l.Scores = map[string]jsonScore{}
			}
			l.Scores[joins.scorers[i]] = jsonScore{s.Value, s.Status, s.Answer, s.Explanation}
		}
		if err := enc.Encode(l); err != nil {
			return rows, err
		}
		rows++
	}
	return rows, nil
}

type jsonScore struct {
	Value       *float64               `json:"value"`
	Status      nightshift.ScoreStatus `json:"status"`
	Answer      *string                `json:"answer,omitempty"`
	Explanation *string                `json:"explanation,omitempty"`
}

func exportCSV(dir string, w io.Writer, o ExportOptions, joins *joins) (int64, error) {
	cw := csv.NewWriter(w)
	header := exportHeader(joins)
	if err := cw.Write(header); err != nil {
		return 0, err
	}
	var rows int64
	cells := make([]string, 0, len(header))
	for rec, err := range o.records(dir) {
		if err != nil {
			return rows, err
		}
		scores, err := joins.of(&rec)
		if err != nil {
			return rows, err
		}
		cells = cells[:0]
		v := reflect.ValueOf(&rec).Elem()
		for i := range v.NumField() {
			cells = append(cells, csvCell(v.Field(i)))
		}
		for _, s := range scores {
			if s == nil {
				cells = append(cells, "", "")
				continue
			}
			cells = append(cells, csvCell(reflect.ValueOf(s.Value)), csvText(string(s.Status)))
		}
		if err := cw.Write(cells); err != nil {
			return rows, err
		}
		rows++
	}
	cw.Flush()
	return rows, cw.Error()
}

// exportHeader names the columns of a flat table.
func exportHeader(joins *joins) (header []string) {
	t := reflect.TypeFor[nightshift.Record]()
	for i := range t.NumField() {
		name, _ := columnName(t.Field(i))
		header = append(header, name)
	}
	for _, c := range joins.columns {
		header = append(header, c, c+"_status")
	}
	return header
}

// csvCell renders a column value.
func csvCell(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		return csvText(v.String())
	case reflect.Int64, reflect.Int32:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Slice:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	}
	return v.Interface().(time.Time).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// csvText puts an apostrophe before every cell in which a line begins, after
// white space and characters that cannot be seen, with something that a
// spreadsheet takes for a formula.
func csvText(s string) string {
	start := true
	for _, r := range s {
		switch {
		case start && strings.ContainsRune("=+-@\t\r＝＋－＠", r):
			return "'" + s
		case r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' || r == '\v' || r == '\f' || r == '\u0085':
			start = true
		case start && !invisible(r):
			start = false
		}
	}
	return s
}

// joins are the score tables next to the rows they are joined to.
type joins struct {
	scorers []string // sorted
	columns []string // their column names
	tables  []*joinTable
}

// A joinTable is one score file, read in the order of Rows: a step through both
// side by side joins them.
type joinTable struct {
	next   func() (nightshift.Score, error, bool)
	stop   func()
	order  map[string]int // of models
	head   *nightshift.Score
	sorted bool // the file has the order of Rows
}

type scoreKey struct {
	model string
	row   int64
	epoch int32
}

func openJoins(fsys fileSystem, dir paths, tables []string, sortBytes int64) (*joins, error) {
	j := &joins{}
	if len(tables) == 0 {
		return j, nil
	}
	v, err := openView(fsys, string(dir))
	if err != nil {
		return nil, err
	}
	order := map[string]int{}
	for i, m := range v.info.Models {
		order[m] = i
	}
	scorers := map[string]bool{}
	for _, name := range tables {
		t := &joinTable{order: order, sorted: true}
		if err := t.survey(fsys, dir, name, scorers); err != nil {
			j.close()
			return nil, err
		}
		rows := readScores(fsys, dir, []string{name})
		if !t.sorted {
			rows = t.sort(rows, cmp.Or(sortBytes, defaultSortBytes))
		}
		t.next, t.stop = iter.Pull2(rows)
		j.tables = append(j.tables, t)
	}
	j.scorers = sortedKeys(scorers)
	taken := map[string]int{}
	for _, s := range j.scorers {
		c := "score_" + strings.ToLower(strings.NewReplacer(".", "_", "-", "_").Replace(plainName(s)))
		if taken[c]++; taken[c] > 1 {
			c += "_" + strconv.Itoa(taken[c])
		}
		j.columns = append(j.columns, c)
	}
	return j, nil
}

// survey reads the keys of a table: which scorers it holds, and whether it is
// in the order of Rows.
func (t *joinTable) survey(fsys fileSystem, dir paths, name string, scorers map[string]bool) error {
	type key struct {
		Row    int64  `parquet:"row"`
		Epoch  int32  `parquet:"epoch"`
		Model  string `parquet:"model,dict"`
		Scorer string `parquet:"scorer,dict"`
	}
	path := dir.at(scoresDir, name+".parquet")
	last := scoreKey{row: -1}
	first := true
	for k, err := range fileRows[key](fsys, path) {
		if err != nil {
			return &DamageError{Path: path, Err: err}
		}
		scorers[k.Scorer] = true
		if _, known := t.order[k.Model]; !known {
			continue // joined to no row
		}
		now := scoreKey{k.Model, k.Row, k.Epoch}
		if !first && t.less(now, last) {
			t.sorted = false
		}
		last, first = now, false
	}
	return nil
}

func (t *joinTable) less(a, b scoreKey) bool { return t.compare(a, b) < 0 }

// compare orders keys as Rows does.
func (t *joinTable) compare(a, b scoreKey) int {
	return cmp.Or(cmp.Compare(t.order[a.model], t.order[b.model]), cmp.Compare(a.row, b.row), cmp.Compare(a.epoch, b.epoch))
}

// at returns the scores of one record.
func (t *joinTable) at(key scoreKey) (found []*nightshift.Score, err error) {
	for {
		if t.head == nil {
			s, err, ok := t.next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			t.head = &s
		}
		k := keyOf(t.head)
		if t.less(key, k) {
			break
		}
		if k == key {
			found = append(found, t.head)
		}
		t.head = nil
	}
	return found, nil
}

// of returns the scores of a record, one per scorer, nil where there is none.
func (j *joins) of(rec *nightshift.Record) ([]*nightshift.Score, error) {
	if len(j.columns) == 0 {
		return nil, nil
	}
	scores := make([]*nightshift.Score, len(j.scorers))
	for _, t := range j.tables {
		found, err := t.at(scoreKey{rec.Model, rec.Row, rec.Epoch})
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if i, ok := slices.BinarySearch(j.scorers, s.Scorer); ok {
				scores[i] = s
			}
		}
	}
	return scores, nil
}

func (j *joins) rowType() reflect.Type {
	rec := reflect.TypeFor[nightshift.Record]()
	var fields []reflect.StructField
	for i := range rec.NumField() {
		f := rec.Field(i)
		f.Offset, f.Index = 0, nil
		fields = append(fields, f)
	}
	for i, c := range j.columns {
		fields = append(fields,
			reflect.StructField{Name: fmt.Sprintf("Score%d", i), Type: reflect.TypeFor[*float64](), Tag: reflect.StructTag(`parquet:"` + c + `,optional"`)},
			reflect.StructField{Name: fmt.Sprintf("Status%d", i), Type: reflect.TypeFor[*string](), Tag: reflect.StructTag(`parquet:"` + c + `_status,optional,dict"`)})
	}
	return reflect.StructOf(fields)
}

func (j *joins) row(t reflect.Type, rec *nightshift.Record, scores []*nightshift.Score) reflect.Value {
	row := reflect.New(t)
	from := reflect.ValueOf(rec).Elem()
	n := from.NumField()
	for i := range n {
		row.Elem().Field(i).Set(from.Field(i))
	}
	for i, s := range scores {
		if s == nil {
			continue
		}
		status := string(s.Status)
		row.Elem().Field(n + 2*i).Set(reflect.ValueOf(s.Value))
		row.Elem().Field(n + 2*i + 1).Set(reflect.ValueOf(&status))
	}
	return row
}

func (j *joins) close() {
	for _, t := range j.tables {
		t.stop()
	}
}
