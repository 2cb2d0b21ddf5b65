package view

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
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
	// Columns are those to write, in this order; nil means all.
	Columns []string
	// Wide writes one row for each row and epoch of the dataset, with columns
	// for each model.
	Wide bool

	sheetRows int   // of a workbook's sheet; 0 means as many as there can be
	sortBytes int64 // of a score table in another order that are sorted in memory; 0 means defaultsortBytes
}

// Export writes one flat table of a run to w and returns the number of rows.
// Each scorer adds a column score_<scorer> with its value, one
// score_<scorer>_status, and one score_<scorer>_<part> for each part that its values
// are made of. Rows that have no score have null there.
//
// Where no score is joined and no row left out, Parquet row groups are copied
// as they are. In CSV, texts that a spreadsheet would take for a formula get a
// leading apostrophe, null is an empty cell, and bytes are base64.
func Export(dir string, w io.Writer, format string, o ExportOptions) (rows int64, err error) {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.Scores == nil {
		if o.Scores, err = scoreTables(o.FS, rundir.Dir(dir)); err != nil {
			return 0, err
		}
	}
	if format == FormatParquet && len(o.Scores) == 0 && o.Columns == nil && !o.Wide {
		return exportRecords(dir, w, o)
	}
	t, err := openTable(dir, o)
	if err != nil {
		return 0, err
	}
	defer t.close()
	switch format {
	case FormatParquet:
		return exportParquet(dir, w, o, t)
	case FormatCSV:
		return exportCSV(w, t)
	case FormatJSONL:
		if o.Columns == nil && !o.Wide {
			return exportNested(dir, w, o, t.joins[0])
		}
		return exportJSONL(w, t)
	case FormatXLSX:
		return exportXLSX(w, o, t)
	}
	return 0, fmt.Errorf("export format %q; there are %s, %s, %s and %s",
		format, FormatParquet, FormatCSV, FormatJSONL, FormatXLSX)
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

// exportRecords writes records as they are, without scores.
func exportRecords(dir string, w io.Writer, o ExportOptions) (int64, error) {
	v, err := rundir.Read(o.FS, dir)
	if err != nil {
		return 0, err
	}
	table := parquetfile.NewRecordTable(w, exportMeta(v))
	if o.Where == nil && o.From == 0 && o.To == 0 {
		err = copyShards(v, o, table)
	} else {
		for rec, recErr := range o.records(dir) {
			if err = recErr; err == nil {
				err = table.Add(&rec)
			}
			if err != nil {
				break
			}
		}
	}
	if err != nil {
		return table.Rows(), err
	}
	err = table.Close()
	return table.Rows(), err
}

func exportMeta(v *rundir.Snapshot) map[string]string {
	return map[string]string{
		"schema_version": parquetfile.SchemaVersion, "tool_version": v.Info.Tool, "run_id": v.Info.RunID, "run": v.Info.Name,
		"dataset_hash": v.Info.DatasetHash, "plan_hash": v.Info.PlanHash, "price_table": v.Info.PriceTable,
		"columns": parquetfile.ColumnMeanings,
	}
}

// copyShards writes all shards in the order of [Rows]. It copies the row
// groups of committed shards as they are where it can.
func copyShards(v *rundir.Snapshot, o ExportOptions, table *parquetfile.RecordTable) error {
	for key := range v.Chosen(o.Models, o.From, o.To) {
		err := v.WithShard(key, func(parquetFile *rundir.ParquetFile, j *journal.Index) error {
			if parquetFile == nil && j == nil {
				return nil
			}
			if j == nil {
				if copied, err := copyGroups(v, parquetFile, table); copied || err != nil {
					return err
				}
				j = v.NewJournal(key) // an empty one: all rows are in the file
			}
			for rec, err := range rundir.MergeRecords(v.FS, v.Dir, parquetFile, j) {
				if err != nil {
					return err
				}
				if err := table.Add(rec); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func copyGroups(v *rundir.Snapshot, parquetFile *rundir.ParquetFile, table *parquetfile.RecordTable) (copied bool,
	err error) {
	f, err := parquetfile.Open(v.FS, v.Dir.At(rundir.ResultsDir, parquetFile.Name))
	if err != nil {
		return false, err
	}
	defer f.Close()
	return table.CopyGroups(f)
}

// exportParquet writes rows of a struct type made at run time.
func exportParquet(dir string, w io.Writer, o ExportOptions, t *table) (int64, error) {
	v, err := rundir.Read(o.FS, dir)
	if err != nil {
		return 0, err
	}
	typ := t.structType()
	out := parquetfile.NewStructTable(w, typ, exportMeta(v))
	var rows int64
	for cells, err := range t.rows {
		if err != nil {
			return rows, err
		}
		row, weight := reflect.New(typ).Elem(), int64(0)
		for i, c := range cells {
			if c.IsValid() {
				row.Field(i).Set(c)
				weight += weightOf(c)
			}
		}
		if err := out.Add(row.Addr().Interface(), weight); err != nil {
			return rows, err
		}
		rows++
	}
	return rows, out.Close()
}

// exportNested writes whole records, with their scores as an object in each.
func exportNested(dir string, w io.Writer, o ExportOptions, joins *joins) (int64, error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	type line struct {
		nightshift.Record
		Embedding []float32            `json:"embedding,omitempty"` // as a list
		Scores    map[string]jsonScore `json:"scores,omitempty"`
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
		l := line{Record: rec, Embedding: rec.Embedding}
		for i, s := range scores {
			if s == nil {
				continue
			}
			if l.Scores == nil {
				l.Scores = map[string]jsonScore{}
			}
			l.Scores[joins.scorers[i]] = jsonScore{s.Value, s.Status, s.Answer, s.Explanation, rawParts(s)}
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
	Parts       json.RawMessage        `json:"parts,omitempty"`
}

func exportCSV(w io.Writer, t *table) (int64, error) {
	cw := csv.NewWriter(w)
	if err := cw.Write(t.names()); err != nil {
		return 0, err
	}
	var rows int64
	texts := make([]string, len(t.columns))
	for cells, err := range t.rows {
		if err != nil {
			return rows, err
		}
		for i, c := range cells {
			texts[i] = ""
			if c.IsValid() {
				texts[i] = csvCell(c)
			}
		}
		if err := cw.Write(texts); err != nil {
			return rows, err
		}
		rows++
	}
	cw.Flush()
	return rows, cw.Error()
}

// exportJSONL writes one object for each row, with its members in the order of
// the columns.
func exportJSONL(w io.Writer, t *table) (int64, error) {
	out := bufio.NewWriter(w)
	var rows int64
	for cells, err := range t.rows {
		if err != nil {
			return rows, err
		}
		for i, c := range cells {
			out.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
			var value any
			if c.IsValid() {
				value = c.Interface()
			}
			if v, ok := value.(nightshift.Vector); ok {
				value = []float32(v) // as a list
			}
			text, err := rawjson.Marshal(value)
			if err != nil {
				return rows, err
			}
			out.WriteString(strconv.Quote(t.columns[i].name) + ":")
			out.Write(text)
		}
		out.WriteString("}\n")
		rows++
	}
	return rows, out.Flush()
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
		if vector, ok := v.Interface().(nightshift.Vector); ok {
			return csvVector(vector)
		}
		return base64.StdEncoding.EncodeToString(v.Bytes())
	}
	return v.Interface().(time.Time).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// csvVector is a vector as a JSON list; empty for none.
func csvVector(v nightshift.Vector) string {
	if v == nil {
		return ""
	}
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return string(append(b, ']'))
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
	parts   []part   // of what the values are made, by scorer
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

func openJoins(fsys disk.FS, dir rundir.Dir, tables []string, sortBytes int64) (*joins, error) {
	j := &joins{}
	if len(tables) == 0 {
		return j, nil
	}
	v, err := rundir.Read(fsys, string(dir))
	if err != nil {
		return nil, err
	}
	order := map[string]int{}
	for i, m := range v.Info.Models {
		order[m] = i
	}
	scorers := map[string]bool{}
	var parts []part
	for _, name := range tables {
		t := &joinTable{order: order, sorted: true}
		if err := t.survey(fsys, dir, name, scorers, &parts); err != nil {
			j.close()
			return nil, err
		}
		rows := readScores[nightshift.Score](fsys, dir, []string{name})
		if !t.sorted {
			rows = t.sort(rows, cmp.Or(sortBytes, defaultsortBytes))
		}
		t.next, t.stop = iter.Pull2(rows)
		j.tables = append(j.tables, t)
	}
	j.scorers = slices.Sorted(maps.Keys(scorers))
	taken := map[string]int{}
	for _, s := range j.scorers {
		column := once(taken, "score_"+columnOf(s))
		j.columns = append(j.columns, column)
		taken[column+"_status"]++
	}
	j.nameParts(parts, taken)
	return j, nil
}

// survey reads the keys of a table: which scorers it holds and what their values are
// made of, and whether it is in the order of Rows.
func (t *joinTable) survey(fsys disk.FS, dir rundir.Dir, name string, scorers map[string]bool, parts *[]part) error {
	type key struct {
		Row    int64   `parquet:"row"`
		Epoch  int32   `parquet:"epoch"`
		Model  string  `parquet:"model,dict"`
		Scorer string  `parquet:"scorer,dict"`
		Parts  *string `parquet:"parts,optional"` // missing from older tables
	}
	path := dir.At(rundir.ScoresDir, name+".parquet")
	last := scoreKey{row: -1}
	first := true
	for k, err := range parquetfile.Rows[key](fsys, path) {
		if err != nil {
			return &rundir.DamageError{Path: path, Err: err}
		}
		scorers[k.Scorer] = true
		if k.Parts != nil {
			addParts(parts, k.Scorer, *k.Parts)
		}
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
	return cmp.Or(cmp.Compare(t.order[a.model], t.order[b.model]), cmp.Compare(a.row, b.row),
		cmp.Compare(a.epoch, b.epoch))
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

func (j *joins) close() {
	for _, t := range j.tables {
		t.stop()
	}
}
