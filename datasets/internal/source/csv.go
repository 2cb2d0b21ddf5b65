package source

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

// headerSplitter takes the header off the first batch of a CSV file.
type headerSplitter struct {
	splitter
	seen bool
}

func (h *headerSplitter) Next(b *Batch) error {
	if err := h.splitter.Next(b); err != nil {
		return err
	}
	if !h.seen && len(b.Rows) > 0 {
		h.seen = true
		b.Rows = b.Rows[1:]
	}
	return nil
}

// readHeader reads the column names from the start of a CSV file.
func readHeader(head []byte, format string) ([]string, error) {
	s := &chunks{r: bytes.NewReader(head), c: &csvCutter{tsv: format == tsv}, size: len(head), max: len(head), line: 1}
	var b Batch
	if err := s.Next(&b); err != nil && err != io.EOF {
		return nil, err
	}
	if len(b.Rows) == 0 {
		return nil, &FileError{what: "the file is empty"}
	}
	names, what := csvFields(bytes.TrimPrefix(b.Text(b.Rows[0]), rowjson.BOM), format)
	if what != "" {
		return nil, &FileError{line: 1, what: "the header: " + what}
	}
	seen := map[string]bool{}
	for i, name := range names {
		switch {
		case name == "":
			return nil, &FileError{line: 1, what: fmt.Sprintf("column %d has no name", i+1),
				hint: "the first line must name the columns"}
		case seen[name]:
			return nil, &FileError{line: 1, what: "two columns are named " + words.Quote(name)}
		}
		seen[name] = true
	}
	return names, nil
}

func separator(format string) byte {
	switch format {
	case tsv:
		return '\t'
	case semicolon:
		return ';'
	}
	return ','
}

// csvFields splits one record by RFC 4180. What is wrong comes back as text.
func csvFields(rec []byte, format string) (fields []string, what string) {
	sep := separator(format)
	for i := 0; ; i++ {
		var f []byte
		if i < len(rec) && rec[i] == '"' {
			f, i, what = quotedField(rec, i+1)
			if what == "" && i < len(rec) && rec[i] != sep {
				what = fmt.Sprintf("text follows the closing quote of field %d", len(fields)+1)
			}
			if what != "" {
				return nil, what
			}
		} else {
			start := i
			for i < len(rec) && rec[i] != sep {
				i++
			}
			if f = rec[start:i]; bytes.IndexByte(f, '"') >= 0 {
				return nil, fmt.Sprintf("a quote inside field %d, which does not begin with one", len(fields)+1)
			}
		}
		fields = append(fields, string(f))
		if i >= len(rec) {
			return fields, ""
		}
	}
}

// tsvFields decides whether the quotes of a record are around fields, as
// spreadsheets write them, or characters of the text: the latter where they do
// not give as many fields as there are columns. quoted and what are what
// csvFields says.
func tsvFields(quoted []string, what string, rec []byte, columns int) ([]string, string) {
	if what == "" && len(quoted) == columns {
		for i, f := range quoted {
			if strings.Contains(f, "\t") && strings.Contains(f, "\n") {
				return nil, fmt.Sprintf("field %d has a quote at its start, and the next is on another line behind a "+
					"tab: is it a character of the text?", i+1)
			}
		}
		return quoted, ""
	}
	plain := strings.Split(string(rec), "\t")
	if len(plain) != columns || bytes.IndexByte(rec, '\n') >= 0 {
		return quoted, what
	}
	for i, f := range plain {
		if inner, end, bad := quotedField([]byte(f), 1); f != "" && f[0] == '"' && bad == "" && end == len(f) {
			plain[i] = string(inner)
		}
	}
	return plain, ""
}

func quotedField(rec []byte, i int) (f []byte, end int, what string) {
	for ; i < len(rec); i++ {
		if rec[i] != '"' {
			f = append(f, rec[i])
			continue
		}
		if i+1 < len(rec) && rec[i+1] == '"' {
			f = append(f, '"')
			i++
			continue
		}
		return f, i + 1, ""
	}
	return nil, i, "a quote is not closed"
}

// JSON is the text of a row as a JSON object.
func (f *File) JSON(sp Span, raw []byte) ([]byte, problem.Reason) {
	if sp.Unreadable != nil {
		return nil, *sp.Unreadable
	}
	if !f.tabular() {
		return raw, problem.Reason{}
	}
	converted, what := csvRow(f.Header, raw, f.Format)
	return converted, problem.Reason{What: what}
}

// csvRow writes a record as a JSON object of texts.
func csvRow(header []string, rec []byte, format string) (row []byte, what string) {
	fields, what := csvFields(rec, format)
	if format == tsv {
		fields, what = tsvFields(fields, what, rec, len(header))
	}
	if what != "" {
		return nil, what
	}
	if len(fields) != len(header) {
		return nil, fmt.Sprintf("%d fields, but the header names %d", len(fields), len(header))
	}
	row = append(make([]byte, 0, len(rec)+16*len(fields)), '{')
	for i, name := range header {
		if i > 0 {
			row = append(row, ',')
		}
		row = rowjson.AppendQuoted(row, name)
		row = append(row, ':')
		row = rowjson.AppendQuoted(row, fields[i])
	}
	return append(row, '}'), ""
}

// CSVRecord writes a record as CSV, without its end.
func CSVRecord(fields []string, format string) string {
	var out bytes.Buffer
	for i, f := range fields {
		if i > 0 {
			out.WriteByte(separator(format))
		}
		if bytes.ContainsAny([]byte(f), "\"\r\n"+string(separator(format))) {
			f = `"` + string(bytes.ReplaceAll([]byte(f), []byte(`"`), []byte(`""`))) + `"`
		}
		out.WriteString(f)
	}
	return out.String()
}
