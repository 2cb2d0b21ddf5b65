// Package parquetfile writes, reads and checks the store's Parquet files.
package parquetfile

import (
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"

	"nightshift"
	"nightshift/internal/rawjson"
)

const (
	// SchemaVersion stands in every footer.
	SchemaVersion = "1"
	// BatchRows is how many rows are written and read at a time.
	BatchRows     = 64
	rowsPerGroup  = 50_000
	bytesPerGroup = 8 << 20 // raw bytes after which a row group is closed: compressed, it waits in memory for that
)

// shortColumns keep page statistics, which make filters fast. All other text
// columns have none: statistics hold the smallest and largest value uncut, so
// that one long answer would be stored five times.
var shortColumns = map[string]bool{
	"run": true, "endpoint": true, "protocol": true, "requested_model": true, "model": true, "served_model": true,
	"outcome": true, "stop_reason": true, "error_class": true, "price_id": true,
	"scorer": true, "status": true, "scorer_version": true,
}

// writerOptions are the same for every file of a schema. Row groups can
// therefore be copied from one file into another.
func writerOptions(schema *parquet.Schema) []parquet.WriterOption {
	opts := []parquet.WriterOption{
		schema,
		parquet.Compression(&codec{}),
		parquet.DataPageVersion(1),
		parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.PageBufferSize(pageBytes),
		parquet.WriteBufferSize(0), // writer has its own buffer and counts what goes through it
		parquet.DictionaryMaxBytes(1 << 20),
		parquet.MaxRowsPerRowGroup(rowsPerGroup),
		parquet.CreatedBy("nightshift", SchemaVersion, ""),
	}
	for _, col := range schema.Columns() {
		leaf, _ := schema.Lookup(col...)
		if leaf.Node.Type().Kind() == parquet.ByteArray && !shortColumns[col[0]] {
			opts = append(opts, parquet.SkipPageBounds(col...), parquet.SkipPageStatistics(col...))
		}
	}
	return opts
}

// A recordColumn is a field of a Record and the name of its column.
type recordColumn struct {
	index int
	field reflect.StructField
	name  string
}

var recordColumns = func() (list []recordColumn) {
	t := reflect.TypeFor[nightshift.Record]()
	for i := range t.NumField() {
		name, _ := ColumnName(t.Field(i))
		list = append(list, recordColumn{i, t.Field(i), name})
	}
	return list
}()

// ColumnName returns the column of a struct field; false when it has none, as
// embedded structs.
func ColumnName(f reflect.StructField) (string, bool) {
	name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
	if !f.IsExported() || f.Anonymous || name == "-" {
		return "", false
	}
	if name == "" {
		name = f.Name
	}
	return name, true
}

// ColumnMeanings explain the columns as a JSON object. They stand in every
// footer, for those who have only the file.
var ColumnMeanings = func() string {
	meanings := map[string]string{
		"input_tokens":         "all input tokens, cached ones included; null when not reported",
		"reasoning_tokens":     "part of output_tokens",
		"cost_nano_usd":        "billionths of a US dollar, all attempts; null when a price or a usage is unknown",
		"billed_input_tokens":  "all attempts",
		"billed_output_tokens": "all attempts",
		"target_is_list":       "the target was a list in the dataset: alternatives; false: one text",
		"maybe_billed":         "an attempt may have been billed without an answer; attempt_log says how much at most",
		"attempt_log":          "JSON array, one object per HTTP request",
		"embedding":            "the vector of the text; of several texts (embedding_count) one after the other",
		"outcome":              "ok, truncated, refused, empty, failed, input_error, unknown",
		"reused_from": "the run that paid for the answer, name@run_id; null: this run. Costs and " +
			"attempts are this run's",
		"reused_cost_nano_usd": "what the answer cost there",
		"raw_bytes":            "the body as read, where it was not valid UTF-8",
		"variant":              "how the model was asked, in runs with variants",
		"variant_of":           "the model's name in the plan, without the variant",
		"dataset":              "name of the row's dataset, in runs with several",
	}
	b, err := rawjson.Marshal(meanings)
	if err != nil {
		panic(err)
	}
	return string(b)
}()

// RecordColumns returns the fields of a Record by the names of their columns.
func RecordColumns() map[string]reflect.StructField {
	columns := map[string]reflect.StructField{}
	for _, c := range recordColumns {
		columns[c.name] = c.field
	}
	return columns
}
