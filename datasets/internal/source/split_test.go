package source

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzSplit: cutting a stream into rows does not depend on how it is read, and
// never loses a byte.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "a\nb", "\n\n\r\nab\r\n", "[1,{\"a\":\"]\"}]", "a,\"b\nc\"\n\"\"\"\",2",
		strings.Repeat("x", 300) + "\ny\n"} {
		f.Add([]byte(s), uint8(1), uint16(50))
		f.Add([]byte(s), uint8(7), uint16(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8, limit uint16) {
		most := int(limit)%400 + 1
		for _, format := range []string{JSONL, JSON, csv} {
			whole := splitAll(t, format, b, len(b)+1, len(b)+1, most)
			pieces := splitAll(t, format, b, int(step)%16+1, int(step)%50+1, most)
			if !slices.Equal(whole, pieces) {
				t.Fatalf("%s %q: rows %q at once, %q in pieces", format, b, whole, pieces)
			}
		}
	})
}

// A dribble gives a few bytes at a time.
type dribble struct {
	b    []byte
	step int
}

func (d *dribble) Read(p []byte) (int, error) {
	n := copy(p, d.b[:min(len(d.b), d.step)])
	d.b = d.b[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func splitAll(t *testing.T, format string, b []byte, step, size, limit int) (rows []string) {
	sp := textSplitter(&File{Format: format}, &dribble{b, step}, 0, 1, size, limit, false)
	var one Batch
	var seen []byte
	for {
		err := sp.Next(&one)
		if err != nil {
			if err == io.EOF && string(seen) != string(b) {
				t.Fatalf("%s %q: the batches hold %q", format, b, seen)
			}
			if err != io.EOF {
				return []string{"error: " + err.Error()} // the rows right before it are not told
			}
			return rows
		}
		if one.Pos != int64(len(seen)) {
			t.Fatalf("%s %q: a batch at %d after %d bytes", format, b, one.Pos, len(seen))
		}
		seen = append(seen, one.Data...)
		for _, r := range one.Rows {
			row := strconv.FormatInt(r.Line, 10) + ":" + string(one.Text(r))
			if r.Unreadable != nil {
				row += r.Unreadable.What
			}
			rows = append(rows, row)
		}
	}
}
