package datasets

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nightshift/internal/fsx"
)

// A fileError is a reason why a whole file cannot be used.
type fileError struct {
	line       int64 // 0 when not at one line
	what, hint string
	err        error // the cause in the system, if any
}

func (e *fileError) Error() string {
	if e.hint == "" {
		return e.what
	}
	return e.what + " (" + e.hint + ")"
}

func (e *fileError) Unwrap() error { return e.err }

// Formats and compressions, as Info names them.
const (
	formatJSONL = "jsonl"
	formatJSON  = "json"
	formatCSV   = "csv"
	formatTSV   = "tsv"
	// Spreadsheets write CSV with semicolons where the comma is the decimal sign.
	formatSemicolon = "csv-semicolon"
	formatParquet   = "parquet"

	packedGzip = "gzip"
	packedZstd = "zstd"
)

// A file is one file of a dataset. All but the handle is kept in the index.
type file struct {
	Name   string // as the user wrote it, for messages
	Path   string // where it is read from
	Format string
	Packed string // compression: "", gzip or zstd
	// Spooled is set for the copy of a stream.
	Spooled bool

	// Identity at the time of indexing.
	Size    int64
	ModTime int64 // unix nanoseconds
	Inode   uint64
	Device  uint64
	CTime   int64

	// Length is the length of the content in the file's own count: bytes after
	// decompression, or rows for Parquet. Base is the sum of the lengths of the
	// files before it.
	Length int64
	Base   int64
	Header []string // column names, for CSV
}

// findFiles resolves the paths of a Spec: globs, pipes, standard input.
func findFiles(ctx context.Context, s *Spec, p *Problems) []*file {
	var files []*file
	if len(s.Paths) == 0 {
		p.add(Problem{Row: -1, What: "no dataset file is named", Hint: "set dataset.path, or pass --dataset"})
	}
	for _, path := range s.Paths {
		found, err := s.resolve(ctx, path)
		if err != nil {
			p.add(problemOf(path, err))
			continue
		}
		files = append(files, found...)
	}
	return withoutDuplicates(files, p)
}

// problemOf names the file of an error.
func problemOf(name string, err error) Problem {
	q := Problem{File: name, Row: -1, What: err.Error()}
	var fe *fileError
	var pe *fs.PathError
	switch {
	case errors.As(err, &fe):
		q.Line, q.What, q.Hint = fe.line, fe.what, fe.hint
	case errors.Is(err, fs.ErrNotExist):
		q.What, q.Hint = "no such file", "paths are relative to the plan"
	case errors.Is(err, fs.ErrPermission):
		q.What, q.Hint = "the file may not be read", "check its permissions"
	case errors.As(err, &pe):
		q.What = pe.Op + ": " + pe.Err.Error()
	}
	return q
}

func (s *Spec) resolve(ctx context.Context, path string) ([]*file, error) {
	if path == "-" {
		return s.spooled(ctx, "standard input", cmp.Or[io.Reader](s.Stdin, os.Stdin))
	}
	full := path
	if !filepath.IsAbs(full) {
		full = filepath.Join(s.Dir, path)
	}
	if strings.ContainsAny(path, "*?[") {
		if _, err := os.Lstat(full); err != nil { // a file may really be named so
			return s.glob(path, full)
		}
	}
	f, err := s.identify(ctx, path, full)
	if err != nil {
		return nil, err
	}
	return []*file{f}, nil
}

func (s *Spec) glob(path, full string) ([]*file, error) {
	names, err := filepath.Glob(full)
	if err != nil {
		return nil, &fileError{what: "not a pattern that can be matched", hint: `escape [ ] and ? as \[ \] and \?`}
	}
	slices.Sort(names)
	var files []*file
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			f := &file{Name: s.short(name), Path: name}
			f.identity(info)
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil, &fileError{what: "no file matches", hint: "paths are relative to the plan"}
	}
	return files, nil
}

// short is a path as a person would write it.
func (s *Spec) short(path string) string {
	if rel, err := filepath.Rel(cmp.Or(s.Dir, "."), path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

// identify looks at one path; what is read only once is spooled.
func (s *Spec) identify(ctx context.Context, name, path string) (*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, &fileError{what: "a folder", hint: "name its files: " + filepath.Join(name, "*.jsonl")}
	case mode&(fs.ModeNamedPipe|fs.ModeSocket) != 0:
		pipe, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer pipe.Close()
		files, err := s.spooled(ctx, name, pipe)
		if err != nil {
			return nil, err
		}
		return files[0], nil
	case !mode.IsRegular():
		return nil, &fileError{what: "not a regular file", hint: "devices are not read"}
	}
	f := &file{Name: name, Path: path}
	f.identity(info)
	return f, nil
}

// identity notes by what an unchanged file is recognised.
func (f *file) identity(info fs.FileInfo) {
	f.Size, f.ModTime = info.Size(), info.ModTime().UnixNano()
	if id, err := fsx.Identify(f.Path, info); err == nil {
		f.Inode, f.Device, f.CTime = id.Inode, id.Device, id.Changed
	}
}

// spooled copies a stream that can be read only once into the run's folder.
func (s *Spec) spooled(ctx context.Context, name string, r io.Reader) ([]*file, error) {
	if len(s.copies) > 0 { // a second start: the stream was read long ago
		path := s.copies[0]
		s.copies = s.copies[1:]
		return spooledFile(name, path)
	}
	if s.Spool == "" {
		return nil, &fileError{what: "a stream needs a folder to be kept in", hint: "pass --out, or save it as a file first"}
	}
	if err := os.MkdirAll(s.Spool, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(s.Spool, fmt.Sprintf("dataset.input-%d", s.streams))
	s.streams++
	if err := spool(ctx, path, r); err != nil {
		return nil, err
	}
	return spooledFile(name, path)
}

func spooledFile(name, path string) ([]*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f := &file{Name: name, Path: path, Spooled: true}
	f.identity(info)
	return []*file{f}, nil
}

// spool writes a file that is there whole or not at all.
func spool(ctx context.Context, path string, r io.Reader) error {
	tmp := path + ".tmp"
	os.Remove(tmp) // of a process that was killed
	out, err := fsx.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &contextReader{ctx, r})
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("keeping the input: %w", err)
	}
	return os.Rename(tmp, path)
}

// A contextReader stops between two reads.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// withoutDuplicates refuses a file that is named twice, by whatever names.
func withoutDuplicates(files []*file, p *Problems) []*file {
	type id struct{ device, inode uint64 }
	seen := map[id]string{}
	return slices.DeleteFunc(files, func(f *file) bool {
		key := id{f.Device, f.Inode}
		first, twice := seen[key]
		if twice = twice && key != (id{}); twice {
			p.add(Problem{File: f.Name, Row: -1, What: "the same file twice", Hint: "it is already read as " + first})
		}
		seen[key] = f.Name
		return twice
	})
}

// sniffBytes is how much of a file decides its format.
const sniffBytes = 64 << 10

// sniff finds out a file's compression and format from its first bytes.
func (f *file) sniff(s *Spec) error {
	r, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer r.Close()
	head := make([]byte, 16)
	n, err := io.ReadFull(r, head)
	if err != nil && n == 0 && err != io.EOF {
		return err
	}
	head = head[:n]
	switch {
	case n == 0:
		return &fileError{what: "the file is empty"}
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		f.Packed = packedGzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), isSkippableFrame(head):
		f.Packed = packedZstd
	case bytes.HasPrefix(head, []byte("PAR1")):
		f.Format = formatParquet
		return f.agrees(s.Format)
	}
	return f.sniffText(s)
}

func isSkippableFrame(b []byte) bool {
	return len(b) >= 4 && b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18
}

func (f *file) sniffText(s *Spec) error {
	stream, err := f.open(s)
	if err != nil {
		return err
	}
	defer stream.Close()
	head := make([]byte, sniffBytes)
	n, err := io.ReadFull(stream, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	head = head[:n]
	if err := foreign(head); err != nil {
		return err
	}
	if f.Format = textFormat(head, f.Name, s.Format); f.Format == formatCSV && semicolons(head) {
		f.Format = formatSemicolon
	}
	if err := f.agrees(s.Format); err != nil {
		return err
	}
	if f.tabular() {
		f.Header, err = readHeader(head, f.Format)
		return err
	}
	return nil
}

// foreign refuses what is no text of ours, by name where it has one.
func foreign(b []byte) error {
	for _, m := range []struct{ magic, what, hint string }{
		{"\x00\x00\xfe\xff", "a UTF-32 file", "convert it to UTF-8"},
		{"\xff\xfe\x00\x00", "a UTF-32 file", "convert it to UTF-8"},
		{"\xff\xfe", "a UTF-16 file", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"},
		{"\xfe\xff", "a UTF-16 file", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"},
		{"PK\x03\x04", "a zip archive or an Excel file", "unpack it, or save it as CSV"},
		{"BZh", "a bzip2 file", "unpack it, or use gzip or zstd"},
		{"\xfd7zXZ", "an xz file", "unpack it, or use gzip or zstd"},
		{"ARROW1", "an Arrow file", "save it as Parquet"},
		{"SQLite format 3", "a SQLite database", "export the table as CSV or JSON lines"},
		{"%PDF", "a PDF file", ""},
		{"PAR1", "a compressed Parquet file", "unpack it: Parquet compresses by itself"},
		{"\x1f\x8b", "compressed twice", "unpack it once"},
		{"version https://git-lfs", "a Git LFS pointer, not the file", "run git lfs pull"},
	} {
		if bytes.HasPrefix(b, []byte(m.magic)) {
			return &fileError{what: m.what, hint: m.hint}
		}
	}
	return wideText(b)
}

// wideText recognises UTF-16 and UTF-32 without a byte-order mark: ASCII
// characters then have NUL bytes at their sides.
func wideText(b []byte) error {
	b = b[:min(len(b), 256)]
	if zeros := bytes.Count(b, []byte{0}); len(b) < 8 || zeros < len(b)/3 {
		return nil
	}
	ascii := 0
	for _, c := range b {
		if c >= ' ' && c < 0x7f || c == '\n' || c == '\r' || c == '\t' {
			ascii++
		}
	}
	if ascii < len(b)/5 {
		return nil
	}
	return &fileError{what: "a UTF-16 or UTF-32 file", hint: "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"}
}

// textFormat decides between JSON lines, one JSON array, and CSV.
func textFormat(head []byte, name, wanted string) string {
	body := bytes.TrimLeft(bytes.TrimPrefix(head, bom), " \t\r\n")
	tabular := formatCSV
	if lower := strings.ToLower(name); strings.Contains(lower, ".tsv") || strings.Contains(lower, ".tab") || wanted == formatTSV {
		tabular = formatTSV
	}
	switch {
	case wanted == formatCSV || wanted == formatTSV || wanted == formatSemicolon:
		return wanted
	case len(body) == 0 || body[0] == '{':
		return formatJSONL
	case body[0] == '[' && wanted == formatJSON:
		return formatJSON
	case body[0] == '[':
		return arrayOrLines(body)
	case wanted == formatJSON || wanted == formatJSONL:
		return formatJSONL
	}
	for _, ending := range []string{".csv", ".tsv", ".tab"} {
		if strings.Contains(strings.ToLower(name), ending) {
			return tabular
		}
	}
	if strings.Contains(strings.ToLower(name), ".json") || !looksLikeHeader(body) {
		return formatJSONL
	}
	return tabular
}

// arrayOrLines tells one array from lines that are arrays: those go on behind
// the end of the first.
func arrayOrLines(body []byte) string {
	end := skip(body, 0)
	if end < len(body) && len(bytes.TrimSpace(body[end:])) > 0 {
		line, _, _ := bytes.Cut(body, []byte("\n"))
		if end <= len(line) {
			return formatJSONL
		}
	}
	return formatJSON
}

// looksLikeHeader reports whether the first line may name columns.
func looksLikeHeader(b []byte) bool {
	line, _, more := bytes.Cut(b, []byte("\n"))
	return more && bytes.ContainsAny(line, ",;\t") && !bytes.ContainsAny(line, "{}[]:\x00")
}

// semicolons reports whether the first line names columns with semicolons
// between them.
func semicolons(b []byte) bool {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return bytes.IndexByte(line, ';') >= 0 && bytes.IndexByte(line, ',') < 0
}

// tabular reports whether rows are records below a header.
func (f *file) tabular() bool {
	return f.Format == formatCSV || f.Format == formatTSV || f.Format == formatSemicolon
}

// agrees compares the format found with the one that the user named.
func (f *file) agrees(wanted string) error {
	if wanted == "" || wanted == "auto" || wanted == f.Format || !isFormat(wanted) {
		return nil
	}
	if wanted == formatJSON && f.Format == formatJSONL || wanted == formatCSV && f.Format == formatSemicolon {
		return nil // people say json, and csv, for both
	}
	return &fileError{what: "the format is said to be " + wanted + ", but the file is " + formatWords(f.Format),
		hint: "use format: auto"}
}

func isFormat(s string) bool {
	switch s {
	case formatJSONL, formatJSON, formatCSV, formatTSV, formatSemicolon, formatParquet:
		return true
	}
	return false
}

func formatWords(format string) string {
	switch format {
	case formatJSONL:
		return "JSON lines"
	case formatJSON:
		return "one JSON list"
	case formatCSV:
		return "CSV"
	case formatTSV:
		return "TSV"
	case formatSemicolon:
		return "CSV with semicolons"
	}
	return "Parquet"
}

// A stream is the decompressed content of a file.
type stream struct {
	io.Reader
	pos   int64
	close []func() error
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.pos += int64(n)
	if err != nil && err != io.EOF {
		err = s.explain(err)
	}
	return n, err
}

// explain turns a broken stream into a problem of its file.
func (s *stream) explain(err error) error {
	var fe *fileError
	if errors.As(err, &fe) {
		return err
	}
	return &fileError{what: "reading stops after " + thousands(s.pos) + " bytes: " + err.Error(),
		hint: "was the file cut or damaged?", err: err}
}

func (s *stream) Close() error {
	var errs []error
	for _, c := range s.close {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// open starts reading a text file at its beginning.
func (f *file) open(s *Spec) (*stream, error) {
	raw, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	st := &stream{close: []func() error{raw.Close}}
	if f.Packed == "" {
		st.Reader = raw
		return st, nil
	}
	in := &counted{r: bufio.NewReaderSize(raw, 256<<10)}
	unpacked, closer, err := unpack(f.Packed, in)
	if err != nil {
		return nil, errors.Join(st.explain(err), raw.Close())
	}
	st.close = append([]func() error{closer}, st.close...)
	st.Reader = &bombGuard{r: unpacked, in: in, maxRatio: s.MaxRatio, maxBytes: s.MaxBytes}
	return st, nil
}

// openAt starts reading at a position of the content.
func (f *file) openAt(s *Spec, pos int64) (*stream, error) {
	st, err := f.open(s)
	if err != nil {
		return nil, err
	}
	if raw, ok := st.Reader.(*os.File); ok {
		_, err = raw.Seek(pos, io.SeekStart)
		st.pos = pos
	} else {
		_, err = io.CopyN(io.Discard, st, pos)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// size writes a number of bytes for people.
func size(n int64) string {
	for _, u := range []struct {
		shard int64
		label string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.shard {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(u.shard)), ".0") + " " + u.label
		}
	}
	return fmt.Sprint(n) + " bytes"
}
