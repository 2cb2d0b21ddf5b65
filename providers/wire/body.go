package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

var (
	errTooLong  = errors.New("the answer is longer than is read")
	errBomb     = errors.New("the answer expands beyond measure")
	errEncoding = errors.New("the answer is encoded in a way that was not asked for")
)

// A body reads an answer's body: it undoes gzip, counts against the caps, and
// keeps what it read.
type body struct {
	from   io.Reader // decompressed
	wire   *counter
	max    int64
	raw    []byte
	room   *[]byte // that raw lies in; nil for memory of its own
	onRead func()  // a byte came
	err    error   // how reading ended
}

// counter counts what came over the network.
type counter struct {
	from io.Reader
	n    int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	return n, err
}

// newBody takes over an answer's body. The error is errEncoding for an
// encoding that cannot be read.
func newBody(resp *http.Response, maxBytes int64, onRead func()) (*body, error) {
	b := &body{wire: &counter{from: resp.Body}, max: maxBytes, onRead: onRead}
	b.from = b.wire
	encoding := strings.ToLower(strings.TrimSpace(strings.Join(resp.Header.Values("Content-Encoding"), ",")))
	switch encoding {
	case "", "identity":
		b.grow(resp.ContentLength)
	case "gzip", "x-gzip":
		b.from = &gunzip{from: bufio.NewReaderSize(b.wire, 4<<10)}
	default:
		return b, fmt.Errorf("%w: content-encoding %q", errEncoding, encoding)
	}
	return b, nil
}

// grow makes room for a length that the server stated, which may be a lie.
func (b *body) grow(n int64) {
	if n > 0 {
		b.raw = make([]byte, 0, min(n+1, 1<<20, b.max+1))
	}
}

// Ratio limits: JSON of repeated deltas packs well, but not like this.
const (
	maxRatio   = 300
	ratioFloor = 8 << 20
)

func (b *body) check() error {
	read := int64(len(b.raw))
	switch {
	case read > b.max:
		b.raw = b.raw[:b.max]
		return fmt.Errorf("%w: more than %d bytes", errTooLong, b.max)
	case read > ratioFloor && read > maxRatio*b.wire.n:
		return fmt.Errorf("%w: %d bytes out of %d", errBomb, read, b.wire.n)
	}
	return nil
}

// Read is io.Reader; what it returns is kept in raw as well.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.from.Read(p)
	b.raw = append(b.raw, p[:n]...)
	b.took(n, err)
	if b.err != nil && b.err != err {
		return 0, b.err
	}
	return n, err
}

// took notes what a read brought.
func (b *body) took(n int, err error) {
	b.err = err
	if n == 0 {
		return
	}
	b.onRead()
	if over := b.check(); over != nil {
		b.err = over
	}
}

// rooms are buffers for bodies of unknown length, which are kept by copies of
// their own.
var rooms = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// keep returns what was read, in memory of its own length.
func (b *body) keep() []byte {
	if b.room == nil || cap(b.raw) != cap(*b.room) { // its length was known, or it has grown
		return b.raw
	}
	b.raw = bytes.Clone(b.raw)
	rooms.Put(b.room)
	b.room = nil
	return b.raw
}

// fill reads once, straight into raw.
func (b *body) fill() {
	if b.raw == nil {
		b.room = rooms.Get().(*[]byte)
		b.raw = (*b.room)[:0]
	}
	if len(b.raw) == cap(b.raw) {
		bigger := make([]byte, len(b.raw), max(4<<10, 2*cap(b.raw)))
		copy(bigger, b.raw)
		b.raw = bigger
	}
	n, err := b.from.Read(b.raw[len(b.raw):cap(b.raw)])
	b.raw = b.raw[:len(b.raw)+n]
	b.took(n, err)
}

// rest reads to the end. A clean end is no error.
func (b *body) rest() error {
	for b.err == nil {
		b.fill()
	}
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// A kind is what a body turns out to be.
type kind int

const (
	whole  kind = iota // JSON, a page, text, nothing
	stream             // an event stream
	list               // a JSON array: a stream where one was asked for
)

// sniff reads until the first bytes say what the body is; blank ones before
// them say nothing.
func (b *body) sniff() kind {
	for start := 0; ; b.fill() {
		if start == 0 && bytes.HasPrefix(b.raw, []byte("\xef\xbb\xbf")) {
			start = 3
		}
		text := bytes.TrimLeft(b.raw[start:], " \t\r\n")
		start = len(b.raw) - len(text)
		if k, sure := kindOf(text); sure || b.err != nil {
			return k
		}
	}
}

var streamStarts = [][]byte{[]byte("data:"), []byte("event:"), []byte("id:"), []byte("retry:"), []byte(":")}

func kindOf(text []byte) (k kind, sure bool) {
	if len(text) == 0 || len(text) < 3 && text[0] == 0xef {
		return whole, false
	}
	if text[0] == '[' {
		return list, true
	}
	for _, start := range streamStarts {
		if bytes.HasPrefix(text, start) {
			return stream, true
		}
		if bytes.HasPrefix(start, text) {
			return whole, false // may become one
		}
	}
	return whole, true
}

// gunzip undoes gzip. Its reader is taken from a pool when the first bytes
// come, and returned at the end.
type gunzip struct {
	from *bufio.Reader
	z    *gzip.Reader
	err  error
}

var gzips sync.Pool

func (g *gunzip) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.z == nil {
		if g.err = g.open(); g.err != nil {
			return 0, g.err
		}
	}
	n, err := g.z.Read(p)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) ||
		strings.HasPrefix(err.Error(), "flate: corrupt") {
		err = fmt.Errorf("%w: %v", errEncoding, err)
	}
	g.err = err
	gzips.Put(g.z)
	g.z = nil
	return n, err
}

// open reads the header. Nothing at all is an empty body, not a broken one.
func (g *gunzip) open() error {
	if _, err := g.from.Peek(1); err != nil {
		return err
	}
	z, _ := gzips.Get().(*gzip.Reader)
	var err error
	if z == nil {
		z, err = gzip.NewReader(g.from)
	} else {
		err = z.Reset(g.from)
	}
	if errors.Is(err, gzip.ErrHeader) {
		return fmt.Errorf("%w: it says gzip and is not", errEncoding)
	}
	if err != nil {
		return err
	}
	g.z = z
	return nil
}
