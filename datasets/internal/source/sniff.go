package source

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"

	"nightshift/datasets/internal/rowjson"
)

// Formats and compressions, as Info names them.
const (
	JSONL = "jsonl"
	JSON  = "json"
	csv   = "csv"
	tsv   = "tsv"
	// Spreadsheets write CSV with semicolons where the comma is the decimal sign.
	semicolon = "csv-semicolon"
	Parquet   = "parquet"

	packedGzip = "gzip"
	packedZstd = "zstd"
)

// sniffBytes is how much of a file decides its format.
const sniffBytes = 64 << 10

// Sniff finds out a file's compression and format from its first bytes.
func (f *File) Sniff(o *Options) error {
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
		return &FileError{what: "the file is empty"}
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		f.Packed = packedGzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), isSkippableFrame(head):
		f.Packed = packedZstd
	case bytes.HasPrefix(head, []byte("PAR1")):
		f.Format = Parquet
		return f.agrees(o.Format)
	}
	return f.sniffText(o)
}

func isSkippableFrame(b []byte) bool {
	return len(b) >= 4 && b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18
}

func (f *File) sniffText(o *Options) error {
	stream, err := f.open(o)
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
	if f.Format = textFormat(head, f.Name, o.Format); f.Format == csv && semicolons(head) {
		f.Format = semicolon
	}
	if err := f.agrees(o.Format); err != nil {
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
			return &FileError{what: m.what, hint: m.hint}
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
	return &FileError{what: "a UTF-16 or UTF-32 file", hint: "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"}
}

// textFormat decides between JSON lines, one JSON array, and CSV.
func textFormat(head []byte, name, wanted string) string {
	body := bytes.TrimLeft(bytes.TrimPrefix(head, rowjson.BOM), " \t\r\n")
	tabular := csv
	if lower := strings.ToLower(name); strings.Contains(lower, ".tsv") || strings.Contains(lower, ".tab") ||
		wanted == tsv {
		tabular = tsv
	}
	switch {
	case wanted == csv || wanted == tsv || wanted == semicolon:
		return wanted
	case len(body) == 0 || body[0] == '{':
		return JSONL
	case body[0] == '[' && wanted == JSON:
		return JSON
	case body[0] == '[':
		return arrayOrLines(body)
	case wanted == JSON || wanted == JSONL:
		return JSONL
	}
	for _, ending := range []string{".csv", ".tsv", ".tab"} {
		if strings.Contains(strings.ToLower(name), ending) {
			return tabular
		}
	}
	if strings.Contains(strings.ToLower(name), ".json") || !looksLikeHeader(body) {
		return JSONL
	}
	return tabular
}

// arrayOrLines tells one array from lines that are arrays: those go on behind
// the end of the first.
func arrayOrLines(body []byte) string {
	end := rowjson.Skip(body, 0)
	if end < len(body) && len(bytes.TrimSpace(body[end:])) > 0 {
		line, _, _ := bytes.Cut(body, []byte("\n"))
		if end <= len(line) {
			return JSONL
		}
	}
	return JSON
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
func (f *File) tabular() bool {
	return f.Format == csv || f.Format == tsv || f.Format == semicolon
}

// agrees compares the format found with the one that the user named.
func (f *File) agrees(wanted string) error {
	if wanted == "" || wanted == "auto" || wanted == f.Format || !IsFormat(wanted) {
		return nil
	}
	if wanted == JSON && f.Format == JSONL || wanted == csv && f.Format == semicolon {
		return nil // people say json, and csv, for both
	}
	return &FileError{what: "the format is said to be " + wanted + ", but the file is " + FormatName(f.Format),
		hint: "use format: auto"}
}

// Formats are those that a file can have.
var Formats = []string{JSONL, JSON, csv, tsv, semicolon, Parquet}

// IsFormat reports whether a file can have the format s.
func IsFormat(s string) bool { return slices.Contains(Formats, s) }

func FormatName(format string) string {
	switch format {
	case JSONL:
		return "JSON lines"
	case JSON:
		return "one JSON list"
	case csv:
		return "CSV"
	case tsv:
		return "TSV"
	case semicolon:
		return "CSV with semicolons"
	}
	return "Parquet"
}
