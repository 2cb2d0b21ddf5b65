// Package journal is the write-ahead log of a shard: lines, records as lines,
// and the index of what the files hold. It knows nothing of Parquet.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"sync"
)

// A line of the journal, the manifest and the list of shards is
//
//	<CRC-32C of the object, eight hex digits> <space> <one JSON object> <newline>
//
// and every object begins with {"k":"<kind>". Inside a JSON string a quote is
// escaped, so these five bytes mark the start of a record and nothing else:
// that is how the records next to a damaged one are found again.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	prefixLen = 9 // checksum and space
	hexDigits = "0123456789abcdef"
)

var startMark = []byte(`{"k":`)

// longLine is the length from which buffers are not kept for the next line.
const longLine = 1 << 20

// shortLine is up to which length buffers are kept apart: half of all lines are
// intents, whose buffers hold no result.
const shortLine = 512

var lines, shortLines sync.Pool

func linesOf(size int) *sync.Pool {
	if size <= shortLine {
		return &shortLines
	}
	return &lines
}

// newLine returns a buffer that a JSON object can be appended to, of about
// this many bytes. It may come from dropLine.
func newLine(size int) []byte {
	b, _ := linesOf(size).Get().(*[]byte)
	if b == nil || cap(*b) < size {
		return lineBuffer(make([]byte, 0, size))
	}
	return lineBuffer(*b)
}

// dropLine gives back a line that nobody will look at again.
func dropLine(b []byte) {
	if cap(b) <= longLine {
		linesOf(cap(b)).Put(&b)
	}
}

// lineBuffer begins a line in b.
func lineBuffer(b []byte) []byte { return append(b[:0], "00000000 "...) }

// sealLine finishes a line begun by lineBuffer and returns it with its checksum.
func sealLine(b []byte) ([]byte, uint32) {
	crc := crc32.Checksum(b[prefixLen:], castagnoli)
	for i := range 8 {
		b[i] = hexDigits[crc>>(28-4*i)&15]
	}
	return append(b, '\n'), crc
}

// EncodeLine returns v as a line. v must marshal to an object whose first
// member is "k".
func EncodeLine(v any) ([]byte, uint32, error) {
	buf := bytes.NewBuffer(lineBuffer(nil))
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, 0, err
	}
	line, crc := sealLine(buf.Bytes()[:buf.Len()-1])
	return line, crc, nil
}

// CheckLine returns the object of a line without its newline, and its
// checksum; ok is false when the line is damaged.
func CheckLine(b []byte) (object []byte, crc uint32, ok bool) {
	if len(b) < prefixLen+len(startMark) || b[8] != ' ' || !bytes.HasPrefix(b[prefixLen:], startMark) {
		return nil, 0, false
	}
	var want uint32
	for _, c := range b[:8] {
		switch {
		case '0' <= c && c <= '9':
			want = want<<4 | uint32(c-'0')
		case 'a' <= c && c <= 'f':
			want = want<<4 | uint32(c-'a'+10)
		default:
			return nil, 0, false
		}
	}
	object = b[prefixLen:]
	if crc32.Checksum(object, castagnoli) != want {
		return nil, 0, false
	}
	return object, want, true
}

// A Span is a piece of a file of lines: a record, or bytes that are none.
type Span struct {
	Off    int64
	Raw    []byte // without the newline; valid until the next call
	Object []byte // nil when damaged
	CRC    uint32
}

// ScanLines calls yield for every record of r and for every stretch of bytes
// that is not one, in order. A record that was written behind a damaged one
// without a newline between them is found too.
func ScanLines(r io.Reader, yield func(Span) error) error {
	br := bufio.NewReaderSize(r, 1<<16)
	var off int64
	var long []byte
	for {
		line, err := readLine(br, &long)
		if len(line) > 0 {
			n := int64(len(line))
			line = bytes.TrimSuffix(line, []byte{'\n'})
			if e := yieldLine(line, off, yield); e != nil {
				return e
			}
			off += n
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine returns the next line with its newline, if it has one. The memory
// belongs to the reader until the next call.
func readLine(br *bufio.Reader, long *[]byte) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	*long = append((*long)[:0], line...)
	for {
		line, err = br.ReadSlice('\n')
		*long = append(*long, line...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return *long, err
		}
	}
}

// yieldLine takes one line apart. Almost always it is one record.
func yieldLine(b []byte, off int64, yield func(Span) error) error {
	for len(b) > 0 {
		object, crc, ok := CheckLine(b)
		if ok {
			return yield(Span{off, b, object, crc})
		}
		n := nextStart(b)
		s := Span{Off: off, Raw: b[:n]}
		// The last byte of a piece may be a newline that was hit.
		for _, piece := range [][]byte{b[:n], b[:n-1]} {
			if object, crc, ok := CheckLine(piece); ok {
				s = Span{off, piece, object, crc}
				break
			}
		}
		if err := yield(s); err != nil {
			return err
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// nextStart returns where in b the next record may begin, other than at 0;
// len(b) when nowhere.
func nextStart(b []byte) int {
	if len(b) <= prefixLen {
		return len(b)
	}
	i := bytes.Index(b[prefixLen+1:], startMark)
	if i < 0 {
		return len(b)
	}
	return i + 1
}
