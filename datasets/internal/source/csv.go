package datasets

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// headerSplitter takes the header off the first batch of a CSV file.
type headerSplitter struct {
	splitter
	seen bool
}

func (h *headerSplitter) next(b *batch) error {
	if err := h.splitter.next(b); err != nil {
		return err
	}
	if !h.seen && len(b.rows) > 0 {
		h.seen = true
		b.rows = b.rows[1:]
	}
	return nil
}

// readHeader reads the column names from the start of a CSV file.
func readHeader(head []byte, format string) ([]string, error) {
	s := &chunks{r: bytes.NewReader(head), c: &csvCutter{tsv: format == formatTSV}, size: len(head), max: len(head), line: 1}
	var b batch
	if err := s.next(&b); err != nil && err != io.EOF {
		return nil, err
	}
	if len(b.rows) == 0 {
		return nil, &fileError{what: "the file is empty"}
	}
	names, what := csvFields(bytes.TrimPrefix(b.text(b.rows[0]), bom), format)
	if what != "" {
		return nil, &fileError{line: 1, what: "the header: " + what}
	}
	seen := map[string]bool{}
	for i, name := range names {
		switch {
		case name == "":
			return nil, &fileError{line: 1, what: fmt.Sprintf("column %d has no name", i+1), hint: "the first line must name the columns"}
		case seen[name]:
			return nil, &fileError{line: 1, what: "two columns are named " + quoteShort(name)}
		}
		seen[name] = true
	}
	return names, nil
}

func separator(format string) byte {
	switch format {
	case formatTSV:
		return '\t'
	case formatSemicolon:
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
				return nil, fmt.Sprintf("field %d has a quote at its start, and the next is on another line behind a tab: is it a character of the text?", i+1)
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

// csvRow writes a record as a JSON object of texts.
func csvRow(header []string, rec []byte, format string) (row []byte, what string) {
	fields, what := csvFields(rec, format)
	if format == formatTSV {
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
		row = appendQuoted(row, name)
		row = append(row, ':')
		row = appendQuoted(row, fields[i])
	}
	return append(row, '}'), ""
}
