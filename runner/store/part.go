package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"iter"
	"math"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"nightshift"
)

const (
	schemaVersion = "1"
	rowsPerGroup  = 50_000
	bytesPerGroup = 64 << 20 // raw bytes after which a row group is closed
	batchRows     = 64
)

// shortColumns keep page statistics, which make filters fast. All other text
// columns have none: statistics hold the smallest and largest value uncut, so
// that one long answer would be stored five times.
var shortColumns = map[string]bool{
	"run": true, "endpoint": true, "protocol": true, "requested_model": true, "model": true, "served_model": true,
	"outcome": true, "stop_reason": true, "error_class": true, "price_id": true,
	"scorer": true, "status": true, "scorer_version": true,
}

// writerOptions are the same for every file of a schema, which is what lets
// row groups be copied from one into another as they are.
func writerOptions(schema *parquet.Schema) []parquet.WriterOption {
	opts := []parquet.WriterOption{
		schema,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.DataPageVersion(1),
		parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.PageBufferSize(1 << 20),
		parquet.WriteBufferSize(1 << 20),
		parquet.DictionaryMaxBytes(1 << 20),
		parquet.MaxRowsPerRowGroup(rowsPerGroup),
		parquet.CreatedBy("nightshift", schemaVersion, ""),
	}
	for _, col := range schema.Columns() {
		leaf, _ := schema.Lookup(col...)
		if leaf.Node.Type().Kind() == parquet.ByteArray && !shortColumns[col[0]] {
			opts = append(opts, parquet.SkipPageBounds(col...), parquet.SkipPageStatistics(col...))
		}
	}
	return opts
}

// parquetFile writes one Parquet file through the file system and knows what
// it has written. It belongs to one goroutine.
type parquetFile[T any] struct {
	f       file
	w       *parquet.GenericWriter[T]
	sum     hash.Hash
	size    int64
	batch   []T
	pending int64 // raw bytes since the last row group
	weigh   func(*T) int64
}

// createParquet begins a file. name must not exist.
func createParquet[T any](fsys fileSystem, name string, meta map[string]string, weigh func(*T) int64) (*parquetFile[T], error) {
	f, err := fsys.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	p := &parquetFile[T]{f: f, sum: sha256.New(), weigh: weigh}
	p.w = parquet.NewGenericWriter[T](p, writerOptions(parquet.SchemaOf(new(T)))...)
	setMeta(p.w, meta)
	return p, nil
}

func setMeta(w interface{ SetKeyValueMetadata(string, string) }, meta map[string]string) {
	for _, k := range sortedKeys(meta) {
		w.SetKeyValueMetadata(k, meta[k])
	}
}

// Write is for the Parquet writer.
func (p *parquetFile[T]) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.sum.Write(b[:n])
	p.size += int64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

func (p *parquetFile[T]) add(row T) error {
	p.pending += p.weigh(&row)
	p.batch = append(p.batch, row)
	if len(p.batch) < batchRows && p.pending < bytesPerGroup {
		return nil
	}
	return p.writeBatch()
}

func (p *parquetFile[T]) writeBatch() error {
	_, err := p.w.Write(p.batch)
	clear(p.batch)
	p.batch = p.batch[:0]
	if err == nil && p.pending >= bytesPerGroup {
		p.pending = 0
		err = p.w.Flush()
	}
	return err
}

// finish writes what is left and the footer, and makes the file durable. The
// file stays open for reading.
func (p *parquetFile[T]) finish() error {
	if err := p.writeBatch(); err != nil {
		return err
	}
	if err := p.w.Close(); err != nil {
		return err
	}
	return p.f.Sync()
}

func (p *parquetFile[T]) close() error { return p.f.Close() }

// weighRecord is about how many bytes a record takes before compression.
func weighRecord(r *nightshift.Record) int64 {
	n := int64(400) + int64(len(r.RawBytes))
	for _, s := range []*string{r.Text, r.Thinking, r.ToolCalls, r.Choices, r.UsageRaw, r.AttemptLog, r.ErrorMessage, r.System, r.Input, r.Target, r.Metadata, r.RawResponse} {
		if s != nil {
			n += int64(len(*s))
		}
	}
	return n
}

// partMeta is what a part says about itself in its footer.
type partMeta struct {
	RunID, Run, Tool, Model                        string
	Unit, Gen                                      int
	First, Rows                                    int64 // dataset rows
	Epochs                                         int
	DatasetHash, SliceHash, PlanHash, PriceTableID string
}

func (m partMeta) keyValues() map[string]string {
	return map[string]string{
		"schema_version": schemaVersion,
		"tool_version":   m.Tool,
		"run_id":         m.RunID,
		"run":            m.Run,
		"model":          m.Model,
		"unit":           strconv.Itoa(m.Unit),
		"generation":     strconv.Itoa(m.Gen),
		"first_row":      strconv.FormatInt(m.First, 10),
		"dataset_rows":   strconv.FormatInt(m.Rows, 10),
		"epochs":         strconv.Itoa(m.Epochs),
		"dataset_hash":   m.DatasetHash,
		"slice_hash":     m.SliceHash,
		"plan_hash":      m.PlanHash,
		"price_table":    m.PriceTableID,
		"columns":        columnMeanings,
	}
}

func metaOf(f *parquet.File) (partMeta, error) {
	var m partMeta
	var bad []string
	text := func(key string) string {
		v, ok := f.Lookup(key)
		if !ok {
			bad = append(bad, key)
		}
		return v
	}
	number := func(key string) int64 {
		n, err := strconv.ParseInt(text(key), 10, 64)
		if err != nil {
			bad = append(bad, key)
		}
		return n
	}
	m.RunID, m.Run, m.Tool, m.Model = text("run_id"), text("run"), text("tool_version"), text("model")
	m.Unit, m.Gen, m.Epochs = int(number("unit")), int(number("generation")), int(number("epochs"))
	m.First, m.Rows = number("first_row"), number("dataset_rows")
	m.DatasetHash, m.SliceHash, m.PlanHash, m.PriceTableID = text("dataset_hash"), text("slice_hash"), text("plan_hash"), text("price_table")
	if v := text("schema_version"); v != schemaVersion {
		return m, fmt.Errorf("schema version %q, this program reads %q", v, schemaVersion)
	}
	if len(bad) > 0 {
		return m, fmt.Errorf("footer lacks %v", bad)
	}
	return m, nil
}

// openPart opens a Parquet file. Damaged files make the library panic now and
// then, so whoever reads must be under noPanic.
func openPart(fsys fileSystem, name string) (f file, pf *parquet.File, err error) {
	defer noPanic(&err)
	f, err = fsys.open(name, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	size, err := f.length()
	if err == nil {
		pf, err = parquet.OpenFile(f, size, parquet.SkipBloomFilters(true), parquet.ReadBufferSize(1<<15))
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, pf, nil
}

// noPanic turns a panic of the Parquet reader into an error.
func noPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet file: %v", p)
	}
}

// readPart yields the rows of an open file. Every row owns its memory.
func readPart[T any](pf *parquet.File) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		r, err := newReader[T](pf)
		if err != nil {
			yield(zero, err)
			return
		}
		defer r.Close()
		left := pf.NumRows()
		for left > 0 {
			// A fresh batch each time: the reader fills pointers in place.
			batch := make([]T, min(batchRows, left))
			n, err := readBatch(r, batch)
			for _, row := range batch[:n] {
				if !yield(row, nil) {
					return
				}
			}
			left -= int64(n)
			if n == 0 && (err == nil || errors.Is(err, io.EOF)) {
				err = fmt.Errorf("damaged Parquet file: %d rows are missing", left)
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(zero, err)
				return
			}
		}
	}
}

func newReader[T any](pf *parquet.File) (r *parquet.GenericReader[T], err error) {
	defer noPanic(&err)
	return parquet.NewGenericReader[T](pf), nil
}

func readBatch[T any](r *parquet.GenericReader[T], batch []T) (n int, err error) {
	defer noPanic(&err)
	return r.Read(batch)
}

// A digest is a hash of everything in a record. A part's rows are hashed when
// they are written and again when they are read back.
type digester struct {
	seed maphash.Seed
	h    maphash.Hash
}

func newDigester() *digester {
	d := &digester{seed: maphash.MakeSeed()}
	d.h.SetSeed(d.seed)
	return d
}

func (d *digester) digest(rec *nightshift.Record) uint64 {
	d.h.Reset()
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() == reflect.Pointer {
			if f.IsNil() {
				d.h.WriteByte(0)
				continue
			}
			d.h.WriteByte(1)
			f = f.Elem()
		}
		d.value(f)
	}
	return d.h.Sum64()
}

func (d *digester) value(f reflect.Value) {
	switch f.Kind() {
	case reflect.String:
		d.number(uint64(f.Len()))
		d.h.WriteString(f.String())
	case reflect.Int64, reflect.Int32:
		d.number(uint64(f.Int()))
	case reflect.Float64:
		d.number(math.Float64bits(f.Float()))
	case reflect.Bool:
		n := uint64(0)
		if f.Bool() {
			n = 1
		}
		d.number(n)
	case reflect.Slice:
		d.number(uint64(f.Len()))
		d.h.Write(f.Bytes())
	case reflect.Struct:
		d.number(uint64(f.Interface().(time.Time).UnixMicro()))
	default:
		panic("store: no digest for a field of kind " + f.Kind().String())
	}
}

func (d *digester) number(n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	d.h.Write(b[:])
}

// columnMeanings goes into every footer, for whoever finds the file alone.
var columnMeanings = func() string {
	meanings := map[string]string{
		"input_tokens":         "all input tokens, cached ones included; null when not reported",
		"reasoning_tokens":     "part of output_tokens",
		"cost_nano_usd":        "billionths of a US dollar, all attempts; null when a price or a usage is unknown",
		"billed_input_tokens":  "all attempts",
		"billed_output_tokens": "all attempts",
		"maybe_billed":         "an attempt may have been billed without an answer; attempt_log says how much at most",
		"attempt_log":          "JSON array, one object per HTTP request",
		"outcome":              "ok, truncated, refused, empty, failed, input_error, unknown",
		"raw_bytes":            "the body as read, where it was not valid UTF-8",
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(meanings); err != nil {
		panic(err)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}()
