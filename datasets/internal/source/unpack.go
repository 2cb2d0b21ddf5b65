package source

import (
	"bufio"
	"compress/gzip"
	"io"

	"nightshift/internal/words"

	"github.com/klauspost/compress/zstd"
)

const (
	// DefaultMaxRatio: gzip reaches 1,032 on nothing but zeros; text seldom passes 30.
	DefaultMaxRatio = 200
	DefaultMaxBytes = 4 << 40

	ratioFrom = 64 << 20 // below so much content the ratio does not matter
	maxWindow = 64 << 20 // memory that one zstd stream may ask for
)

// unpack reads compressed members, one behind the other, as one content.
func unpack(packed string, r io.Reader) (io.Reader, func() error, error) {
	if packed == packedZstd {
		// One decoder goroutine and small buffers: several streams may be open.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return d, func() error { d.Close(); return nil }, nil
	}
	d, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	return d, d.Close, nil
}

// counted counts the compressed bytes read.
type counted struct {
	r *bufio.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte keeps gzip from buffering once more.
func (c *counted) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// A bombGuard ends a stream that grows out of proportion.
type bombGuard struct {
	r                  io.Reader
	in                 *counted
	n                  int64
	maxRatio, maxBytes int64
}

func (g *bombGuard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	g.n += int64(n)
	switch {
	case g.n > g.maxBytes:
		return n, &FileError{what: "unpacks to more than " + words.Bytes(g.maxBytes),
			hint: "unpack it first if that is right"}
	case g.n > ratioFrom && g.n/g.maxRatio > g.in.n:
		return n, &FileError{what: "unpacks to more than " + words.Thousands(g.maxRatio) + " times its size",
			hint: "a compression bomb? unpack it first if it is right"}
	}
	return n, err
}
