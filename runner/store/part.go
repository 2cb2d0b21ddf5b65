package store

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/format"

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
		parquet.WriteBufferSize(0), // parquetFile has its own, and knows what went through it
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
	buf     *bufio.Writer
	w       *parquet.GenericWriter[T]
	sum     hash.Hash // SHA-256 of the file so far
	crc     uint32    // CRC-32C of it
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
	p := &parquetFile[T]{f: f, buf: bufio.NewWriterSize(f, 1<<20), sum: sha256.New(), weigh: weigh}
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
	p.sum.Write(b)
	p.crc = crc32.Update(p.crc, castagnoli, b)
	p.size += int64(len(b))
	return p.buf.Write(b)
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

// finish writes what is left and the footer, which says what the bytes before
// it add up to, and makes the file durable. The file stays open for reading.
func (p *parquetFile[T]) finish() error {
	if err := p.writeBatch(); err != nil {
		return err
	}
	if err := p.w.Flush(); err != nil {
		return err
	}
	p.w.SetKeyValueMetadata(dataBytes, strconv.FormatInt(p.size, 10))
	p.w.SetKeyValueMetadata(dataChecksum, fmt.Sprintf("%08x", p.crc))
	if err := p.w.Close(); err != nil {
		return err
	}
	if err := p.buf.Flush(); err != nil {
		return err
	}
	return p.f.Sync()
}

// Footer keys for the bytes before the page indexes and the footer.
const (
	dataBytes    = "data_bytes"
	dataChecksum = "data_crc32c"
)

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

// parquetFileMeta is what a part says about itself in its footer.
type parquetFileMeta struct {
	RunID, Run, Tool, Model                        string
	Shard, Gen                                     int
	First, Rows, Skipped                           int64 // dataset rows
	Epochs                                         int
	DatasetHash, ChunkHash, PlanHash, PriceTableID string
}

func (m parquetFileMeta) keyValues() map[string]string {
	return map[string]string{
		"schema_version": schemaVersion,
		"tool_version":   m.Tool,
		"run_id":         m.RunID,
		"run":            m.Run,
		"model":          m.Model,
		"unit":           strconv.Itoa(m.Shard),
		"generation":     strconv.Itoa(m.Gen),
		"first_row":      strconv.FormatInt(m.First, 10),
		"dataset_rows":   strconv.FormatInt(m.Rows, 10),
		"skipped_rows":   strconv.FormatInt(m.Skipped, 10),
		"epochs":         strconv.Itoa(m.Epochs),
		"dataset_hash":   m.DatasetHash,
		"slice_hash":     m.ChunkHash,
		"plan_hash":      m.PlanHash,
		"price_table":    m.PriceTableID,
		"columns":        columnMeanings,
	}
}

func metaOf(f *parquet.File) (parquetFileMeta, error) {
	var m parquetFileMeta
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
	m.Shard, m.Gen, m.Epochs = int(number("unit")), int(number("generation")), int(number("epochs"))
	m.First, m.Rows, m.Skipped = number("first_row"), number("dataset_rows"), number("skipped_rows")
	m.DatasetHash, m.ChunkHash, m.PlanHash, m.PriceTableID = text("dataset_hash"), text("slice_hash"), text("plan_hash"), text("price_table")
	if v := text("schema_version"); v != schemaVersion {
		return m, fmt.Errorf("schema version %q, this program reads %q", v, schemaVersion)
	}
	if len(bad) > 0 {
		return m, fmt.Errorf("footer lacks %v", bad)
	}
	return m, nil
}

// sound reports what is wrong with the structure that a footer describes. A
// damaged footer can send the Parquet reader into allocating without end (an
// LZ4 page that is none doubles its buffer until memory is gone), which no
// recover stops, so nothing is decoded before this check.
func sound(pf *parquet.File) error {
	next := int64(len("PAR1"))
	var rows int64
	columns := len(pf.Schema().Columns())
	for i, g := range pf.Metadata().RowGroups {
		rows += g.NumRows
		chunks := g.Columns
		if len(chunks) != columns {
			return fmt.Errorf("damaged footer: row group %d has %d columns of %d", i, len(chunks), columns)
		}
		for _, c := range chunks {
			m := c.MetaData
			start := m.DataPageOffset
			if d := m.DictionaryPageOffset; d != 0 {
				start = min(start, d)
			}
			if m.Codec != format.Zstd || start != next || m.TotalCompressedSize < 0 || m.NumValues != g.NumRows {
				return fmt.Errorf("damaged footer: row group %d, column %v", i, m.PathInSchema)
			}
			next += m.TotalCompressedSize
		}
	}
	if rows != pf.NumRows() {
		return fmt.Errorf("damaged footer: %d rows in groups, %d in all", rows, pf.NumRows())
	}
	if want, there := pf.Lookup(dataBytes); there && want != strconv.FormatInt(next, 10) {
		return fmt.Errorf("damaged footer: pages end at %d, want %s", next, want)
	}
	return nil
}

// checkData compares the pages of a file, byte for byte, with the checksum in
// its footer.
func checkData(f file, pf *parquet.File) error {
	size, there := pf.Lookup(dataBytes)
	want, there2 := pf.Lookup(dataChecksum)
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || !there || !there2 {
		return errors.New("its footer has no checksum of the pages")
	}
	h := crc32.New(castagnoli)
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, n)); err != nil {
		return err
	}
	if got := fmt.Sprintf("%08x", h.Sum32()); got != want {
		return fmt.Errorf("the checksum of its pages is %s, its footer says %s", got, want)
	}
	return nil
}

// openParquetFile opens a Parquet file. Damaged files make the library panic now and
// then, so whoever reads must be under noPanic.
func openParquetFile(fsys fileSystem, name string) (f file, pf *parquet.File, err error) {
	defer noPanic(&err)
	f, err = fsys.open(name, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	size, err := f.length()
	if err == nil {
		pf, err = openParquet(f, size)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, pf, nil
}

// openParquet reads the footer. The page indexes are left out: nothing here
// needs them, and a checksum does not cover them.
func openParquet(f io.ReaderAt, size int64) (pf *parquet.File, err error) {
	defer noPanic(&err)
	pf, err = parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(1<<15))
	if err == nil {
		err = sound(pf)
	}
	return pf, err
}

// noPanic turns a panic of the Parquet reader into an error.
func noPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet file: %v", p)
	}
}

// rowsChecksum is the footer key of the checksum over all values of a part.
// The checksums of pages do not cover their headers, nor the footer.
const rowsChecksum = "rows_crc32c"

// A digester makes a checksum of everything in all records so far. A part's rows are put through one when they are written and through
// another when they are read back.
type digester struct {
	all  uint32
	buf  []byte // the last record
	ends []int  // where each of its fields ends in buf
	// lacks are the fields of a Record that the file has no column for: it is
	// older than they are, and they are not in its checksum.
	lacks map[int]bool
}

// digesterOf returns the digester for the records of a part, which an older
// version may have written.
func digesterOf(pf *parquet.File) (d digester) {
	for _, f := range recordFields {
		if _, there := pf.Schema().Lookup(f.name); !there {
			if d.lacks == nil {
				d.lacks = map[int]bool{}
			}
			d.lacks[f.index] = true
		}
	}
	return d
}

func (d *digester) add(rec *nightshift.Record) {
	d.buf, d.ends = d.buf[:0], d.ends[:0]
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() {
		if !d.lacks[i] {
			d.field(v.Field(i))
		}
		d.ends = append(d.ends, len(d.buf))
	}
	d.all = crc32.Update(d.all, castagnoli, d.buf)
}

func (d *digester) field(f reflect.Value) {
	if f.Kind() == reflect.Pointer {
		if f.IsNil() {
			d.buf = append(d.buf, 0)
			return
		}
		d.buf = append(d.buf, 1)
		f = f.Elem()
	}
	d.value(f)
}

func (d *digester) value(f reflect.Value) {
	switch f.Kind() {
	case reflect.String:
		d.number(uint64(f.Len()))
		d.buf = append(d.buf, f.String()...)
	case reflect.Int64, reflect.Int32:
		d.number(uint64(f.Int()))
	case reflect.Float64:
		d.number(math.Float64bits(f.Float()))
	case reflect.Bool:
		d.truth(f.Bool())
	case reflect.Slice:
		d.number(uint64(f.Len()))
		d.buf = append(d.buf, f.Bytes()...)
	case reflect.Struct:
		d.number(uint64(f.Interface().(time.Time).UnixMicro()))
	default:
		panic("store: no digest for a field of kind " + f.Kind().String())
	}
}

func (d *digester) truth(b bool) {
	n := uint64(0)
	if b {
		n = 1
	}
	d.number(n)
}

func (d *digester) number(n uint64) { d.buf = binary.LittleEndian.AppendUint64(d.buf, n) }

// sum is the checksum of all records so far, as it stands in the footer.
func (d *digester) sum() string { return fmt.Sprintf("%08x", d.all) }

// check compares the footer of a part with the records that went through d.
func (d *digester) check(pf *parquet.File) error {
	if want, there := pf.Lookup(rowsChecksum); !there || want != d.sum() {
		return fmt.Errorf("the checksum of its rows is %s, its footer says %q", d.sum(), want)
	}
	return nil
}

// columnMeanings goes into every footer, for whoever finds the file alone.
var columnMeanings = func() string {
	meanings := map[string]string{
		"input_tokens":         "all input tokens, cached ones included; null when not reported",
		"reasoning_tokens":     "part of output_tokens",
		"cost_nano_usd":        "billionths of a US dollar, all attempts; null when a price or a usage is unknown",
		"billed_input_tokens":  "all attempts",
		"billed_output_tokens": "all attempts",
		"target_is_list":       "the target was a list in the dataset: alternatives; false: one text",
		"maybe_billed":         "an attempt may have been billed without an answer; attempt_log says how much at most",
		"attempt_log":          "JSON array, one object per HTTP request",
		"outcome":              "ok, truncated, refused, empty, failed, input_error, unknown",
		"raw_bytes":            "the body as read, where it was not valid UTF-8",
	}
	b, err := nightshift.MarshalPlain(meanings)
	if err != nil {
		panic(err)
	}
	return string(b)
}()
