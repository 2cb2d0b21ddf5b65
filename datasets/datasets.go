package datasets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"math"
	"nightshift"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Spec says which rows to read and how they become samples. It is the
// dataset: section of a plan.
type Spec struct {
	Paths  []string // files or globs, relative to Dir; "-" is standard input
	Dir    string   // "" is the working directory
	Format string   // "" or "auto", or what formatNames lists

	// Fields maps roles to field names or dotted paths: id, target, prompt
	// (also question, input), system, messages, conversations, turns,
	// instruction, category, cluster, params, images. Fields["target"] may be
	// "last_assistant".
	Fields map[string]string

	System, Prompt, Target string // Jinja templates; "" is none. Target may be "last_assistant"
	Cluster, Category      string // field names or dotted paths

	// Row selection, applied in this order: Filter and SelectRows, Sample,
	// Offset, Limit. Rows keep their index in the whole dataset. A row that
	// cannot be read passes the filter.
	Filter                string // a Jinja expression over the row's fields; a missing field does not pass
	SelectRows            func(index int64) bool
	Sample, Offset, Limit int64 // 0 is none
	Seed                  uint64

	OnBadRow          string // "refuse" (default) or "record"
	MaxLine           int64  // longest row in bytes; 0 is 16 MiB
	ShardRows         int64  // rows in a slice; 0 is 20,000
	ShardBytes        int64  // most raw bytes in a slice of more than one row; 0 is 128 MiB
	MaxRatio          int64  // most that compressed files may grow; 0 is 200 times
	MaxBytes          int64  // most that one compressed file may unpack to; 0 is 4 TiB
	AllowDuplicateIDs bool
	// Versions are the lengths at which rows were added to the dataset of an
	// earlier start, in ascending order. No slice reaches over the end of a
	// stage, so that the slices before it stay what they were, and the rows
	// of the first stage alone decide the shape.
	Versions   []Version
	RepairUTF8 bool   // replace invalid UTF-8 and lone surrogates by U+FFFD
	Spool      string // folder for a copy of standard input, and for temporary files

	Stdin   io.Reader // nil is os.Stdin
	streams int       // streams spooled so far
	copies  []string  // copies of the streams, from an earlier start
}

// A Version is how much of a dataset there was at some time.
type Version struct {
	Rows   int64 `json:"rows"`
	Length int64 `json:"length"` // Info.Bytes of that time
}

// withDefaults fills in what zero values mean, and checks the rest.
func (s Spec) withDefaults(p *Problems) Spec {
	s.MaxLine = cmp.Or(s.MaxLine, defaultMax)
	s.ShardRows = cmp.Or(s.ShardRows, 20_000)
	s.ShardBytes = cmp.Or(s.ShardBytes, 128<<20)
	s.MaxRatio = cmp.Or(s.MaxRatio, defaultMaxRatio)
	s.MaxBytes = cmp.Or(s.MaxBytes, defaultMaxBytes)
	s.OnBadRow = cmp.Or(s.OnBadRow, "refuse")
	for _, n := range []struct {
		name string
		n    int64
	}{{"limit", s.Limit}, {"offset", s.Offset}, {"sample", s.Sample}, {"max_line", s.MaxLine}, {"unit_rows", s.ShardRows}} {
		if n.n < 0 {
			p.add(Problem{Row: -1, What: n.name + " is negative"})
		}
	}
	if s.MaxLine > 1<<30 {
		p.add(Problem{Row: -1, What: "max_line is above 1 GiB"})
	}
	if s.OnBadRow != "refuse" && s.OnBadRow != "record" {
		p.add(Problem{Row: -1, What: "on_bad_row is " + quoteShort(s.OnBadRow), Hint: "refuse or record"})
	}
	if f := s.Format; f != "" && f != "auto" && !isFormat(f) && shapeNamed(f) == nil {
		p.add(Problem{Row: -1, What: "format " + quoteShort(f) + " is not known", Hint: "one of " + strings.Join(formatNames(), ", ")})
	}
	return s
}

// A Dataset is one or more files that have been read once. Its methods are safe
// for concurrent use.
type Dataset struct {
	spec   Spec
	rules  *rules
	files  []*file
	chunks []Chunk
	info   Info
	picked selection
	// foreign says that a file is no dataset at all.
	foreign bool

	idle streamPool
	raw  rawReader
}

// Info is what the first pass found.
type Info struct {
	Shape    string // "question/answer", "prompt template", …
	Target   string // where targets come from, in words; "" when there are none
	Format   string // "JSON lines", "CSV", …; "mixed" when files differ
	Packed   string // "gzip", "zstd", "mixed" or ""
	Files    []string
	Rows     int64  // all rows, bad ones included
	Selected int64  // rows that will be yielded, bad ones included
	Blank    int64  // blank lines, which are no rows
	Bad      int64  // rows that cannot be sent, of those selected
	SameIDs  int64  // rows whose id an earlier row has
	NoID     int64  // rows without an id of their own
	Bytes    int64  // after decompression; rows for Parquet files
	OnDisk   int64  // size of the files
	Hash     string // hex; the same data has the same hash
	Fields   []string
	Epochs   bool // prompts differ between epochs: a template names epoch

	// RawFormat is what Raw returns: "jsonl", or "csv", "tsv" and "csv-semicolon" records to be
	// written below RawHeader.
	RawFormat string
	RawHeader string

	// Problems holds bad rows and double ids with their places, at most 100.
	Problems Problems
}

// String says it in one line: "question/answer, 1,319 rows, target after ####".
func (i Info) String() string {
	s := i.Shape + ", " + thousands(i.Rows) + plural(i.Rows, " row", " rows")
	if i.Selected != i.Rows {
		s += " (" + thousands(i.Selected) + " selected)"
	}
	if i.Target != "" {
		s += ", target " + i.Target
	} else {
		s += ", no target"
	}
	if i.Bad > 0 {
		s += ", " + thousands(i.Bad) + " bad"
	}
	if i.Blank > 0 {
		s += ", " + thousands(i.Blank) + plural(i.Blank, " blank line", " blank lines")
	}
	if i.Packed != "" {
		return s + ", " + i.Format + " in " + i.Packed
	}
	return s + ", " + i.Format
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// A Chunk is a contiguous run of rows: the unit of work and of identity.
type Chunk struct {
	First, Rows   int64
	Offset, Bytes int64    // in the files' contents put one behind the other; Parquet files count rows instead
	Hash          [32]byte // SHA-256 of these bytes
	Selected      int64    // rows that Read yields, bad ones included

	line   int64 // of the first row in its file
	passed int64 // rows that pass Filter and SelectRows
}

// Open reads all files once, in bounded memory, and finds everything that is
// wrong with them. When it finds something, the error is a *Problems; the
// Dataset is then nil, or (where the files could be read to their end) good
// for Info only.
//
// With OnBadRow "record", bad rows are no reason to refuse: they are counted in
// Info and yielded by Read as errors.
func Open(ctx context.Context, s Spec) (*Dataset, error) {
	var p Problems
	s = s.withDefaults(&p)
	if p.Total > 0 {
		return nil, &p
	}
	d, err := prepare(ctx, s, &p)
	if err != nil {
		return nil, err
	}
	if len(d.files) == 0 || d.foreign {
		_ = d.Close() // nothing was written
		return nil, &p
	}
	if err := d.index(ctx, &p); err != nil {
		return nil, err
	}
	return d, p.orNil()
}

// prepare finds the files and decides the rules.
func prepare(ctx context.Context, s Spec, p *Problems) (*Dataset, error) {
	d := &Dataset{spec: s}
	files := findFiles(ctx, &d.spec, p)
	for _, f := range files {
		if err := f.sniff(&d.spec); err != nil {
			p.add(problemOf(f.Name, err))
			continue
		}
		d.files = append(d.files, f)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(d.files) > 0 {
		d.decide(p)
	}
	return d, nil
}

// firstRows is how many rows decide the shape.
const firstRows = 64

// firstBytes is how far they are looked for, behind rows that are bad.
const firstBytes = 8 << 20

// decide finds the rules from the first rows that can be read.
func (d *Dataset) decide(p *Problems) {
	var rows []row
	most := int64(math.MaxInt64)
	if len(d.spec.Versions) > 0 {
		most = d.spec.Versions[0].Rows
	}
	for _, f := range d.files {
		some, seen := d.sampleRows(f, firstRows-len(rows), most)
		rows = append(rows, some...)
		if len(some) == 0 && seen > 2 && f.Format == formatJSONL && d.spec.OnBadRow != "record" && !d.objects(f) {
			p.add(Problem{File: f.Name, Row: -1, What: "this is no dataset: none of its first " + thousands(seen) + " lines is a JSON object that can be read",
				Hint: "a dataset is JSON lines, a JSON list, CSV, TSV or Parquet; for another format name it with --format"})
			d.foreign = true
		}
		if most -= seen; len(rows) >= firstRows || most <= 0 {
			break
		}
	}
	d.rules = decide(&d.spec, rows, p)
	d.rules.folder = d.mediaFolder()
	d.rules.tabular = slices.ContainsFunc(d.files, func(f *file) bool { return f.Format != formatJSONL && f.Format != formatJSON })
	d.info.Fields = fieldNames(rows)
}

// objects reports whether half of the first lines of a file begin as an object
// does.
func (d *Dataset) objects(f *file) bool {
	sp, closer, err := d.splitter(f, 0, 1)
	if err != nil {
		return true
	}
	defer closer.Close()
	var b batch
	if sp.next(&b) != nil {
		return true
	}
	n := 0
	for _, r := range b.rows {
		if bytes.HasPrefix(bytes.TrimSpace(b.text(r)), []byte("{")) {
			n++
		}
	}
	return 2*n >= len(b.rows)
}

// sampleRows reads up to n good rows from the first batches of a file, of its
// first most rows. It has seen that many, good or bad.
func (d *Dataset) sampleRows(f *file, n int, most int64) (rows []row, seen int64) {
	sp, closer, err := d.splitter(f, 0, 1)
	if err != nil {
		return nil, 0
	}
	defer closer.Close()
	var b batch
	for range firstBytes / batchBytes {
		if sp.next(&b) != nil {
			return rows, seen
		}
		for _, r := range b.rows {
			if seen++; seen > most {
				return rows, most
			}
			bld := builder{}
			parsed, c := d.parse(&bld, f, r, slices.Clone(b.text(r)))
			if c.bad() {
				continue
			}
			if rows = append(rows, parsed); len(rows) >= n {
				return rows, seen
			}
		}
	}
	return rows, seen
}

// parse turns the raw text of a row into fields.
func (d *Dataset) parse(b *builder, f *file, sp span, raw []byte) (row, rowError) {
	if sp.unreadable != nil {
		return row{}, *sp.unreadable
	}
	if f.tabular() {
		converted, what := csvRow(f.Header, raw, f.Format)
		if what != "" {
			return row{}, rowError{what, ""}
		}
		raw = converted
	}
	if b.object(raw) {
		return b.row(raw), rowError{}
	}
	first := rowError{b.what, b.hint}
	if b.at > 0 {
		first.what += " at character " + thousands(int64(b.at)+1)
	}
	if d.spec.RepairUTF8 {
		if raw = repaired(raw); b.object(raw) {
			return b.row(raw), rowError{}
		}
	}
	return row{}, first
}

// row is the row that was scanned last.
func (b *builder) row(raw []byte) row {
	r := row{raw, b.fields}
	if b.rules != nil {
		b.locate(r)
	}
	return r
}

// splitter starts cutting a file into rows at a position of its content. For
// compressed files that costs reading all before it; see streamPool.
func (d *Dataset) splitter(f *file, pos, line int64) (splitter, io.Closer, error) {
	if f.Format == formatParquet {
		p, err := openParquet(f, pos, int(d.spec.MaxLine))
		if err != nil {
			return nil, nil, err
		}
		return p, p, nil
	}
	st, err := f.openAt(&d.spec, pos)
	if err != nil {
		return nil, nil, err
	}
	return d.textSplitter(f, st, pos, line, batchBytes, false), st, nil
}

// textSplitter cuts r, which begins at pos of the file's content; partial says
// that it ends before the file does.
func (d *Dataset) textSplitter(f *file, r io.Reader, pos, line int64, size int, partial bool) splitter {
	limit := int(d.spec.MaxLine)
	switch f.Format {
	case formatJSON:
		c := &arrayCutter{state: '['}
		if pos > 0 {
			c.state = 'v'
		}
		return &chunks{r: r, c: c, size: size, max: limit, pos: pos, line: line, partial: partial}
	case formatCSV, formatTSV, formatSemicolon:
		inner := &chunks{r: r, c: &csvCutter{tsv: f.Format == formatTSV, columns: len(f.Header) - 1}, size: size, max: limit, pos: pos, line: line, partial: partial}
		return &headerSplitter{splitter: inner, seen: pos > 0}
	}
	return &lines{r: r, size: size, max: limit, pos: pos, line: line}
}

// Info returns what the first pass found.
func (d *Dataset) Info() Info { return d.info }

// Chunks returns all slices in order. The caller must not change them.
func (d *Dataset) Chunks() []Chunk { return d.chunks }

// First yields up to n selected rows from the start of the dataset, and what is
// wrong with unusable ones among them.
func (d *Dataset) First(ctx context.Context, n int) iter.Seq2[nightshift.Sample, error] {
	return func(yield func(nightshift.Sample, error) bool) {
		for i, chunk := range d.Chunks() {
			if chunk.Selected == 0 {
				continue
			}
			for s, err := range d.Read(ctx, i) {
				if n == 0 || !yield(s, err) {
					return
				}
				n--
			}
		}
	}
}

// Close releases files that are kept open between reads. A nil dataset has none.
func (d *Dataset) Close() error {
	if d == nil {
		return nil
	}
	d.raw.close()
	if d.rules != nil && d.rules.folder != nil {
		d.rules.folder.close()
	}
	return d.idle.close()
}

// hash is the identity of the whole dataset: SHA-256 over the length and hash
// of every slice.
func hashOf(all []Chunk) string {
	h := sha256.New()
	var n [8]byte
	for _, s := range all {
		binary.LittleEndian.PutUint64(n[:], uint64(s.Bytes))
		h.Write(n[:])
		h.Write(s.Hash[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// describe fills in the words of Info.
func (d *Dataset) describe() {
	i := &d.info
	i.Shape = d.rules.shape.name
	i.Target = d.rules.targetWords()
	i.Epochs = d.rules.epochs
	i.Files = nil
	i.OnDisk = 0
	i.RawFormat = formatJSONL
	for n, f := range d.files {
		i.Files = append(i.Files, f.Name)
		i.OnDisk += f.Size
		if n == 0 {
			i.Format, i.Packed = formatWords(f.Format), f.Packed
		}
		if i.Format != formatWords(f.Format) {
			i.Format = "mixed"
		}
		if i.Packed != f.Packed {
			i.Packed = "mixed"
		}
	}
	d.describeRaw()
}

// describeRaw says what Raw returns: CSV when all files have the same columns.
func (d *Dataset) describeRaw() {
	first := d.files[0]
	if first.Header == nil || slices.ContainsFunc(d.files, func(f *file) bool {
		return f.Format != first.Format || !slices.Equal(f.Header, first.Header)
	}) {
		return
	}
	d.info.RawFormat = first.Format
	d.info.RawHeader = csvRecord(first.Header, first.Format)
}

// targetWords says where targets come from.
func (r *rules) targetWords() string {
	switch {
	case r.templates.target != nil:
		return "from a template"
	case r.lastAssistant:
		return "is the last assistant message"
	case r.afterMarks:
		return "after " + hashMarks
	case r.target.name != "" && r.seenTarget:
		return "in " + r.target.name
	case r.shape.tests && r.seenTarget:
		return "in assert"
	}
	return ""
}

// mediaFolder is the folder that holds all files of the dataset; for streams
// it is Spec.Dir.
func (d *Dataset) mediaFolder() *mediaFolder {
	dir := ""
	for _, f := range d.files {
		switch own := filepath.Dir(f.Path); {
		case f.Spooled:
		case dir == "":
			dir = own
		default:
			dir = commonFolder(dir, own)
		}
	}
	return &mediaFolder{dir: cmp.Or(dir, d.spec.Dir, ".")}
}

func commonFolder(a, b string) string {
	for a != b && a != "." && a != string(filepath.Separator) {
		if rel, err := filepath.Rel(a, b); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return a
		}
		a = filepath.Dir(a)
	}
	return a
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// streamPool keeps compressed streams that stand where the next slice begins,
// so that reading slice after slice unpacks each byte once.
type streamPool struct {
	mu   sync.Mutex
	idle []pooled
}

type pooled struct {
	f *file
	*stream
}

// maxIdle is how many streams wait: two for each of a few readers.
const maxIdle = 8

// take returns a stream at pos of the file's content.
func (p *streamPool) take(s *Spec, f *file, pos int64) (*stream, error) {
	if f.Packed == "" {
		return f.openAt(s, pos)
	}
	st := p.nearest(f, pos)
	if st == nil {
		return f.openAt(s, pos)
	}
	if _, err := io.CopyN(io.Discard, st, pos-st.pos); err != nil {
		st.Close()
		return nil, fmt.Errorf("reading on: %w", err)
	}
	return st, nil
}

// nearest takes out the idle stream that is least far before pos.
func (p *streamPool) nearest(f *file, pos int64) *stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, st := range p.idle {
		if st.f == f && st.pos <= pos && (best < 0 || st.pos > p.idle[best].pos) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	st := p.idle[best].stream
	p.idle = slices.Delete(p.idle, best, best+1)
	return st
}

// put keeps a compressed stream for later and closes any other.
func (p *streamPool) put(f *file, st *stream) {
	if f.Packed == "" {
		st.Close()
		return
	}
	p.mu.Lock()
	p.idle = append(p.idle, pooled{f, st})
	var oldest *stream
	if len(p.idle) > maxIdle {
		oldest = p.idle[0].stream
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	p.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
}

func (p *streamPool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first error
	for _, st := range p.idle {
		if err := st.Close(); err != nil && first == nil {
			first = err
		}
	}
	p.idle = nil
	return first
}
