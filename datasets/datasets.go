package datasets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nightshift"
	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/datasets/internal/shape"
	"nightshift/datasets/internal/source"
	"nightshift/internal/words"
)

// A Spec says which rows to read and how they become samples. It is the
// dataset: section of a plan.
type Spec struct {
	Paths  []string // files or globs, relative to Dir; "-" is standard input
	Dir    string   // "" is the working directory
	Format string   // "" or "auto", or what Formats lists

	// Fields maps roles to field names or dotted paths: id, target, prompt
	// (also question, input), system, messages, conversations, turns,
	// instruction, category, cluster, params, images, choices. Without a field of
	// choices rows have none. Fields["target"] may be
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
	ShardRows         int64  // rows in a chunk; 0 is 20,000
	ShardBytes        int64  // most raw bytes in a chunk of more than one row; 0 is 128 MiB
	MaxRatio          int64  // most that compressed files may grow; 0 is 200 times
	MaxBytes          int64  // most that one compressed file may unpack to; 0 is 4 TiB
	AllowDuplicateIDs bool
	// Versions are the lengths at which rows were added to the dataset of an
	// earlier start, in ascending order. No chunk reaches over the end of a
	// version, so that the chunks before it stay what they were, and the rows
	// of the first version alone decide the shape.
	Versions []Version
	// Written says for messages where templates are written, by what they are:
	// system, prompt, target or filter. Those given otherwise are not in it.
	Written    map[string]Place
	RepairUTF8 bool   // replace invalid UTF-8 and lone surrogates by U+FFFD
	Spool      string // folder for a copy of standard input, for downloads and temporary files
	// Downloads is a folder for datasets of the Hugging Face hub, which runs may
	// share; "" is one in Spool.
	Downloads string
	Notice    func(text string) // hears of downloads; may be nil

	// Parts, where there are any, are datasets of their own that are read as one, in
	// this order. Of the fields above and below only SelectRows, Versions, Spool,
	// Downloads, Notice and Stdin then count.
	Parts []Part

	Stdin       io.Reader // nil is os.Stdin
	copies      []string  // copies of the streams, from an earlier start
	firstStream int       // number of the first copy of a stream
}

// IsRemote reports whether a path names a dataset of the Hugging Face hub:
// hf://owner/name[/config]:split.
func IsRemote(path string) bool { return source.IsRemote(path) }

// source is the part of a Spec that concerns files.
func (s *Spec) source() source.Options {
	return source.Options{Paths: s.Paths, Dir: s.Dir, Format: s.Format, MaxLine: s.MaxLine, MaxRatio: s.MaxRatio,
		MaxBytes: s.MaxBytes, Stdin: s.Stdin, Spool: s.Spool, Copies: s.copies, FirstStream: s.firstStream,
		Downloads: cmp.Or(s.Downloads, os.Getenv("NIGHTSHIFT_DOWNLOADS")), Notice: s.Notice}
}

// shape is the part of a Spec that says how rows become samples.
func (s *Spec) shape() shape.Options {
	return shape.Options{Paths: s.Paths, Format: s.Format, Fields: s.Fields, System: s.System, Prompt: s.Prompt,
		Target: s.Target, Cluster: s.Cluster, Category: s.Category, Filter: s.Filter, Written: s.Written,
		RepairUTF8: s.RepairUTF8}
}

// A Version is how much of a dataset there was at some time.
type Version struct {
	Rows   int64 `json:"rows"`
	Length int64 `json:"length"` // Info.Bytes of that time
}

// withDefaults fills in what zero values mean, and checks the rest.
func (s Spec) withDefaults(p *problem.Problems) Spec {
	s.MaxLine = cmp.Or(s.MaxLine, source.DefaultMaxLine)
	s.ShardRows = cmp.Or(s.ShardRows, 20_000)
	s.ShardBytes = cmp.Or(s.ShardBytes, 128<<20)
	s.MaxRatio = cmp.Or(s.MaxRatio, source.DefaultMaxRatio)
	s.MaxBytes = cmp.Or(s.MaxBytes, source.DefaultMaxBytes)
	s.OnBadRow = cmp.Or(s.OnBadRow, "refuse")
	for _, n := range []struct {
		name string
		n    int64
	}{{"limit", s.Limit}, {"offset", s.Offset}, {"sample", s.Sample}, {"max_line", s.MaxLine}, {"unit_rows",
		s.ShardRows}} {
		if n.n < 0 {
			p.Add(problem.Problem{Row: -1, What: n.name + " is negative"})
		}
	}
	if s.MaxLine > 1<<30 {
		p.Add(problem.Problem{Row: -1, What: "max_line is above 1 GiB"})
	}
	if s.OnBadRow != "refuse" && s.OnBadRow != "record" {
		p.Add(problem.Problem{Row: -1, What: "on_bad_row is " + words.Quote(s.OnBadRow), Hint: "refuse or record"})
	}
	if f := s.Format; f != "" && f != "auto" && !source.IsFormat(f) && !shape.IsFormat(f) {
		p.Add(problem.Problem{Row: -1, What: "format " + words.Quote(f) + " is not known",
			Hint: "one of " + strings.Join(Formats(), ", ")})
	}
	return s
}

// Formats lists what Spec.Format may be: of files, or of their rows.
func Formats() []string { return slices.Concat([]string{"auto"}, source.Formats, shape.Formats) }

// A Dataset is one or more files that have been read once. Its methods are safe
// for concurrent use.
type Dataset struct {
	spec   Spec
	rules  *shape.Rules
	files  []*source.File
	chunks []Chunk
	info   Info
	picked selection
	// foreign says that a file is no dataset at all.
	foreign bool

	reader   source.Reader
	variants []*Dataset
	parts    []joinedPart // of several datasets; all but spec, chunks and info is then theirs
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
	Problems problem.Problems
}

// String says it in one line: "question/answer, 1,319 rows, target after ####".
func (i Info) String() string {
	s := i.Shape + ", " + words.Thousands(i.Rows) + words.Plural(i.Rows, " row")
	if i.Selected != i.Rows {
		s += " (" + words.Thousands(i.Selected) + " selected)"
	}
	if i.Target != "" {
		s += ", target " + i.Target
	} else {
		s += ", no target"
	}
	if i.Bad > 0 {
		s += ", " + words.Thousands(i.Bad) + " bad"
	}
	if i.Blank > 0 {
		s += ", " + words.Thousands(i.Blank) + words.Plural(i.Blank, " blank line")
	}
	if i.Packed != "" {
		return s + ", " + i.Format + " in " + i.Packed
	}
	return s + ", " + i.Format
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
	if s.Parts != nil {
		return join(s, func(_ int, one Spec) (*Dataset, error) { return Open(ctx, one) })
	}
	var p problem.Problems
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
	return d, p.Err()
}

// prepare finds the files and decides the rules.
func prepare(ctx context.Context, s Spec, p *problem.Problems) (*Dataset, error) {
	d := &Dataset{spec: s}
	d.reader.Options = s.source()
	for _, f := range source.Find(ctx, &d.reader.Options, p) {
		if err := f.Sniff(&d.reader.Options); err != nil {
			p.Add(source.ProblemOf(f.Name, err))
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
func (d *Dataset) decide(p *problem.Problems) {
	var rows []rowjson.Row
	most := int64(math.MaxInt64)
	if len(d.spec.Versions) > 0 {
		most = d.spec.Versions[0].Rows
	}
	for _, f := range d.files {
		some, seen := d.sampleRows(f, firstRows-len(rows), most)
		rows = append(rows, some...)
		if len(some) == 0 && seen > 2 && f.Format == source.JSONL && d.spec.OnBadRow != "record" && !d.objects(f) {
			p.Add(problem.Problem{File: f.Name, Row: -1,
				What: "this is no dataset: none of its first " + words.Thousands(seen) +
					" lines is a JSON object that can be read",
				Hint: "a dataset is JSON lines, a JSON list, CSV, TSV or Parquet; for another format name it " +
					"with --format"})
			d.foreign = true
		}
		if most -= seen; len(rows) >= firstRows || most <= 0 {
			break
		}
	}
	o := d.spec.shape()
	o.Folder = d.mediaFolder()
	o.Tabular = slices.ContainsFunc(d.files, func(f *source.File) bool {
		return f.Format != source.JSONL &&
			f.Format != source.JSON
	})
	d.rules = shape.Decide(&o, rows, p)
	d.info.Fields = shape.FieldNames(rows)
}

// objects reports whether half of the first lines of a file begin as an object
// does.
func (d *Dataset) objects(f *source.File) bool {
	rows, err := d.reader.All(f)
	if err != nil {
		return true
	}
	defer rows.Close()
	var b source.Batch
	if rows.Next(&b) != nil {
		return true
	}
	n := 0
	for _, r := range b.Rows {
		if bytes.HasPrefix(bytes.TrimSpace(b.Text(r)), []byte("{")) {
			n++
		}
	}
	return 2*n >= len(b.Rows)
}

// sampleRows reads up to n good rows from the first batches of a file, of its
// first most rows. It has seen that many, good or bad.
func (d *Dataset) sampleRows(f *source.File, n int, most int64) (good []rowjson.Row, seen int64) {
	rows, err := d.reader.All(f)
	if err != nil {
		return nil, 0
	}
	defer rows.Close()
	var b source.Batch
	for range firstBytes / source.BatchBytes {
		if rows.Next(&b) != nil {
			return good, seen
		}
		for _, sp := range b.Rows {
			if seen++; seen > most {
				return good, most
			}
			text, c := f.JSON(sp, slices.Clone(b.Text(sp)))
			if c.Bad() {
				continue
			}
			r, c := new(rowjson.Scanner).Row(text, d.spec.RepairUTF8)
			if c.Bad() {
				continue
			}
			if good = append(good, r); len(good) >= n {
				return good, seen
			}
		}
	}
	return good, seen
}

// parse turns the raw text of a row into fields.
func parse(b *shape.Builder, f *source.File, sp source.Span, raw []byte) (rowjson.Row, problem.Reason) {
	text, c := f.JSON(sp, raw)
	if c.Bad() {
		return rowjson.Row{}, c
	}
	return b.Parse(text)
}

// Info returns what the first pass found.
func (d *Dataset) Info() Info { return d.info }

// Chunks returns all chunks in order. The caller must not change them.
func (d *Dataset) Chunks() []Chunk { return d.chunks }

// First yields up to n selected rows from the start of the dataset, and what is
// wrong with unusable ones among them. Of several datasets it yields about as many
// from each.
func (d *Dataset) First(ctx context.Context, n int) iter.Seq2[nightshift.Sample, error] {
	if d.parts != nil {
		return d.firstOfParts(ctx, n)
	}
	return func(yield func(nightshift.Sample, error) bool) {
		for i, chunk := range d.Chunks() {
			if chunk.Selected == 0 {
				continue
			}
			for s, err := range d.peek(ctx, i) {
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
	if d.rules != nil {
		d.rules.Close()
	}
	err := d.reader.Close()
	for _, v := range d.variants {
		err = errors.Join(err, v.Close())
	}
	for _, p := range d.parts {
		err = errors.Join(err, p.data.Close())
	}
	return err
}

// hashOf is the identity of the whole dataset: SHA-256 over the length and hash
// of every chunk.
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
	i.Shape = d.rules.ShapeName()
	i.Target = d.rules.TargetWords()
	i.Epochs = d.rules.Epochs()
	i.Files = nil
	i.OnDisk = 0
	i.RawFormat = source.JSONL
	for n, f := range d.files {
		i.Files = append(i.Files, f.Name)
		i.OnDisk += f.Size
		if n == 0 {
			i.Format, i.Packed = source.FormatName(f.Format), f.Packed
		}
		if i.Format != source.FormatName(f.Format) {
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
	if first.Header == nil || slices.ContainsFunc(d.files, func(f *source.File) bool {
		return f.Format != first.Format || !slices.Equal(f.Header, first.Header)
	}) {
		return
	}
	d.info.RawFormat = first.Format
	d.info.RawHeader = source.CSVRecord(first.Header, first.Format)
}

// mediaFolder is the folder that holds all files of the dataset; for streams
// it is Spec.Dir.
func (d *Dataset) mediaFolder() string {
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
	return cmp.Or(dir, d.spec.Dir, ".")
}

func commonFolder(a, b string) string {
	for a != b && a != "." && a != string(filepath.Separator) {
		if rel, err := filepath.Rel(a, b); err == nil && rel != ".." &&
			!strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return a
		}
		a = filepath.Dir(a)
	}
	return a
}
